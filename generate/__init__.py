"""Writes from the tables of contract/ what the languages and the documentation have of them: `./dev generate`."""
