"""What the deploy commands share: the pattern of a layer's ARN, and the error that ends a command."""

from __future__ import annotations

import re

# As Lambda's API defines it. Layers of AWS itself (awslayer) are not Keystart's.
LAYER = re.compile(r"arn:aws[a-z-]*:lambda:[a-z0-9-]+:[0-9]{12}:layer:[A-Za-z0-9_-]{1,140}")
# Neither the layer nor a package from pip holds the sources.
NO_SOURCES = (
    "The layer is built from its sources, and they are not here. In a checkout of Keystart, on Debian 12: ./dev layer. "
    "What was built there, keystart layer publish ZIP publishes from anywhere."
)


class DeployError(Exception):
    """A command ended without a result. The message says why, and what to do."""
