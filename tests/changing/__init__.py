"""Readers of a store that changes."""
