"""Compares cold starts of Keystart with those of other extensions and functions."""
