"""The error of a release that cannot be made."""

from __future__ import annotations


class ReleaseError(Exception):
    """A reason not to release, with what to do."""
