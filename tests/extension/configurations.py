"""Reads configurations in this process, with the variables of a test and no others of Keystart."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from keystart_extension.plan import Plan

_VARIABLES = ("KEYSTART_CONFIG", "KEYSTART_SECRETS", "KEYSTART_DIR")


def load(environ: Mapping[str, str], task_root: Path = Path("/nowhere")) -> Plan:
    """Returns the plan of a process with these variables."""
    with _only(environ):
        return Plan.find(task_root)


def load_file(
    path: Path, environ: Mapping[str, str] | None = None, values: Mapping[str, str] | None = None
) -> Plan:
    """Returns the plan of a file. `${NAME}` takes one of the `values`, else a variable of this process."""
    with _only(environ or {}):
        return Plan.file(path, values)


@contextmanager
def _only(environ: Mapping[str, str]) -> Iterator[None]:
    with mock.patch.dict(os.environ):
        for name in _VARIABLES:
            os.environ.pop(name, None)
        os.environ.update({name: value for name, value in environ.items() if name in _VARIABLES})
        yield
