"""The test stores of Node and Ruby are as the real writer, Python's, leaves them, and all readers read them."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.runner import Runner

from .pages import RUBY

HERE = Path(__file__).parent / "publishers"
PUBLISHERS = {
    "python": [sys.executable, str(HERE / "python.py")],
    "node": ["node", str(HERE / "node.mjs")],
    "ruby": ["ruby", "-w", "-I", str(RUBY / "lib"), str(HERE / "ruby.rb")],
}
Do = Callable[..., Any]

SECRETS: dict[str, object] = {
    "db": "hunter2\r\n",
    "empty": "",
    "größe".encode().hex(): "é😀",
    "tls/cert": "certificate",
    "tls/key": "key",
    "a/b/c/d/e/f/g/h": "deep",
    "__proto__": "a name like any other",
    "keytab": {"base64": base64.b64encode(bytes(range(256))).decode()},
    "limits": {"orders": [10, 2.5, None, True], "größe": "é/\n\u2028"},
    "flag": False,
    "none": None,
}
STEPS: list[list[object]] = [
    ["publish", SECRETS, {"flags": "Nobody has them.", "tls": "An entry may be the folder of a secret."}],
    ["publish", {"db": "rotated"}, {}],
    ["publish", {}, {}],
    ["fail", "Access denied: größe."],
    ["publish", {"db": "again"}, {}],
    ["publish", {"db": "and again"}, {}],
    ["stop"],
    ["stop"],
    ["publish", {"db": "restarted"}, {}],
]


@contextmanager
def publisher(language: str) -> Iterator[tuple[Path, Do]]:
    """Starts a test store of a language. Yields its root, and a function that does a step."""
    with subprocess.Popen(PUBLISHERS[language], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        lines, answers = process.stdin, process.stdout

        def do(*step: object) -> Any:
            lines.write(json.dumps(step).encode() + b"\n")
            lines.flush()
            return json.loads(answers.readline())

        root = Path(json.loads(answers.readline()))
        yield root, do
        lines.close()
        assert process.wait() == 0
    assert not root.parent.exists()


def tree(root: Path) -> dict[str, object]:
    """Returns everything below a root: kind, mode and content, without times, process and writer."""
    found: dict[str, object] = {".": mode(root)}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        elif path.is_dir():
            found[name] = mode(path)
        elif path.suffix == ".json":
            found[name] = (mode(path), blanked(json.loads(path.read_text())))
        else:
            found[name] = (mode(path), path.read_bytes())
    return found


def mode(path: Path) -> str:
    return oct(path.lstat().st_mode)


def blanked(value: Any) -> Any:
    """Returns the document without the values that differ in every run. Their members must still exist."""
    if not isinstance(value, dict):
        return value
    ours = {"at", "fetched_at", "published_at", "pid", "writer"}
    return {name: type(one) if name in ours else blanked(one) for name, one in value.items()}


@pytest.mark.parametrize("language", ["node", "ruby"])
def test_a_test_store_is_laid_like_the_real_writers_after_every_step(language: str) -> None:
    with publisher("python") as (real, do_real), publisher(language) as (root, do):
        assert tree(root) == tree(real)
        for step in STEPS:
            assert do(*step) == do_real(*step)
            assert tree(root) == tree(real), step


CHANGES: dict[str, Callable[[Path], object]] = {
    "a value": lambda root: (root / "current/secrets/db").write_text("y"),
    "a mode": lambda root: (root / "current/secrets").chmod(0o755),
    "a folder too much": lambda root: (root / "generations/.new-1").mkdir(),
    "a member of the manifest": lambda root: (root / "current/manifest.json").write_text("{}"),
    "a link": lambda root: (root / "current").unlink(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_is_compared_would_show_a_difference(change: Callable[[Path], object]) -> None:
    with publisher("python") as (root, do):
        do("publish", {"db": "x"}, {})
        before = tree(root)
        change(root)
        assert tree(root) != before


@pytest.fixture(scope="module")
def readers() -> Iterator[list[Runner]]:
    with ExitStack() as running:
        yield [running.enter_context(Runner(language)) for language in PUBLISHERS]


@pytest.mark.parametrize("language", PUBLISHERS)
def test_every_reader_reads_a_test_store_of_every_language(language: str, readers: list[Runner]) -> None:
    names = [*SECRETS, "flags", "tls/ca"]
    questions: list[tuple[str, dict[str, str]]] = [
        ("names", {}),
        *((call, {"name": name}) for name in names for call in ("bytes", "text", "json", "info")),
    ]
    with publisher(language) as (root, do):
        do(*STEPS[0])
        answers = [[ask(reader, root, call, **more) for call, more in questions] for reader in readers]
        assert answers[0] == answers[1] == answers[2]
        answered = dict(zip([(call, more.get("name")) for call, more in questions], answers[0], strict=True))
        assert answered["names", None] == {"value": sorted(SECRETS)}
        assert answered["text", "db"] == {"value": "hunter2\r\n"}
        assert answered["json", "limits"] == {"value": SECRETS["limits"]}
        assert answered["bytes", "keytab"] == {"value": SECRETS["keytab"]}
        assert answered["info", "keytab"]["value"]["encoding"] == "binary"
        assert answered["text", "flags"]["error"]["code"] == "secret_unavailable"
        do("fail", "Access denied.")
        failed = [ask(reader, root, "text", name="db") for reader in readers]
        assert failed[0] == failed[1] == failed[2]
        assert failed[0]["error"]["message"] == "The extension could not publish the secrets: Access denied."


def ask(reader: Runner, root: Path, call: str, **more: str) -> dict[str, Any]:
    request = {
        "id": "x",
        "root": str(root),
        "timeout_ms": 0,
        "env": {},
        "via": "client",
        "call": call,
        **more,
    }
    reader.send(json.dumps(request).encode() + b"\n")
    answer = reader.receive("x")
    del answer["id"]
    return answer
