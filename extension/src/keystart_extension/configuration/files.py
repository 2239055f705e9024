"""Finds and reads the files of a configuration; it knows places and forms, not what is in them."""

from __future__ import annotations

import errno
import re
import stat
from collections.abc import Mapping as Environ
from pathlib import Path

from ..names import ENDINGS, shown_path
from ..plan import Origin, Plan
from .document import Mapping, Node
from .errors import ConfigurationError, Problem, Problems
from .inline import VARIABLE
from .json_document import Positions, parse_json
from .settings import SQUARES_KEY, read_settings
from .square import is_square, read_square

TASK_ROOT = Path("/var/task")
_LARGEST = 256 * 1024
# What YAML 1.1 does not count as printable, among the characters that UTF-8 can give.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufeff\ufffe\uffff]")


def find(environ: Environ[str, str], task_root: Path) -> Plan:
    """Gives the plan of the file that KEYSTART_CONFIG names, else of the first one in `task_root`."""
    if named := environ.get("KEYSTART_CONFIG"):
        return read(_check_named(named), environ)
    for path in (task_root / "keystart.json", task_root / "keystart.yaml"):
        if _is_there(path):
            return read(path, environ)
    square = task_root / "config.yaml"
    if _is_there(square):
        data = _read(square)
        # Many functions have a config.yaml of their own. Without the word it is not even parsed.
        if SQUARES_KEY.encode() in data:
            root = _parse(data, square)
            if isinstance(root, Mapping) and is_square(root):
                return _plan(root, square, environ)
    raise _nothing_found(task_root, square)


def read(path: Path, environ: Environ[str, str]) -> Plan:
    """Gives the plan of one file."""
    return _plan(_parse(_read(path), path), path, environ)


def _plan(root: Node, path: Path, environ: Environ[str, str]) -> Plan:
    problems = Problems()
    if isinstance(root, Mapping) and is_square(root):
        plan = read_square(root, str(path), environ, problems)
    else:
        plan = read_settings(root, str(path), problems)
    problems.raise_if_any()
    return plan


def _check_named(named: str) -> Path:
    path = Path(named)
    origin = Origin("KEYSTART_CONFIG")
    # What is not printable must not come into messages, and NUL not into a path.
    if not path.is_absolute() or not named.isprintable():
        raise _error("It must be an absolute path of printable characters. Correct or unset it.", origin)
    if not _is_there(path):
        shown = shown_path(named)
        raise _error(f"There is no file {shown}. Correct or unset it.", origin)
    return path


def _is_there(path: Path) -> bool:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise _unreadable(path, error) from None
    return True


def _read(path: Path) -> bytes:
    origin = Origin(shown_path(str(path)))
    try:
        # Opening a FIFO would hang the start.
        if not stat.S_ISREG(path.stat().st_mode):
            raise _error("This is not a regular file.", origin)
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise _unreadable(path, error) from None
    if len(data) > _LARGEST:
        raise _error(f"The file has more than {_LARGEST // 1024} KiB.", origin)
    return data


def _parse(data: bytes, path: Path) -> Node:
    file = shown_path(str(path))
    if path.suffix not in ENDINGS:
        raise _error("The name of a configuration must end in .json, .yaml or .yml.", Origin(file))
    text = _decode(data, file)
    if path.suffix == ".json":
        return parse_json(text, file)
    # Imported late: PyYAML costs about 30 ms, and a JSON or inline configuration does not need it.
    from .yaml_document import parse_yaml

    return parse_yaml(text, file)


def _decode(data: bytes, file: str) -> str:
    if data.startswith(b"\xef\xbb\xbf"):
        raise _error(
            "The file begins with a byte order mark. Save it as UTF-8 without one.", Origin(file, 1, 1)
        )
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        text = data[: error.start].decode()
        origin = Positions(text, file).at(len(text))
        raise _error("The file is not UTF-8. Save it as UTF-8.", origin) from None
    if control := _CONTROL.search(text):
        origin = Positions(text, file).at(control.start())
        raise _error("A control character stands here, which is not allowed. Remove it.", origin)
    return text


def _nothing_found(task_root: Path, square: Path) -> ConfigurationError:
    config = f"it has no {SQUARES_KEY}" if _is_there(square) else "no such file"
    json, yaml = (shown_path(str(task_root / name)) for name in ("keystart.json", "keystart.yaml"))
    return _error(
        "No configuration was found. Looked for: the variable KEYSTART_CONFIG (not set), "
        f"the variable {VARIABLE} (not set), {json} (no such file), "
        f"{yaml} (no such file), {shown_path(str(square))} ({config}). "
        "Put a keystart.yaml into the function's package, or set one of the variables.",
        Origin(yaml.removesuffix("/keystart.yaml")),
    )


def _unreadable(path: Path, error: OSError) -> ConfigurationError:
    name = errno.errorcode.get(error.errno or 0, "unknown error")
    return _error(f"The file cannot be read: {name}.", Origin(shown_path(str(path))))


def _error(message: str, origin: Origin) -> ConfigurationError:
    return ConfigurationError((Problem(message, origin),))
