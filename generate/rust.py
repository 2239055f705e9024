"""The error codes and messages of the Rust core."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .contract import Contract, Error, Reason, Text
from .text import broken, first_line

_TYPES = {
    "generation": "u64",
    "milliseconds": "u64",
    "size": "usize",
    "secrets": "usize",
    "quoted": "&[u8]",
    "errno": "Errno",
}
_PREPARED = {
    "quoted": "        let quoted = super::quoted(quoted);\n",
    "errno": "        let errno = super::errno_name(errno);\n",
}


def codes(contract: Contract) -> str:
    """Returns the file of the codes."""
    errors = [error for error in contract.errors if not error.is_reserved]
    variants = "".join(
        f"    /// {error.summary}\n    {error.class_name} = {error.number},\n" for error in errors
    )
    names = "".join(f'            Self::{error.class_name} => "{error.code}",\n' for error in errors)
    return f"""\
// {first_line("errors.toml")}

/// What went wrong, as contract 8.2 lists it. The numbers are pinned and never used again for something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Code {{
{variants}}}

impl Code {{
    /// Returns the number that crosses the C ABI.
    pub fn number(self) -> u32 {{
        self as u32
    }}

    /// Returns the name that people see.
    pub fn name(self) -> &'static str {{
        match self {{
{names}        }}
    }}
}}
"""


def messages(contract: Contract) -> str:
    """Returns the file of the messages."""
    errors = [error for error in contract.errors if error.in_core]
    makers = "\n".join(maker for error in errors for maker in _makers(error))
    pieces = "\n".join(_piece(piece) for error in errors for piece in error.pieces)
    return f"""\
// {first_line("errors.toml")}

use rustix::io::Errno;

use super::{{Code, Error}};

impl Error {{
{makers}}}

{pieces}"""


def variables(contract: Contract) -> str:
    """Returns the file of the variables that `env:` may not name."""
    names: dict[Reason, list[str]] = {}
    for group in contract.variables:
        names.setdefault(group.reason, []).extend(group.variables)
    groups = "".join(
        f"    Group {{\n"
        f"        because: {_literal(reason.because, ' ' * 12)},\n"
        f"        cure: {_literal(reason.cure, ' ' * 12)},\n"
        f"        names: &[\n"
        f"{''.join(f'            {line}{chr(10)}' for line in _lines(variables))}"
        f"        ],\n"
        f"    }},\n"
        for reason, variables in names.items()
    )
    return f"""\
// {first_line("variables.toml")}

use super::Group;

pub(super) const GROUPS: &[Group] = &[
{groups}];
"""


def _lines(names: Iterable[str]) -> list[str]:
    return [line.rstrip() for line in broken(" ".join(f'"{name}",' for name in names), 88)]


def _makers(error: Error) -> Iterator[str]:
    for message in error.messages:
        parameters = error.parameters(message)
        arguments = ", ".join(f"{name}: {_TYPES.get(name, '&str')}" for name in parameters)
        prepared = "".join(_PREPARED.get(name, "") for name in message.placeholders)
        about = f"Self::about(name, Code::{error.class_name}, text)"
        made = about if error.is_about_a_secret else f"Self::new(Code::{error.class_name}, text)"
        when = f", {message.when}" if message.when else ""
        yield (
            f"    /// Makes the error `{error.code}`{when}.\n"
            f"    pub fn {message.name}({arguments}) -> Self {{\n"
            f"{prepared}"
            f"        let text = {_expression(message, ' ' * 8)};\n"
            f"        {made}\n"
            f"    }}\n"
        )


def _piece(piece: Text) -> str:
    when = f"A part of a message: {piece.when}." if piece.when else "A part of other texts."
    if not piece.placeholders:
        return f"/// {when}\npub const {piece.name.upper()}: &str = {_literal(piece.text, ' ' * 4)};\n"
    arguments = ", ".join(f"{name}: {_TYPES.get(name, '&str')}" for name in piece.placeholders)
    prepared = "".join(_PREPARED.get(name, "")[4:] for name in piece.placeholders)
    return (
        f"/// {when}\n"
        f"pub fn {piece.name}({arguments}) -> String {{\n"
        f"{prepared}"
        f"    {_expression(piece, ' ' * 4)}\n"
        f"}}\n"
    )


def _expression(text: Text, indent: str) -> str:
    literal = _literal(text.text, f"{indent}    ")
    macro = "format!" if text.placeholders else "String::from"
    return f"{macro}(\n{indent}    {literal}\n{indent})" if "\n" in literal else f"{macro}({literal})"


def _literal(text: str, indent: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    # Rust drops the line feed after the backslash, and the spaces at the beginning of the next line.
    return f'"{f"{chr(92)}{chr(10)}{indent} ".join(broken(escaped, 84))}"'
