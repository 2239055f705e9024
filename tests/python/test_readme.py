"""Runs the examples of the README unchanged."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests import ROOT

from .publisher import Publisher

README = ROOT / "bindings/python/README.md"
FUNCTION, LOGIN, TEST = re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)


def run(code: str, folder: Path, root: Path) -> str:
    environment = {**os.environ, "KEYSTART_DIR": str(root), "KEYSTART_TIMEOUT_MS": "0"}
    # With -c Python finds function.py, because it looks in the working folder first.
    program = [sys.executable, "-c", code]
    finished = subprocess.run(
        program, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    return finished.stdout


def test_the_function_reads_its_secrets(publisher: Publisher, root: Path, tmp_path: Path) -> None:
    publisher.publish({"db": '{"username": "orders", "password": "x"}', "stripe/key": "sk_live"})
    (tmp_path / "function.py").write_text(FUNCTION)
    said = run('import function; print(function.handler({"amount": 7}, None))', tmp_path, root)
    assert said == (
        "{'user': 'orders', 'charged': '7 with <Secret \"stripe/key\" (redacted)>', 'ready': True}\n"
    )


def test_the_login_reads_the_secret(publisher: Publisher, root: Path, tmp_path: Path) -> None:
    publisher.publish({"db": '{"username": "orders", "password": "x"}'})
    # The driver of the example has its own tests, with a real server (docs/databases.md).
    (tmp_path / "psycopg.py").write_text("def connect(**options): return sorted(options.items())")
    said = run(f"import keystart, psycopg\n{LOGIN}\nprint(connection)", tmp_path, root)
    assert said == "[('dbname', 'orders'), ('password', 'x'), ('user', 'orders')]\n"


def test_the_test_of_the_function_passes_without_an_extension(tmp_path: Path) -> None:
    (tmp_path / "function.py").write_text(FUNCTION)
    run(TEST, tmp_path, tmp_path / "nothing")
