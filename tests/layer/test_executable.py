"""Takes the layer's executable through its life in a root that holds nothing else."""

from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from keystart_extension import __version__

from extension.standalone.toolchain import ROOT, version_of
from tests.fakes.timed import TimedCloud

from .sandbox import Layer, Life, Sandbox

LAYER = "arn:aws:lambda:eu-west-1:123456789012:layer:keystart-x86_64:1"
INLINE = {"KEYSTART_SECRETS": "db=prod/db,tls/key=prod/key"}
# Variables that a function's configuration can set for an extension, and those that the C library
# reads before main.
HOSTILE = {
    **dict.fromkeys(("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONPLATLIBDIR"), "/tmp"),
    **dict.fromkeys(("PYTHONVERBOSE", "PYTHONINSPECT", "PYTHONPROFILEIMPORTTIME", "PYTHONDEVMODE"), "1"),
    **dict.fromkeys(("LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "LOCPATH", "GCONV_PATH"), "/tmp/x.so"),
    "GLIBC_TUNABLES": "glibc.malloc.arena_max=64:glibc.malloc.check=3:glibc.malloc.perturb=255",
    **{"MALLOC_ARENA_MAX": "64", "MALLOC_TOP_PAD_": "1", "MALLOC_PERTURB_": "255", "MALLOC_CHECK_": "3"},
    **{"RES_OPTIONS": "attempts:9 timeout:30", "HOSTALIASES": "/tmp/hosts", "LOCALDOMAIN": "example.org"},
    **{"LC_ALL": "tr_TR.ISO-8859-9", "LANG": "xx", "TZ": "/tmp/zone", "HOME": "/nowhere"},
}


def test_version_and_help_need_nothing(sandbox: Sandbox) -> None:
    assert sandbox.run("--version") == (0, f"keystart {__version__}\n", "")
    code, out, error = sandbox.run("--help")
    assert (code, error) == (0, "")
    assert out.startswith("usage: keystart ")


def test_wrong_use_has_its_exit_code_without_standard_error(native: Layer) -> None:
    done = subprocess.run(["sh", "-c", '"$0" nothing 2>&-', native.executable], stdout=subprocess.PIPE)
    assert done.returncode == 2


def test_it_starts_the_script_that_pip_installs_beside_it_and_never_as_an_extension(
    native: Layer, tmp_path: Path
) -> None:
    executable, script = tmp_path / "keystart", tmp_path / "keystart-python"
    shutil.copy(native.executable, executable)
    script.write_text('#!/bin/sh\necho "the script: $*"\n')
    script.chmod(0o755)

    def output(*arguments: str, **variables: str) -> str:
        done = subprocess.run([executable, *arguments], env=variables, capture_output=True, text=True)
        return done.stdout + done.stderr

    assert output("attach", "orders") == "the script: attach orders\n"
    assert output() == "the script: \n"
    lambda_api = {"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:1", "KEYSTART_DIR": str(tmp_path / "root")}
    assert "the script" not in output(**lambda_api)
    script.write_text("#!/no/such/python\n")
    notice = "keystart: keystart-python, which pip installed beside it, does not start: No such file or directory. "
    assert output("--version") == f"keystart {__version__}\n{notice}Install keystart-extension again.\n"
    script.unlink()
    assert output("--version") == f"keystart {__version__}\n"


def test_it_reads_no_messages_from_the_folder_that_one_works_in(native: Layer, tmp_path: Path) -> None:
    catalog = tmp_path / "share/locale/de/LC_MESSAGES/messages.mo"
    catalog.parent.mkdir(parents=True)
    original, translated = b"usage: ", b"in the way: "
    numbers = (0x950412DE, 0, 1, 28, 36, 0, 0, len(original), 44, len(translated), 44 + len(original))
    catalog.write_bytes(struct.pack("<11I", *numbers) + original + translated + b"\0")
    done = subprocess.run(
        [native.executable, "--help"], env={"LANGUAGE": "de"}, cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: keystart ")


@pytest.mark.parametrize("hostile", [{}, HOSTILE], ids=["as in Lambda", "hostile"])
def test_a_life_in_an_empty_root(sandbox: Sandbox, cloud: TimedCloud, hostile: dict[str, str]) -> None:
    life = Life(sandbox, cloud, {**hostile, **INLINE})
    assert (life.code, life.values) == (0, {"db": "x" * 100, "tls/key": "x" * 100}), life.said
    assert life.owner == 65534
    assert re.fullmatch(r"\[keystart\] INFO  published 2 secrets as generation 1 in \d+ ms\n", life.said)
    assert life.api_calls == ["register", "next"]


@pytest.mark.parametrize("file", ["keystart.json", "keystart.yaml", "config.yaml"])
def test_each_form_of_a_configuration_is_read_from_the_function(
    sandbox: Sandbox, cloud: TimedCloud, file: str
) -> None:
    theirs = {"SecretManagers": [{"secrets": [{"secretname": "prod/db", "filename": "db"}]}]}
    document = theirs if file == "config.yaml" else {"version": 1, "secrets": {"db": "prod/db"}}
    (sandbox.root / "var/task" / file).write_text(json.dumps(document))
    life = Life(sandbox, cloud, {})
    assert (life.code, life.values) == (0, {"db": "x" * 100}), life.said


def test_the_time_until_published_counts_from_the_first_step(
    sandbox: Sandbox, cloud: TimedCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloud, "register_latency", 0.3)
    life = Life(sandbox, cloud, {"KEYSTART_SECRETS": "db=prod/db"})
    took = life.said.rpartition(" in ")[2].partition(" ms")[0]
    assert float(took) / 1000 >= cloud.register_latency, life.said


def test_sigterm_at_any_moment_of_the_start_removes_the_secrets(sandbox: Sandbox, cloud: TimedCloud) -> None:
    variables = {**cloud.variables(), "AWS_CA_BUNDLE": "/opt/authority.pem", **INLINE}
    for _ in range(10):
        cloud.begin()
        process = sandbox.start([], variables)
        while "register" not in cloud.events and process.poll() is None:
            pass  # as close as possible to what main has just begun
        process.terminate()
        _, error = process.communicate(timeout=20)
        assert (process.returncode, error.splitlines()[-1]) == (
            143,
            "[keystart] WARN  SIGTERM: the secrets are removed and the process ends.",
        )


def test_a_wrong_configuration_ends_the_start_with_its_reason(sandbox: Sandbox, cloud: TimedCloud) -> None:
    (sandbox.root / "var/task/keystart.yaml").write_text("version: 1\nsecrts: {}\n")
    code, _, error = sandbox.run(**{**cloud.variables(), "AWS_CA_BUNDLE": "/opt/authority.pem"})
    assert code == 1
    assert (
        '/var/task/keystart.yaml:2:1: The configuration has no key "secrts". Did you mean "secrets"?' in error
    )
    assert list(cloud.events) == ["register", "error"]


def test_pull_is_refused_with_the_cure(sandbox: Sandbox) -> None:
    cure = "boto3 is not installed here, and the layer does not bring it."
    (sandbox.root / "var/task/keystart.yaml").write_text("version: 1\nsecrets: {db: prod/db}\n")
    code, _, error = sandbox.run("pull", "/var/task/keystart.yaml")
    assert (code, error.partition(" Use ")[0]) == (1, f"keystart: {cure}")


@pytest.mark.parametrize(
    ("command", "cure"),
    [
        (["layer", "publish"], "Use the command that pip install keystart-extension installs."),
        (
            ["attach", "orders", "--layer", LAYER],
            "Use the command that pip install keystart-extension installs.",
        ),
        (["detach", "orders"], "Use the command that pip install keystart-extension installs."),
        (["layer", "build"], "In a checkout of Keystart, on Debian 12: ./dev layer."),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else "",
)
def test_what_needs_boto3_or_sources_is_refused_with_the_cure(
    sandbox: Sandbox, command: list[str], cure: str
) -> None:
    code, out, error = sandbox.run(*command)
    assert (code, out, cure in error) == (1, "", True), error


def test_the_commands_for_people_work(sandbox: Sandbox) -> None:
    (sandbox.root / "var/task/keystart.yaml").write_text("version: 1\nsecrets: {db: prod/db}\n")
    assert sandbox.run("check", "/var/task/keystart.yaml")[0] == 0
    code, out, _ = sandbox.run("compile", "/var/task/keystart.yaml", "-o", "-")
    assert (code, json.loads(out)["secrets"]) == (0, {"db": {"secret": "prod/db"}})
    code, out, _ = sandbox.run("iam-policy", "/var/task/keystart.yaml", "--region", "eu-west-1")
    assert (code, json.loads(out)["Statement"][0]["Action"]) == (0, "secretsmanager:GetSecretValue")
    code, _, error = sandbox.run("ls")
    assert (code, error.startswith("keystart: There is no store at /tmp/keystart.")) == (1, True)


def test_the_file_needs_no_other_and_names_no_machine(layer: Layer) -> None:
    headers = subprocess.run(
        ["readelf", "-lW", layer.executable], capture_output=True, text=True, check=True
    ).stdout
    assert "INTERP" not in headers
    assert "Elf file type is DYN" in headers  # so that its addresses are random
    code = layer.executable.read_bytes()
    assert b"/.cargo/registry" not in code
    assert str(ROOT).encode() not in code


def test_the_c_library_inside_is_the_one_that_gets_security_updates(layer: Layer) -> None:
    version = version_of("libc6-dev", layer.target)
    assert f"GNU C Library (Debian GLIBC {version}) ".encode() in layer.executable.read_bytes()
