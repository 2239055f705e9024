"""Checks the package before anything is read: its names, its cost, its library."""

from __future__ import annotations

import subprocess
import sys

import keystart
from keystart import errors

from .publisher import Publisher

INTERFACE = {
    *("Keystart", "Secret", "Snapshot", "__version__"),
    *(
        "attempt",
        "get",
        "get_bytes",
        "get_json",
        "info",
        "names",
        "path",
        "refresh",
        "refresh_async",
        "secret",
        "snapshot",
        "tls",
    ),
    *errors.__all__,
}
# Every cold start of a function loads each of these.
LOADED = {
    *("keystart", "keystart.core", "keystart.client", "keystart.version"),
    *("keystart._native", "keystart._native.ffi", "_cffi_backend", "__future__"),
}


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True)


def test_the_interface_is_what_was_promised() -> None:
    assert len(keystart.__all__) == len(INTERFACE)
    assert set(keystart.__all__) == INTERFACE
    assert all(hasattr(keystart, name) for name in INTERFACE)


def test_importing_loads_only_itself_and_the_library() -> None:
    code = "import sys; before = set(sys.modules); import keystart; print(*set(sys.modules) - before)"
    run = python("-c", code)
    assert run.returncode == 0, run.stderr
    assert set(run.stdout.split()) <= LOADED


def test_a_read_loads_no_more_than_an_import(publisher: Publisher) -> None:
    publisher.publish({"db": "x"})
    code = """
import sys
import keystart
before = set(sys.modules)
client = keystart.Keystart(sys.argv[1])
client.get("db"), client.get_bytes("db"), client.path("db"), client.names(), client.snapshot().get("db")
print(*set(sys.modules) - before)
"""
    run = python("-c", code, str(publisher.root))
    assert (run.stdout, run.stderr) == ("\n", "")


def test_a_restored_sys_modules_changes_no_class_of_an_error() -> None:
    code = """
import sys
from unittest.mock import patch
import keystart
for _ in range(2):
    with patch.dict(sys.modules):
        try:
            keystart.get("/")
        except keystart.InvalidName:
            pass
try:
    keystart.get("/")
except keystart.InvalidName as error:
    assert type(error) is keystart.errors.InvalidName
    assert isinstance(error, keystart.KeystartError)
"""
    run = python("-c", code)
    assert (run.stdout, run.stderr) == ("", "")


def test_every_name_can_be_imported_although_it_is_loaded_later() -> None:
    code = """
import sys
import keystart
before = {*dir(keystart)}
from keystart import *
assert {*keystart.__all__} <= before == {*dir(keystart)} - {"errors"}, before
assert Secret.__module__ == "keystart._secret" and secret.__module__ == "keystart"
assert issubclass(SecretNotFound, KeystartError) and keystart.errors.SecretNotFound is SecretNotFound
try:
    keystart.SecretsNotFound
except AttributeError as error:
    print(error)
"""
    run = python("-c", code)
    assert (run.stdout, run.stderr) == ("module 'keystart' has no attribute 'SecretsNotFound'\n", "")


def test_threads_that_meet_their_first_errors_at_once_get_the_same_class() -> None:
    code = """
import sys, threading
sys.setswitchinterval(1e-6)
import keystart
start, raised = threading.Barrier(8), []
def read():
    start.wait()
    try:
        keystart.Keystart("/nonexistent", timeout=0).get("db")
    except keystart.NotAttached as error:
        raised.append(type(error))
threads = [threading.Thread(target=read) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert raised == [keystart.NotAttached] * 8
"""
    run = python("-c", code)
    assert run.returncode == 0, run.stderr


def test_a_fork_waits_for_a_thread_that_loads_the_errors() -> None:
    code = """
import importlib.abc, importlib.machinery, os, signal, sys, threading, time
import keystart
begun = threading.Event()
class Slow(importlib.machinery.SourceFileLoader):
    def exec_module(self, module):
        begun.set()
        time.sleep(0.2)
        super().exec_module(module)
class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if name == "keystart.errors":
            spec.loader = Slow(name, spec.origin)
        return spec
sys.meta_path.insert(0, Finder())
def read():
    try:
        keystart.Keystart("/nonexistent", timeout=0).get("db")
    except keystart.NotAttached:
        return
    os._exit(1)
thread = threading.Thread(target=read)
thread.start()
begun.wait()
child = os.fork()
if child == 0:
    signal.alarm(10)
    read()
    os._exit(0)
thread.join()
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    run = python("-W", "ignore", "-c", code)
    assert (run.stdout, run.stderr) == ("0\n", "")


def test_a_library_of_another_version_is_refused_with_the_cure() -> None:
    code = """
import sys, types
sys.modules["keystart.version"] = types.ModuleType("keystart.version")
sys.modules["keystart.version"].__version__ = "9.9.9"
import keystart
"""
    run = python("-c", code)
    assert run.returncode == 1
    assert run.stderr.endswith(
        f"ImportError: keystart 9.9.9 found its core library in version {keystart.__version__}. "
        "Install the package again: pip install --force-reinstall keystart\n"
    )
