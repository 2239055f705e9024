"""Measures how fast the readers load and read."""
