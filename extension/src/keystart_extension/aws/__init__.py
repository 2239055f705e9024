"""AWS for the commands of people, through boto3: their logins, and Lambda's API. Only the core fetches.

session  makes sessions and clients
login    finds a person's credentials for the core
fetch    fetches with them
errors   has the words for what went wrong
"""

from __future__ import annotations

# The layer has no boto3.
WITHOUT_BOTO3 = (
    "boto3 is not installed here, and the layer does not bring it. Use the command that pip install keystart-extension "
    "installs."
)


class AwsError(Exception):
    """An AWS call, or a step before it, failed: a code, and a message with what to do if that is known."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
