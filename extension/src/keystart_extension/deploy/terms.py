"""What the commands that deploy share: how a layer's ARN looks, and the error that ends a command."""

from __future__ import annotations

import re

# As Lambda's API takes it; layers of AWS itself (awslayer) are not Keystart's.
LAYER = re.compile(r"arn:aws[a-z-]*:lambda:[a-z0-9-]+:[0-9]{12}:layer:[A-Za-z0-9_-]{1,140}")
# Neither the layer itself holds them, nor what pip installs.
NO_SOURCES = (
    "The layer is built from its sources, and they are not here. In a checkout of Keystart, on Debian 12: ./dev layer. "
    "What was built there, keystart layer publish ZIP publishes from anywhere."
)


class DeployError(Exception):
    """Says why a command ended without what was asked for, and what to do."""
