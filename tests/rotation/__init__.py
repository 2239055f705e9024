"""Rotations of a database password, and what calls of `attempt` and plain reads make of them."""
