"""How fast the readers load and read."""
