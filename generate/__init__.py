"""Writes the parts of languages and documentation that come from the tables of contract/: `./dev generate`."""
