"""Makes a release: `./dev release VERSION [--dry-run]`."""
