"""Sizes for people: bytes as kB, MB, GB or TB."""


def readable(nbytes: float) -> str:
    """Return a size with its unit, e.g. "1.23 GB"; decimal units, as the Hub shows them."""
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if nbytes >= factor:
            return f"{nbytes / factor:.2f} {unit}"
    return f"{nbytes:.0f} B"
