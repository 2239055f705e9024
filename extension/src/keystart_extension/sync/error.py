"""The error of the command sync."""

from __future__ import annotations


class SyncError(Exception):
    """The sync, or one of its secrets, failed. The message says why, and what to do. It holds no value."""
