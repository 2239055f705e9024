"""Finds the configuration: in the variables, else in files, which take more to read."""

from __future__ import annotations

from .errors import Problems
from .inline import VARIABLE, read_inline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping as Environ
    from pathlib import Path

    from ..plan import Plan


def load(environ: Environ[str, str], task_root: Path | None = None) -> Plan:
    """Gives the plan of the configuration that a process with these variables has; `task_root` is /var/task.

    Raises ConfigurationError with everything that is wrong, also when there is no configuration at all.
    """
    if not environ.get("KEYSTART_CONFIG") and (value := environ.get(VARIABLE)):
        problems = Problems()
        plan = read_inline(value, problems)
        problems.raise_if_any()
        return plan
    # Here, because an inline configuration needs none of it at a cold start.
    from . import files

    return files.find(environ, files.TASK_ROOT if task_root is None else task_root)


def load_file(path: Path, environ: Environ[str, str]) -> Plan:
    """Gives the plan of one file: `.json`, `.yaml` or `.yml`, Keystart's own or Square's.

    Raises ConfigurationError with everything that is wrong.
    """
    from . import files

    return files.read(path, environ)
