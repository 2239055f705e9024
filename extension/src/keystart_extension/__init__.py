"""The Keystart extension: the process that prefetches secrets and publishes them for the readers."""

__version__ = "0.1.0"
