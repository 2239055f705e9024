"""The harness distinguishes right from wrong answers, and a faulty runner from a faulty reader."""

from __future__ import annotations

import json
import shutil
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from . import harness, runner, store
from .case import Case, Place, difference, same


def case(**members: Any) -> Case:
    plain: dict[str, Any] = {
        "id": "some",
        "clause": "6.5.1",
        "store": {"base": "good"},
        "ask": {"call": "text", "name": "db"},
        "expect": {"value": "value of db\n"},
        "expect_in": {},
        "exceptions": {},
        "requires_absent": None,
        "file": "some.json",
    }
    return Case(**{**plain, **members})


PLACE = Place(Path("/tmp/here/store"), Path("/tmp/cwd"))


def program(text: str) -> list[str]:
    return [sys.executable, "-c", f"import json, sys\n{text}"]


# Answers every request with the text that the plain case expects.
RIGHT = """
for line in sys.stdin:
    print(json.dumps({"id": json.loads(line)["id"], "value": "value of db\\n"}), flush=True)
"""


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("sys.exit('no such reader')", "ended without an answer; it wrote:\nno such reader"),
        ("print('hello', flush=True)", "answered what is no JSON: b'hello'"),
        ("print('[]', flush=True)", "answered something else than some"),
        ("""print('{"id": "other", "value": 1}', flush=True)""", "answered something else than some"),
    ],
)
def test_a_runner_that_does_not_answer_is_reported_as_such(answer: str, message: str) -> None:
    with runner.Runner("ruby", program(f"sys.stdin.readline()\n{answer}")) as running:
        different = running.run(case())
    assert different is not None
    assert different.startswith("the runner of ruby ")
    assert message in different


def test_a_runner_that_died_is_started_again_for_the_next_case() -> None:
    once = "print(json.dumps({'id': json.loads(sys.stdin.readline())['id'], 'value': 'value of db\\n'}), flush=True)"
    with runner.Runner("node", program(once)) as running:
        assert running.run(case()) is None
        failed = running.run(case())
        assert failed is not None
        assert "ended" in failed
        assert running.run(case()) is None


def test_a_silent_runner_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "PATIENCE", 0.05)
    with runner.Runner("node", program("sys.stdin.read()")) as running:
        assert running.run(case()) == "the runner of node gave no answer within 0.05 s"


def test_a_program_that_does_not_exist_cannot_be_started() -> None:
    with (
        runner.Runner("node", ["/nowhere/node"]) as running,
        pytest.raises(runner.RunnerError, match="the runner of node"),
    ):
        running.start()


def test_the_store_changes_in_turn_while_the_runner_pauses() -> None:
    pausing = """
asked = json.loads(sys.stdin.readline())
texts, pause = [], asked
while "pause" in pause:
    texts.append(pause["pause"] + open(asked["root"] + "/current/secrets/db").read())
    print(json.dumps({"id": asked["id"], "paused": True}), flush=True)
    pause = json.loads(sys.stdin.readline())
texts.append(open(asked["root"] + "/current/secrets/db").read())
print(json.dumps({"id": asked["id"], "value": " ".join(texts)}), flush=True)
"""
    steps = [
        {"after": "made", "change": {"generation": 4, "secrets": {"db": " 4"}}},
        {"after": "asked", "change": {"generation": 5, "secrets": {"db": "5"}}},
    ]
    twice = case(
        store={"base": "good", "secrets": {"db": " 3"}},
        ask={"call": "text", "name": "db", "then": steps},
        expect={"value": "made 3 asked 4 5"},
    )
    with runner.Runner("python", program(pausing)) as running:
        assert running.run(twice) is None


# Asks the scripted writer with the request in {}, and answers with the names that it wrote.
REFRESHING = """
import socket
asked = json.loads(sys.stdin.readline())
with socket.socket(socket.AF_UNIX) as client:
    client.connect(asked["root"] + "/control.sock")
    client.sendall({!r})
    answer = b"".join(iter(lambda: client.recv(10), b""))
print(json.dumps({{"id": asked["id"], "value": json.loads(answer)["names"]}}), flush=True)
"""


@pytest.mark.parametrize(
    ("sent", "received"),
    [
        (b'{"op": "refresh", "names": null}\n', None),
        (b'{"op": "refresh", "names": ["db"]}\n', {"op": "refresh", "names": ["db"]}),
        (b'{"op": "refresh", "names": null}\n\n', repr(b'{"op": "refresh", "names": null}\n\n')),
        (b"names please\n", repr(b"names please\n")),
    ],
)
def test_what_the_writer_is_asked_counts_too(sent: bytes, received: object) -> None:
    asking = case(
        clause="9.3",
        ask={"call": "refresh", "writer": {"answers": [{"line": {"json": {"names": ["db"]}}, "pieces": 3}]}},
        expect={"value": ["db"], "requests": [{"op": "refresh", "names": None}]},
    )
    with runner.Runner("python", program(REFRESHING.format(sent))) as running:
        different = running.run(asking)
    if received is None:
        assert different is None
    else:
        assert different is not None
        assert json.dumps([received]) in different


def test_a_reader_that_asks_nobody_is_reported() -> None:
    asking = case(
        ask={"call": "refresh", "writer": {"answers": [{}]}},
        expect={"value": "value of db\n", "requests": [{"names": None}]},
    )
    with runner.Runner("python", program(RIGHT)) as running:
        different = running.run(asking)
    assert different is not None
    assert '"requests": []' in different


ERROR = {"code": "secret_not_found", "message": "No {root}.", "secret": "db"}
GIVEN = {
    "code": "secret_not_found",
    "message": "No /tmp/here/store.",
    "secret": "db",
    "class": "SecretNotFound",
}


TEXT: dict[str, Any] = {"expect": {"value": "value of db\n"}}
REFUSED: dict[str, Any] = {"expect": {"error": ERROR}}
LARGE: dict[str, Any] = {
    "ask": {"call": "json"},
    "expect": {"value": 2**53 + 1},
    "expect_in": {"node": {"value": 2**53}},
}


@pytest.mark.parametrize(
    ("expected", "language", "answer", "is_right"),
    [
        (TEXT, "node", {"value": "value of db\n"}, True),
        *(
            (TEXT, "node", answer, False)
            for answer in ({"value": "x"}, {"value": "value of db"}, {"crash": "x"}, {})
        ),
        (REFUSED, "node", {"error": GIVEN}, True),
        (REFUSED, "node", {"error": {**GIVEN, "code": "not_ready"}}, False),
        (REFUSED, "node", {"error": {**GIVEN, "message": "No /tmp/here/store"}}, False),
        (REFUSED, "node", {"error": {**GIVEN, "secret": None}}, False),
        (REFUSED, "node", {"error": {**GIVEN, "class": "KeystartError"}}, False),
        (REFUSED, "node", {"error": {**GIVEN, "extra": 1}}, False),
        (LARGE, "node", {"value": 2**53}, True),
        (LARGE, "ruby", {"value": 2**53}, False),
    ],
)
def test_only_what_the_case_expects_is_right(
    expected: dict[str, Any], language: str, answer: dict[str, Any], is_right: bool
) -> None:
    assert (difference(case(**expected), language, {"id": "some", **answer}, PLACE) is None) is is_right


@pytest.mark.parametrize(
    ("wanted", "given", "exact", "equal"),
    [
        (3, 3.0, False, True),
        (3, 3.0, True, False),
        (1, True, False, False),
        (None, False, False, False),
        (2**53 + 1, float(2**53), False, False),
        ([1, {"a": []}], [1, {"a": []}], False, True),
        ([1], [1, 2], False, False),
        ({"a": 1}, {"a": 1, "b": 2}, False, False),
        ({"a": [1]}, {"a": [True]}, False, False),
    ],
)
def test_values_are_compared_as_json(wanted: Any, given: Any, exact: bool, equal: bool) -> None:
    assert same(wanted, given, exact=exact) is equal


def test_a_case_is_skipped_only_with_a_reason(tmp_path: Path) -> None:
    assert case().reason_to_skip("node") is None
    assert case(exceptions={"node": "no such type"}).reason_to_skip("node") == "node: no such type"
    assert case(exceptions={"node": "no such type"}).reason_to_skip("ruby") is None
    there = case(requires_absent=str(tmp_path)).reason_to_skip("node")
    assert there == f"{tmp_path} exists on this machine"


def test_a_good_store_is_as_a_writer_leaves_it(tmp_path: Path) -> None:
    root = tmp_path / "store"
    store.build(root, {"base": "good", "secrets": {"tls/key": "key\n"}})
    shown = {
        str(path.relative_to(root)): oct(stat.S_IMODE(path.lstat().st_mode))
        for path in root.rglob("*")
        if not path.is_symlink()
    }
    assert shown == {
        "lock": "0o600",
        "state.json": "0o600",
        "generations": "0o700",
        "generations/3": "0o700",
        "generations/3/manifest.json": "0o600",
        "generations/3/secrets": "0o700",
        "generations/3/secrets/tls": "0o700",
        "generations/3/secrets/tls/key": "0o600",
    }
    assert (root / "current").readlink() == Path("generations/3")
    entry = json.loads((root / "current/manifest.json").read_text())["secrets"]["tls/key"]
    assert (entry["path"], entry["size"], entry["encoding"]) == ("secrets/tls/key", 4, "utf-8")


def test_nothing_is_built_behind_a_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o755)
    (outside / "file").touch(mode=0o644)
    folder = tmp_path / "folder"
    folder.mkdir()
    link = {"base": "none", "links": {"away": str(outside)}}
    for edits in ({"modes": {"away": "0000"}}, {"modes": {"away/file": "0000"}}, {"fifos": ["away/file"]}):
        with pytest.raises(ValueError, match=r"is a link|leads out"):
            store.build(folder / "store", {**link, **edits})
        shutil.rmtree(folder / "store")
    assert (stat.S_IMODE(outside.stat().st_mode), stat.S_IMODE((outside / "file").stat().st_mode)) == (
        0o755,
        0o644,
    )


def test_a_manifest_is_filled_with_what_fits(tmp_path: Path) -> None:
    store.build(tmp_path / "store", {"base": "good", "manifest": {"fill": 4096}})
    text = (tmp_path / "store/current/manifest.json").read_bytes()
    last = f"fill{len(json.loads(text)['secrets']) - 2:05}"
    assert 4096 - len(json.dumps({last: json.loads(text)["secrets"][last]})) < len(text) <= 4096


def test_languages_can_be_chosen_and_unknown_ones_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KEYSTART_LANGUAGES", raising=False)
    assert runner.chosen_languages() == ["core", "python", "node", "ruby"]
    monkeypatch.setenv("KEYSTART_LANGUAGES", "node, ruby")
    assert runner.chosen_languages() == ["node", "ruby"]
    monkeypatch.setenv("KEYSTART_LANGUAGES", "perl")
    with pytest.raises(ValueError, match="perl"):
        runner.chosen_languages()


def test_the_command_refuses_a_store_that_cannot_be_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runner, "command_of", lambda _: program(RIGHT))
    one = {
        "id": "some",
        "clause": "6.5.1",
        "reason": "A reason.",
        "store": {"base": "none", "modes": {"x": "0700"}},
    }
    asked = {"ask": {"call": "text", "name": "db"}, "expect": {"value": "x"}}
    (tmp_path / "some.json").write_text(json.dumps({"section": "Some", "cases": [{**one, **asked}]}))
    assert harness.main(["--cases", str(tmp_path), "--language", "node"]) == 2
    assert "some: its store cannot be built" in capsys.readouterr().err


def test_the_command_prints_one_json_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runner, "command_of", lambda _: program(RIGHT))
    one = {"id": "some", "clause": "6.5.1", "reason": "A reason.", "store": {"base": "good"}}
    asked = {"ask": {"call": "text", "name": "db"}}
    right, wrong = ({"expect": {"value": value}} for value in ("value of db\n", "other"))
    cases = [{**one, **asked, **right}, {**one, **asked, **wrong, "id": "wrong"}]
    (tmp_path / "some.json").write_text(json.dumps({"section": "Some", "cases": cases}))
    assert harness.main(["--cases", str(tmp_path), "--language", "node", "--json"]) == 1
    (result,) = json.loads(capsys.readouterr().out)
    assert (result["language"], result["passed"], list(result["failed"])) == ("node", 1, ["wrong"])
    assert result["failed"]["wrong"]["clause"] == "6.5.1"


def test_the_command_reports_a_runner_that_cannot_be_started(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runner, "command_of", lambda _: program("sys.exit('no reader here')"))
    assert harness.main(["--language", "ruby"]) == 3
    assert "the runner of ruby ended" in capsys.readouterr().out
