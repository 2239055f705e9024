"""The Keystart extension: the process that prefetches secrets and publishes them for the readers."""
