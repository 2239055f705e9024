"""The simulator of Lambda, and tests that run in it."""
