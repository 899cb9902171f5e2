"""The converter's insides: read, compute, quantize, write. The referee never imports it."""
