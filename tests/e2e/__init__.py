"""The simulator of Lambda, and what runs in it."""
