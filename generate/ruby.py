"""The errors of Ruby: classes, messages and signatures."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from .contract import READER, WRITER, Contract, Error, Text
from .text import broken, first_line


def errors(contract: Contract) -> str:
    """Returns `errors.rb`."""
    return f"""\
# {first_line("errors.toml")}
# frozen_string_literal: true

module Keystart
{_classes(contract.of_readers)}
{_errors(contract.of_readers, READER)}  private_constant :Errors
end
"""


def names(contract: Contract) -> str:
    """Returns the statement that makes the classes, before `errors.rb` fills them."""
    classes = " ".join(error.class_name for error in contract.of_readers)
    lines = "".join(f"    {line}\n" for line in textwrap.wrap(classes, 96))
    return f"  %i[\n{lines}  ].each {{ |name| const_set(name, Class.new(Error)) }}\n"


def testing(contract: Contract) -> str:
    """Returns the part of `testing.rb` that makes a writer's errors."""
    return f"{_classes(contract.of_testing)}\n{_errors(contract.of_testing, WRITER)}"


def signatures(contract: Contract) -> str:
    """Returns the signatures of the classes."""
    return f"# {first_line('errors.toml')}\nmodule Keystart\n{_signatures(contract.of_readers)}end\n"


def testing_signatures(contract: Contract) -> str:
    """Returns the signatures of the classes in `keystart/testing`."""
    return _signatures(contract.of_testing)


def _signatures(errors: Iterable[Error]) -> str:
    return "\n".join(
        f"  # {error.summary}\n  class {error.class_name} < Error\n    CODE: String\n  end\n"
        for error in errors
    )


def _classes(errors: Iterable[Error]) -> str:
    return "\n".join(
        f'  # {error.summary}\n  class {error.class_name} < Error\n    CODE = "{error.code}"\n  end\n'
        for error in errors
    )


def _errors(errors: Iterable[Error], who: str) -> str:
    functions = "\n".join(_functions(errors, who))
    return (
        f"  # Makes the errors, each with its message of contract 8.4.\n"
        f"  module Errors\n"
        f"    module_function\n"
        f"\n"
        f"{functions}"
        f"  end\n"
    )


def _functions(errors: Iterable[Error], who: str) -> Iterator[str]:
    for error in errors:
        for piece in error.pieces:
            if piece.placeholders:
                yield _function(piece.name, piece.placeholders, _literal(piece, 8))
            elif piece.when:
                yield f"    {piece.name.upper()} = {_literal(piece, 8)}\n"
        for message in error.messages_of(who):
            secret = ", secret: name" if error.is_about_a_secret else ""
            made = f"{error.class_name}.new(text{secret})"
            yield _function(message.name, error.parameters(message), f"text = {_literal(message, 13)}", made)


def _function(name: str, parameters: list[str], *lines: str) -> str:
    given = f"({', '.join(parameters)})" if parameters else ""
    body = "".join(f"      {line}\n" for line in lines)
    return f"    def {name}{given}\n{body}    end\n"


def _literal(text: Text, indent: int) -> str:
    escaped = text.text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    for name in text.placeholders:
        filled = "Text.quoted(quoted)" if name == "quoted" else name
        escaped = escaped.replace(f"{{{name}}}", f"#{{{filled}}}")
    return f" \\\n{' ' * indent}".join(f'"{part}"' for part in broken(escaped, 84))
