"""What the files of a source repo are: which are its weights, terms, metadata, pointers, or no checkpoint at all.

It decides by names, sizes and small reads; the bytes of a weight are others' business.
"""
