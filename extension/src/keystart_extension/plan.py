"""A checked configuration, by its handle. The core reads and writes it, and has all of its rules."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from . import core
from .core import ffi, lib

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

VARIABLE = "KEYSTART_SECRETS"
# The sources of keystart_plan_read.
_PROCESS, _FILE, _PACKAGE, _VALUE = range(4)
# The forms of keystart_plan_write.
_JSON, _TEXT, _COMPILED, _SOURCE, _PATH = range(5)


class ConfigurationError(Exception):
    """Everything that is wrong with a configuration, one problem a line, in the order of the places.

    Each of the `problems` has the members file, line, column and message.
    """

    def __init__(self, problems: Sequence[dict[str, Any]]) -> None:
        self.problems = problems
        super().__init__("\n".join(map(_line, problems)))


class InlineError(Exception):
    """KEYSTART_SECRETS cannot hold a configuration. The message says which part."""


class Plan:
    """What a checked configuration asks for."""

    def __init__(self, handle: Any) -> None:
        self.handle = ffi.gc(handle, lib.keystart_plan_free)

    @classmethod
    def find(cls, task_root: Path, values: Mapping[str, str] | None = None) -> Plan:
        """Reads the configuration that a process with this environment uses.

        `${NAME}` in ids takes one of the `values`; if that is None, a variable of this process.
        """
        return cls._read(_PROCESS, os.fsencode(task_root), values)

    @classmethod
    def file(cls, path: Path, values: Mapping[str, str] | None = None) -> Plan:
        """Reads a file: `.json`, `.yaml` or `.yml`, Keystart's own or Square's. For `values` see `find`."""
        return cls._read(_FILE, os.fsencode(path), values)

    @classmethod
    def package(cls, folder: Path, values: Mapping[str, str]) -> Plan:
        """Reads the configuration that a function without variables finds in its package. For `values` see `find`."""
        return cls._read(_PACKAGE, os.fsencode(folder), values)

    @classmethod
    def variable(cls, text: str, values: Mapping[str, str]) -> Plan:
        """Reads the value of KEYSTART_SECRETS. For `values` see `find`."""
        return cls._read(_VALUE, text.encode(), values)

    @classmethod
    def _read(cls, source: int, path: bytes, values: Mapping[str, str] | None) -> Plan:
        handle = ffi.new("keystart_plan **")
        lines = None if values is None else "\n".join(map("=".join, values.items()))
        problems = core.call_for_text(
            lib.keystart_plan_read, source, path, len(path), *core.text_or_null(lines), handle
        )
        if problems:
            raise ConfigurationError(json.loads(problems))
        return cls(handle[0])

    @property
    def facts(self) -> dict[str, Any]:
        """All of the plan that may be shown, as `keystart check --json` prints it."""
        facts: dict[str, Any] = json.loads(self._write(_JSON))
        del facts["warnings"]
        return facts

    @property
    def warnings(self) -> list[str]:
        """What may not work in Lambda."""
        warnings: list[str] = json.loads(self._write(_JSON))["warnings"]
        return warnings

    @property
    def counts(self) -> Any:
        """The numbers of entries, of variables for the exec wrapper, and of links."""
        counts = ffi.new("keystart_plan_counts *")
        core.call(lib.keystart_plan_count, self.handle, counts)
        return counts

    @property
    def source(self) -> str:
        """The file or the variable of the plan, as messages name it."""
        return self._write(_SOURCE)

    @property
    def path(self) -> str:
        """The path of the file, or the variable. Do not put it into messages: it may hold anything."""
        return self._write(_PATH)

    def describe(self) -> str:
        """Returns the plan as text for people, one line an entry."""
        return self._write(_TEXT)

    @property
    def requests(self) -> dict[str, dict[str, Any]]:
        """The requests of one refresh of everything, by the provider, as keystart_plan_requests returns them."""
        requests: dict[str, dict[str, Any]] = json.loads(
            core.call_for_text(lib.keystart_plan_requests, self.handle)
        )
        return requests

    def compiled(self) -> str:
        """Returns the text of a keystart.json with the same plan."""
        return self._write(_COMPILED)

    def inline(self, region: str) -> str:
        """Returns the text of KEYSTART_SECRETS that means the same to a function in `region`; raises InlineError."""
        fits = ffi.new("uint32_t *")
        text = core.call_for_text(lib.keystart_plan_inline, self.handle, *core.text(region), fits)
        if not fits[0]:
            raise InlineError(text)
        return text

    def _write(self, form: int) -> str:
        write: Callable[..., int] = lib.keystart_plan_write
        return core.call_for_text(write, self.handle, form)


def _line(problem: dict[str, Any]) -> str:
    place = (problem["file"], problem["line"], problem["column"])
    return f"{':'.join(str(part) for part in place if part is not None)}: {problem['message']}"
