"""Unchanged messages, in the place of `gettext`, which would read translations from the working folder."""


def gettext(message: str) -> str:
    """Returns the message."""
    return message


def ngettext(singular: str, plural: str, count: int) -> str:
    """Returns the message for so many things."""
    return singular if count == 1 else plural
