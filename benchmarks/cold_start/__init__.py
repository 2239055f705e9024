"""Cold starts of extensions and functions beside peers."""
