"""The errors of Node: classes, messages and types."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .contract import READER, WRITER, Contract, Error, Text
from .text import broken, camel, first_line

_NUMBERS = ("generation", "milliseconds", "size", "secrets")


def classes(contract: Contract) -> str:
    """Returns the module `classes.mjs`."""
    codes = "".join(f"  {error.class_name}: '{error.code}',\n" for error in contract.of_readers)
    return f"""\
// {first_line("errors.toml")}
// The classes of the errors of contract §8, one for each code. errors.mjs has their messages.
//
// No error has a `cause`: an error of JSON.parse quotes the text that it could not parse.

const codes = {{
{codes}}};

/** Each class has its name as text, because a minifier renames classes and Lambda reports an error by its name. */
class KeystartError extends Error {{
  static name = 'KeystartError';
  static code = '';

  /**
   * @param {{string}} message
   * @param {{string | null}} [secret]
   */
  constructor(message, secret = null) {{
    super(message);
    this.code = /** @type {{import('../types/errors.js').ErrorCode}} */ (new.target.code);
    this.secret = secret;
  }}

  get name() {{
    return this.constructor.name;
  }}

  set name(value) {{
    Object.defineProperty(this, 'name', {{ value, writable: true, enumerable: true, configurable: true }});
  }}
}}

/** @typedef {{Record<keyof typeof codes, typeof KeystartError> & {{ KeystartError: typeof KeystartError }}}} Classes */

/** Without a prototype, so that V8 keeps it as a table and makes no hidden class for each member. */
const classes = /** @type {{Classes}} */ (Object.create(null));
classes.KeystartError = KeystartError;
for (const name of /** @type {{(keyof typeof codes)[]}} */ (Object.keys(codes)))
  classes[name] = define(name, codes[name]);

/**
 * Makes the class of a code. One function makes all of them, because V8 compiles it once.
 * @param {{string}} name
 * @param {{string}} code
 */
function define(name, code) {{
  return class extends KeystartError {{
    static name = name;
    static code = code;
  }};
}}

export {{ classes }};
"""


def errors(contract: Contract) -> str:
    """Returns the module `errors.mjs`."""
    readers = contract.of_readers
    names = "".join(f"  {error.class_name},\n" for error in readers)
    makers = "\n".join(_functions(readers, READER))
    exported = "".join(
        f"  {name},\n"
        for name in (
            *(_constant(piece) for error in readers for piece in error.pieces if piece.when),
            *(camel(message.name) for error in readers for message in error.messages_of(READER)),
        )
    )
    return f"""\
// {first_line("errors.toml")}
// All messages of the errors of contract §8. Other modules decide when to throw them.
import {{ classes }} from './classes.mjs';
import {{ quote }} from './text.mjs';

const {{
{names}}} = classes;

{makers}
const errors = {{
{exported}}};

export {{ errors }};
"""


def testing(contract: Contract) -> str:
    """Returns the part of `testing.js` that makes a writer's errors."""
    classes = "\n".join(
        f"class {error.class_name} extends keystart.KeystartError {{\n"
        f"  static code = '{error.code}';\n"
        f"  name = '{error.class_name}';\n"
        f"}}"
        for error in contract.of_testing
    )
    return classes + "\n\n" + "\n".join(_functions(contract.of_testing, WRITER)).rstrip() + "\n"


def types(contract: Contract) -> str:
    """Returns the types of the errors."""
    codes = "\n".join(f"  | '{error.code}'" for error in contract.of_readers)
    testing = "\n".join(f"  | '{error.code}'" for error in contract.of_testing)
    classes = "\n".join(
        f"/** {error.summary} */\nexport class {error.class_name} extends KeystartError {{}}"
        for error in contract.of_readers
    )
    return f"""\
// {first_line("errors.toml")}

/** The codes, the same in every language. Each has a class: `SecretNotFound` for `secret_not_found`. */
export type ErrorCode =
{codes}
  // Only keystart/testing, which writes stores, throws these.
{testing};

/** The base of all errors. No error holds a byte of a secret. */
export class KeystartError extends Error {{
  constructor(message: string, secret?: string | null);
  /** What went wrong, as a word that never changes. */
  readonly code: ErrorCode;
  /** The name that the caller asked for, if the error is about one secret; else null. */
  readonly secret: string | null;
}}

{classes}
"""


def _functions(errors: Iterable[Error], who: str) -> Iterator[str]:
    for error in errors:
        yield from (_piece(piece) for piece in error.pieces if piece.when)
        for message in error.messages_of(who):
            parameters = error.parameters(message)
            rest = ", name" if error.is_about_a_secret else ""
            yield (
                f"{_documentation(parameters)}"
                f"function {camel(message.name)}({', '.join(parameters)}) {{\n"
                f"  const text ={_literal(message)};\n"
                f"  return new {error.class_name}(text{rest});\n"
                f"}}\n"
            )


def _piece(piece: Text) -> str:
    if not piece.placeholders:
        return f"const {_constant(piece)} ={_literal(piece)};\n"
    return (
        f"{_documentation(piece.placeholders)}"
        f"function {_constant(piece)}({', '.join(piece.placeholders)}) {{\n"
        f"  return{_literal(piece)};\n"
        f"}}\n"
    )


def _constant(piece: Text) -> str:
    return camel(piece.name) if piece.placeholders else piece.name.upper()


def _documentation(parameters: list[str]) -> str:
    types = [f"@param {{{'number' if name in _NUMBERS else 'string'}}} {name}" for name in parameters]
    if not types:
        return ""
    if len(types) == 1:
        return f"/** {types[0]} */\n"
    return "/**\n" + "".join(f" * {line}\n" for line in types) + " */\n"


def _literal(text: Text) -> str:
    escaped = text.text.replace("\\", "\\\\").replace("`", "\\`").replace("\n", "\\n")
    for name in text.placeholders:
        filled = "quote(quoted)" if name == "quoted" else name
        escaped = escaped.replace(f"{{{name}}}", f"${{{filled}}}")
    parts = broken(escaped, 90)
    lines = [f"`{part}`" if "${" in part or "'" in part else f"'{part}'" for part in parts]
    return f" {lines[0]}" if len(lines) == 1 else "\n    " + " +\n    ".join(lines)
