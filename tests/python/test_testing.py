"""keystart.testing, as people use it to test their own function."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import keystart
import keystart.testing
import pytest
from keystart import errors


def test_the_default_client_reads_what_was_published() -> None:
    config = {"pool": [1, 2], "größe": None}
    with keystart.testing.store({"db": "word", "keytab": b"\xff\0", "config": config, "port": 5432}):
        assert keystart.get("db") == "word"
        assert keystart.get_bytes("keytab") == b"\xff\0"
        assert keystart.get_json("config") == config
        assert keystart.get("port") == "5432"
        assert [keystart.info(name)["encoding"] for name in keystart.names()] == [
            *("utf-8", "utf-8", "binary", "utf-8")
        ]


def test_a_client_without_arguments_reads_it_too_and_so_does_a_process() -> None:
    with keystart.testing.store({"db": "word"}) as store:
        assert keystart.Keystart().path("db") == f"{store.root}/current/secrets/db"
        program = [sys.executable, "-c", "import keystart; print(keystart.get('db'))"]
        assert subprocess.run(program, capture_output=True, check=True, text=True).stdout == "word\n"


def test_after_the_block_all_is_as_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KEYSTART_DIR", str(tmp_path / "nothing"))
    with keystart.testing.store({"db": "outer"}) as outer:
        client = keystart._client()
        with contextlib.suppress(ZeroDivisionError), keystart.testing.store({"db": "inner"}) as inner:
            assert keystart.get("db") == "inner"
            raise ZeroDivisionError
        assert keystart._client() is client
        assert (keystart.get("db"), os.environ["KEYSTART_DIR"]) == ("outer", outer.root)
    assert os.environ["KEYSTART_DIR"] == str(tmp_path / "nothing")
    assert not any(Path(store.root).parent.exists() for store in (inner, outer))
    with pytest.raises(keystart.NotAttached):
        keystart.get("db")


def test_the_temporary_folder_may_lie_below_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As /tmp and the folders of TMPDIR do on macOS.
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "link"))
    with keystart.testing.store({"db": "old", "tls/key": "key"}) as store:
        assert Path(store.root).parents[1] == tmp_path / "link"
        snapshot = keystart.snapshot()
        store.publish({"db": "new"})
        assert (keystart.get("db"), snapshot.get("tls/key")) == ("new", "key")
        assert Path(keystart.path("db")).read_text() == "new"
        store.stop()
    assert list((tmp_path / "real").iterdir()) == []


def test_a_variable_that_was_not_set_is_not_set_afterwards() -> None:
    with keystart.testing.store():
        pass
    assert "KEYSTART_DIR" not in os.environ


@keystart.testing.store({"db": "word"})
def test_it_decorates_a_function() -> None:
    assert keystart.names() == ["db"]


def test_a_rotation_is_seen_by_the_next_read_and_not_by_a_snapshot() -> None:
    with keystart.testing.store({"db": "old", "gone": "x"}) as store:
        snapshot = keystart.snapshot()
        assert store.publish({"db": "new"}) == 2
        assert (keystart.get("db"), snapshot.get("db")) == ("new", "old")
        assert keystart.names() == ["db"]
        store.publish({"db": "newer"})
        assert (keystart.get("db"), snapshot.get("gone")) == ("newer", "x")  # the writer keeps it for a while


def test_an_entry_is_unavailable_for_the_reason_given() -> None:
    unavailable = pytest.raises(keystart.SecretUnavailable, match=r": Unavailable: Nobody has them\.$")
    with keystart.testing.store({"db": "x"}, unavailable={"flags": "Nobody has them."}), unavailable:
        keystart.get("flags/new-checkout")


def test_a_prefetch_that_failed_is_reported_until_the_next_publish() -> None:
    with keystart.testing.store({"db": "x"}) as store:
        store.fail("Access denied.")
        with pytest.raises(keystart.PrefetchFailed, match="Access denied"):
            keystart.get("db")
        assert store.publish({"db": "y"}) == 2
        assert keystart.get("db") == "y"


def test_a_store_that_was_stopped_is_reported_until_the_next_publish() -> None:
    with keystart.testing.store({"db": "x"}) as store:
        store.stop()
        with pytest.raises(keystart.NotReady, match="was stopped"):
            keystart.get("db")
        store.stop()
        store.fail("Again.")
        store.publish({"db": "y"})
        assert keystart.get("db") == "y"


def test_a_reader_in_another_thread_sees_the_same_store() -> None:
    with keystart.testing.store({"db": "x"}):
        read: list[str] = []
        thread = threading.Thread(target=lambda: read.append(keystart.get("db")))
        thread.start()
        thread.join()
        assert read == ["x"]


WRONG: dict[str, tuple[dict[object, object], type[Exception], str]] = {
    "no name": ({"../db": "x"}, keystart.InvalidName, r'^"\.\./db" is not a valid secret name\.'),
    "no text": ({7: "x"}, keystart.InvalidName, r"^The name of a secret must be a string\.$"),
    "a name in a name": ({"db": "x", "db/user": "y"}, errors.NameConflict, '"db" is the folder of "db/user"'),
    "too long": ({"db": "x" * 1_048_577}, errors.ValueTooLarge, '^The secret "db" has 1048577 bytes, '),
    "no JSON": ({"db": object()}, TypeError, "not JSON serializable"),
    "not a number": ({"db": float("nan")}, ValueError, "not JSON compliant"),
}


@pytest.mark.parametrize(("secrets", "kind", "message"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_published_is_reported_and_changes_nothing(
    secrets: dict[str, object], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message), keystart.testing.store(secrets):
        pytest.fail("was published")
    assert "KEYSTART_DIR" not in os.environ
    with keystart.testing.store({"db": "kept"}) as store:
        with pytest.raises(kind, match=message):
            store.publish(secrets)
        assert keystart.get("db") == "kept"


def test_the_fixture_of_pytest_exists_for_a_test_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["keystart.pytest_plugin"]\n')
    (tmp_path / "test_function.py").write_text("""
import os, keystart, pytest

def test_one(keystart_store):
    keystart_store.publish({"db": "x"})
    assert keystart.get("db") == "x"

def test_another_has_its_own_store(keystart_store):
    with pytest.raises(keystart.SecretNotFound):
        keystart.get("db")

def test_none():
    assert "KEYSTART_DIR" not in os.environ
""")
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", tmp_path, tmp_path],
        capture_output=True,
        cwd=tmp_path,
        text=True,
    )
    assert (ran.returncode, ran.stdout.splitlines()[-1].split(" in ")[0]) == (0, "3 passed"), ran.stdout


def test_nobody_loads_it_who_does_not_import_it() -> None:
    code = (
        "import sys, keystart; print({m for m in sys.modules if m.startswith('keystart.') and 'test' in m})"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"
