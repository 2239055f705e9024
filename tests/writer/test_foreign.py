"""Builds random folders with foreign entries, and runs every command that writes on them.

No foreign byte, mode, owner, time or link ever changes (contract 5.15, 5.16). A pure store is taken over.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from .driven import COLLECT, RefusedError, Writer, accepting, trying
from .test_refused import NOBODY, with_old_set

if TYPE_CHECKING:  # as mypy finds them
    from tests.fakes.extensions_api import Lambda
    from tests.fakes.http import Answer, Request, Stub
else:
    from tests.fakes.extensions_api import Lambda
    from tests.fakes.http import Answer, Request, Stub

KEYSTART = Path(sys.executable).with_name("keystart")
PLACES = ("", "generations", "generations/1", "generations/1/secrets", "generations/1/secrets/tls")
OWN_NAMES = {
    "": (
        *("lock", "state.json", ".state.json", "freshness.json", ".freshness.json"),
        *("current", ".current-7", "control.sock", ".control-7", "generations"),
    ),
    "generations": ("1", "7", ".new-7", ".old-7"),
    "generations/1": ("manifest.json", "secrets"),
    "generations/1/secrets": ("tls",),
    "generations/1/secrets/tls": ("cert", "key"),
}
NEARLY = (
    *(
        ".current-",
        ".current-01",
        "Lock",
        "lock~",
        "state.json.bak",
        ".state.json.swp",
        "generations2",
        ".new-",
    ),
    *(".old-0", "01", "9007199254740992", "manifest.json~", "notes", "secret", ".git", "current "),
)
# Entries that are never a writer's file, folder or link, whatever their name.
OTHER_KINDS = (
    "fifo",
    "full folder",
    "link to file",
    "link to folder",
    "link to nothing",
    "hard link",
    "text",
)
KINDS = ("file", "folder", "socket", *OTHER_KINDS)
# What a killed writer, or a later version, may have left next to the rest.
OWN_ADDITIONS = (
    (".state.json", "cut state"),
    (".state.json", "file"),
    (".current-7", "link to generation"),
    ("generations/7", "folder"),
    ("generations/.new-8", "folder"),
    ("generations/.old-9", "folder"),
    ("freshness.json", "freshness"),
    (".freshness.json", "cut freshness"),
    ("control.sock", "socket"),
)
MODES = (0o700, 0o755, 0o711, 0o2755, 0o775, 0o777, 0o1777)


@dataclass(frozen=True)
class Entry:
    """An entry at a path below the root."""

    path: str
    kind: str
    mode: int | None = None
    owner: int | None = None

    def make(self, root: Path, victim: Path) -> None:
        path = root / os.fsdecode(self.path.encode("utf-8", "surrogateescape"))
        if path.is_symlink() or path.is_file():
            path.unlink()
        elif path.exists():
            shutil.rmtree(path)
        _make(path, self.kind, victim)
        if not path.is_symlink() and self.kind != "hard link":
            usual = 0o700 if path.is_dir() or path.is_socket() else 0o600
            path.chmod(usual if self.mode is None else self.mode)
        if self.owner is not None and self.kind != "hard link":
            os.chown(path, self.owner, -1, follow_symlinks=False)


_TEXTS = {
    "file": "",
    "text": "mine",
    "cut state": '{"format": "keystart.state/1", "st',
    "freshness": '{"format": "keystart.freshness/1", "generation": 7, "secrets": {}}',
    "cut freshness": '{"format": "keystart.freshness/1", "gen',
}


def _make(path: Path, kind: str, victim: Path) -> None:
    if kind in _TEXTS:
        path.write_text(_TEXTS[kind])
    elif kind == "folder":
        path.mkdir()
    elif kind == "full folder":
        path.mkdir()
        (path / "inner").mkdir()
        (path / "inner/precious").write_text("mine")
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as one:
            # By a short path, because the names of sockets have a limit.
            folder = os.open(path.parent, os.O_PATH)
            one.bind(f"/proc/self/fd/{folder}/{path.name}")
            os.close(folder)
    elif kind == "hard link":
        os.link(victim / "precious", path)
    else:
        targets = {"file": victim / "precious", "folder": victim, "nothing": victim / "nothing"}
        path.symlink_to(targets.get(kind.removeprefix("link to "), "generations/7"))


@dataclass(frozen=True)
class Case:
    """A folder: its content, and whether a writer may take it."""

    is_store: bool
    mode: int
    foreign: tuple[Entry, ...]
    own: tuple[Entry, ...]

    @property
    def is_taken(self) -> bool:
        if self.is_store:
            return not self.foreign
        return not self.foreign and not self.own and self.mode & 0o022 == 0

    def make(self, root: Path, victim: Path, template: Path) -> None:
        victim.mkdir()
        (victim / "precious").write_text("mine")
        (victim / "precious").chmod(0o600)
        if self.is_store:
            shutil.copytree(template, root, symlinks=True)
        else:
            root.mkdir()
        for entry in (*self.own, *self.foreign):
            if (root / entry.path).parent.is_dir() and not (root / entry.path).parent.is_symlink():
                entry.make(root, victim)
        root.chmod(self.mode)


@st.composite
def foreign_entries(draw: st.DrawFn, places: tuple[str, ...], while_writing: bool = False) -> Entry:
    """Returns an entry that cannot be a writer's."""
    place = draw(st.sampled_from(places))
    prefix = f"{place}/" if place else ""
    own = OWN_NAMES[place]
    if draw(st.booleans()):
        # A foreign name, of any kind. A number would be the name of a generation.
        text = st.text(
            st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=40
        )
        name = draw(st.one_of(st.sampled_from(NEARLY), text))
        if (
            name in (*own, ".", "..")
            or name.isdecimal()
            or name.startswith((".new-1", ".old-1", ".current-1"))
        ):
            name = "notes"
        return Entry(
            prefix + name, draw(st.sampled_from(KINDS)), draw(st.sampled_from((None, 0o644, 0o4711)))
        )
    name = draw(st.sampled_from(own))
    if while_writing:
        # An entry inside a generation under the name of a writer's own file counts as its secret.
        kinds: tuple[str, ...] = ("fifo", "link to file", "link to folder", "link to nothing")
        return Entry(prefix + name, draw(st.sampled_from(kinds)))
    flaws: list[Entry] = [Entry(prefix + name, kind) for kind in OTHER_KINDS if _is_flaw(prefix + name, kind)]
    right = _right_kind(name)
    flaws += [Entry(prefix + name, kind) for kind in ("file", "folder", "socket") if kind != right]
    if right != "link":
        flaws.append(Entry(prefix + name, right, 0o755))
        if os.geteuid() == 0:
            flaws.append(Entry(prefix + name, right, None, NOBODY))
    return draw(st.sampled_from(flaws))


def _right_kind(name: str) -> str:
    if name.startswith(("current", ".current-")):
        return "link"
    if name.startswith(("control", ".control-")):
        return "socket"
    return "file" if name in ("lock", "manifest.json", "cert", "key") or "json" in name else "folder"


def _is_flaw(path: str, kind: str) -> bool:
    # Nobody knows what these hold.
    return (
        kind != "text"
        or _right_kind(path.rpartition("/")[2]) != "file"
        or path in ("lock", ".state.json", "state.json", ".freshness.json", "freshness.json")
    )


@st.composite
def cases(draw: st.DrawFn) -> Case:
    is_store = draw(st.booleans())
    places = PLACES if is_store else PLACES[:1]
    # Several at one path would undo each other.
    foreign = draw(
        st.lists(foreign_entries(places), max_size=3, unique_by=lambda entry: entry.path.split("/")[0])
    )
    additions = [own for own in OWN_ADDITIONS if is_store or "/" not in own[0]]
    own = (
        []
        if foreign
        else draw(st.lists(st.sampled_from(additions), max_size=3, unique_by=lambda own: own[0]))
    )
    return Case(is_store, draw(st.sampled_from(MODES)), tuple(foreign), tuple(Entry(*entry) for entry in own))


def snapshot(*paths: Path) -> dict[int, tuple[Any, ...]]:
    """Returns all facts about the content except its path and its access times, by inode."""
    found = {}
    for top in paths:
        for path in (top, *_below(top)):
            stat = path.lstat()
            content: Any = path.readlink() if path.is_symlink() else None
            if path.is_file() and not path.is_symlink():
                content = path.read_bytes()
            times = (stat.st_mtime_ns, stat.st_ctime_ns)
            found[stat.st_ino] = (stat.st_mode, stat.st_uid, stat.st_gid, stat.st_nlink, times, content)
    return found


def _below(folder: Path) -> Iterator[Path]:
    for entry in os.scandir(folder):
        yield Path(entry)
        if entry.is_dir(follow_symlinks=False):
            yield from _below(Path(entry))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Makes a store that a writer published and left."""
    return with_old_set(tmp_path_factory.mktemp("template") / "store")


def refusal(act: Callable[[], Any], *codes: str) -> str:
    """Returns why the writer refuses something, with one of these codes, or nothing."""
    try:
        act()
    except RefusedError as refused:
        if refused.code not in codes:
            raise
        return str(refused)
    return ""


def by_writer(root: Path) -> str:
    """Opens, publishes, reports a failure and stops; returns why it was refused, or nothing."""
    with Writer(root) as writer:
        if why := refusal(writer.open, "layout_insecure"):
            return why
        for of in ("one", "two", "three"):
            writer.publish(of)
        writer.fail()
        writer.stop()
    return ""


def _answer(request: Request) -> Answer:
    name = request.json["SecretId"]
    arn = f"arn:aws:secretsmanager:eu-west-1:123456789012:secret:{name}-AbCdEf"
    found = {"ARN": arn, "Name": name, "VersionId": "1" * 32, "VersionStages": ["AWSCURRENT"]}
    return Answer(body=json.dumps({**found, "SecretString": "made up"}).encode())


@contextmanager
def _environment() -> Iterator[dict[str, str]]:
    others = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "KEYSTART_"))}
    with Stub(_answer) as aws:
        yield {
            **others,
            "AWS_REGION": "eu-west-1",
            "AWS_ACCESS_KEY_ID": "made-up",
            "AWS_SECRET_ACCESS_KEY": "made-up",
            "AWS_ENDPOINT_URL": aws.url,
            "AWS_EC2_METADATA_DISABLED": "true",
            "KEYSTART_SECRETS": '{"db": "prod/db"}',
        }


def by_pull(root: Path) -> str:
    """Runs `keystart pull --root`."""
    with _environment() as environment:
        command: list[str | Path] = [KEYSTART, "pull", "--root", root]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, cwd="/")
    return _reason(ended.returncode, ended.stderr)


def by_extension(root: Path) -> str:
    """Runs the extension process until SHUTDOWN."""
    with _environment() as environment, Lambda() as api:
        api.send("SHUTDOWN")
        variables = {**environment, "KEYSTART_DIR": str(root), "AWS_LAMBDA_RUNTIME_API": api.address}
        ended = subprocess.run([KEYSTART], env=variables, capture_output=True, text=True, cwd="/", timeout=60)
        reason = _reason(ended.returncode, ended.stderr)
        assert bool(reason) == bool(api.reported)
    return reason


def _reason(code: int, said: str) -> str:
    if code == 0:
        return ""
    assert "is not safe to write" in said, said
    return said


Command = Callable[[Path], str]


def check(command: Command, case: Case, template: Path) -> None:
    """Runs a command on a folder, and checks the result."""
    with tempfile.TemporaryDirectory() as name:
        root, victim = Path(name) / "root", Path(name) / "victim"
        case.make(root, victim, template)
        before = snapshot(root, victim)
        outside = snapshot(victim)
        reason = command(root)
        if case.is_taken:
            assert reason == ""
            assert snapshot(victim) == outside
        else:
            assert reason != ""
            assert snapshot(root, victim) == before, reason
            # A name from outside may not harm a log.
            assert reason.isprintable() or reason.replace("\n", "").isprintable()
        if case.is_store and not _repair(case, root, template):
            return
        if case.is_store:
            with Writer(root) as writer:
                writer.open()
                assert writer.publish("new") > 1


def _repair(case: Case, root: Path, template: Path) -> bool:
    """Removes what is foreign; false if it is in the place of something of the store's."""
    for entry in case.foreign:
        path = root / entry.path
        if (template / entry.path).exists() or (template / entry.path).is_symlink():
            return False
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    return True


SETTINGS = settings(
    deadline=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@settings(SETTINGS, max_examples=300)
@given(case=cases())
def test_a_writer_changes_nothing_that_is_foreign(case: Case, template: Path) -> None:
    check(by_writer, case, template)


@settings(SETTINGS, max_examples=15)
@given(case=cases())
def test_pull_changes_nothing_that_is_foreign(case: Case, template: Path) -> None:
    check(by_pull, case, template)


@settings(SETTINGS, max_examples=40)
@given(case=cases())
def test_the_extension_changes_nothing_that_is_foreign(case: Case, template: Path) -> None:
    check(by_extension, case, template)


@settings(SETTINGS, max_examples=100)
@given(
    additions=st.lists(
        foreign_entries(PLACES, while_writing=True), min_size=1, max_size=3, unique_by=lambda it: it.path
    ),
    calls=st.lists(st.sampled_from(("publish", "fail", "candidate", "accept", "collect")), max_size=6),
)
def test_a_writer_changes_nothing_foreign_that_appears_while_it_has_the_store(
    additions: list[Entry], calls: list[str]
) -> None:
    with tempfile.TemporaryDirectory() as name, Writer(Path(name) / "root") as writer:
        root, victim = Path(name) / "root", Path(name) / "victim"
        victim.mkdir()
        (victim / "precious").write_text("mine")
        writer.open()
        writer.publish("one")
        own = snapshot(root)
        for entry in additions:
            if (root / entry.path).parent.is_dir() and not (root / entry.path).parent.is_symlink():
                entry.make(root, victim)
        after = snapshot(root, victim)
        # Folders of the writer's own that got an entry have another time. They are not foreign.
        foreign = {inode: facts for inode, facts in after.items() if inode not in own}
        acts: dict[str, Callable[[], Any]] = {
            "publish": lambda: writer.publish("two"),
            "fail": writer.fail,
            "candidate": lambda: writer.do(trying("three")),
            "accept": lambda: writer.do(accepting(2)),
            "collect": lambda: writer.do(COLLECT),
            "stop": writer.stop,
        }
        for call in [*calls, "stop"]:
            act = acts[call]
            refusal(act, "layout_insecure", "store_unwritable")
        left = snapshot(root, victim)
        assert {inode: left.get(inode) for inode in foreign} == foreign
        # Everything of the writer's own that it could reach is gone.
        if all(entry.path.count("/") == 0 and entry.path != "generations" for entry in additions):
            assert not list((root / "generations").iterdir())
