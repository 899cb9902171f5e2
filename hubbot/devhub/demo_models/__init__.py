"""The two small models that the demo's repos are made of, a text for them, and reading and writing their weights.

They were trained by tests/speakers, which is no part of the package.
"""
