"""What the deploy commands share: the pattern of a layer's ARN, forms of a policy, the error that ends a command."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TextIO

from ..text import shown_path

# As Lambda's API defines it. Layers of AWS itself (awslayer) are not Keystart's.
LAYER = re.compile(r"arn:aws[a-z-]*:lambda:[a-z0-9-]+:[0-9]{12}:layer:[A-Za-z0-9_-]{1,140}")
# The forms in which iam-policy prints a policy.
FORMATS = ("json", "sam", "terraform", "cdk")
# Neither the layer nor a package from pip holds the sources.
NO_SOURCES = (
    "The layer is built from its sources, and they are not here. In a checkout of Keystart, on Debian 12: ./dev layer. "
    "What was built there, keystart layer publish ZIP publishes from anywhere."
)


def is_terminal(stream: TextIO | None) -> bool:
    """Returns whether a person is there. A standard stream is None if it was closed before the start."""
    return stream is not None and stream.isatty()


def laid_out(message: str, out: TextIO | None, indent: str = "  ") -> str:
    """Returns a message for a stream: whole at a terminal, and as one line in a log.

    A message may have several lines. One that begins with two spaces is a command, which a person copies.
    """
    return message.replace("\n", f"\n{indent}") if is_terminal(out) else one_line(message)


def one_line(message: str) -> str:
    """Returns the lines of a message in one, with a semicolon between two commands."""
    text, *lines = message.split("\n")
    is_command = False
    for line in lines:
        follows_command, is_command = is_command, line.startswith("  ")
        between = "; " if follows_command and is_command else ". " if follows_command else " "
        text += between + line.strip()
    return text


def shown_file(path: Path) -> str:
    """Returns the path of a file that exists, because its name is certainly no secret, else as `shown_path`."""
    return str(path) if path.is_file() and str(path).isprintable() else shown_path(str(path))


class DeployError(Exception):
    """A command ended without a result. The message says why, and what to do."""
