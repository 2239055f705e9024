"""The recipes of docs/databases.md, run against real servers."""
