"""Holds the two ways to fetch: native, AWS's SDK in the core, and boto3."""

from __future__ import annotations

# The layer holds only the first one.
WITHOUT_BOTO3 = (
    "There is no boto3 here; the layer comes without it. Use what pip install keystart-extension installs."
)
