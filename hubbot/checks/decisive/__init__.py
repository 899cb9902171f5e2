"""The referee's own reading of a source's config: it imports nothing of the catalogue, by contract."""
