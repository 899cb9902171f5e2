"""The small models that the demo's exhibits are made of, and how they learned to speak."""
