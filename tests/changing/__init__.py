"""Readers beside a store that changes."""
