"""Holds the version, the same for every package of Keystart."""

__version__ = "0.1.0"
