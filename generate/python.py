"""The exceptions of Python."""

from __future__ import annotations

from .contract import Contract, Error, Message, Text
from .text import broken, first_line

# The errors that Python raises without the core.
_MESSAGES = ("secret_not_text", "snapshot_expired", "tls_invalid")


def errors(contract: Contract) -> str:
    """Returns the module `keystart.errors`."""
    classes = "\n\n".join(_class(error) for error in contract.errors)
    numbers = "".join(f"    {error.number}: {error.class_name},\n" for error in contract.errors)
    messages = "\n\n".join(
        _function(error, message)
        for error in contract.errors
        for message in error.messages
        if message.name in _MESSAGES
    )
    return f'''\
# {first_line("errors.toml")}
"""Holds one exception for each error code of the contract (§8); it raises none itself.

KeystartError
{_tree(contract)}
"""

from __future__ import annotations

# The errors of a reader. A writer's errors are here too, but are not part of the package's interface.
__all__ = [
{names(contract)}]


class KeystartError(Exception):
    """The base of all errors of Keystart: `code` is its word, `secret` the requested name or None."""

    code = ""

    def __init__(self, message: str, secret: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.secret = secret

    def __str__(self) -> str:
        return self.message


{classes}

{messages}

# All that the {{what}} of a message may be.
{_pieces(contract)}

# By the numbers that the core returns.
BY_NUMBER: dict[int, type[KeystartError]] = {{
{numbers}}}
'''


def _tree(contract: Contract) -> str:
    """Returns the classes below their base, with their numbers."""
    width = max(len(error.class_name) for error in contract.errors) + 2
    return "\n".join(
        f"{'└' if error is contract.errors[-1] else '├'}── {error.class_name:{width}}{error.number}"
        for error in contract.errors
    )


def _pieces(contract: Contract) -> str:
    """Returns constants for the parts of messages that are made here."""
    return "".join(
        f"{piece.name.upper()} = {_literal(piece)}\n"
        for error in contract.errors
        if any(message.name in _MESSAGES for message in error.messages)
        for piece in error.pieces
        if piece.when and not piece.placeholders
    )


def names(contract: Contract) -> str:
    """Returns the lines of a list that has the names of what readers raise."""
    classes = sorted(["KeystartError", *(error.class_name for error in contract.of_readers)])
    return "".join(f'    "{name}",\n' for name in classes)


def _class(error: Error) -> str:
    bases = "KeystartError, KeyError" if error.code == "secret_not_found" else "KeystartError"
    return f'class {error.class_name}({bases}):\n    """{error.summary}"""\n\n    code = "{error.code}"\n'


def _function(error: Error, message: Message) -> str:
    arguments = ", ".join(f"{name}: str" for name in error.parameters(message))
    return (
        f"def {message.name}({arguments}) -> {error.class_name}:\n"
        f'    """Returns the error with its message."""\n'
        f"    text = {_literal(message)}\n"
        f"    return {error.class_name}(text, name)\n"
    )


def _literal(message: Text) -> str:
    parts = broken(message.text, 96)
    lines = [f"{'f' if '{' in part else ''}{_quoted(part)}" for part in parts]
    if len(lines) == 1:
        return lines[0]
    inside = "".join(f"        {line}\n" for line in lines)
    return f"(\n{inside}    )"


def _quoted(text: str) -> str:
    # As the formatter does: double quotes, unless the text holds some.
    return repr(text) if '"' in text else '"' + text.replace("\\", "\\\\").replace("\n", "\\n") + '"'
