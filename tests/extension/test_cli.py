"""Uses the command line as people do: check, pull, ls, get, and the output if something is wrong."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from keystart_extension import __version__

from tests.fakes.aws import REGION, Cloud, secret
from tests.fakes.http import Answer, Gate
from tests.interrupt import interrupt

from .conftest import COMMAND, Canaries, Environment, Keystart, Serve, Store


def configure(folder: Path, secrets: dict[str, Any], **settings: str) -> Path:
    file = folder / "keystart.json"
    file.write_text(json.dumps({"version": 1, **settings, "secrets": secrets}))
    return file


def test_help_lists_the_commands_that_there_are(keystart: Keystart) -> None:
    code, out, error = keystart("--help")
    assert (code, error) == (0, "")
    _, _, commands = out.partition("\n  COMMAND\n")
    assert re.findall(r"^    (\S+)", commands, re.MULTILINE) == [
        *("check", "compile", "pull", "ls", "get"),
        *("layer", "attach", "detach", "status", "roll", "sync", "iam-policy", "import"),
    ]


def test_the_version_is_reported(keystart: Keystart) -> None:
    assert keystart("--version") == (0, f"keystart {__version__}\n", "")


@pytest.mark.parametrize("arguments", [["push"], ["get"], ["get", "a", "b"], ["ls", "--yaml"]])
def test_wrong_use_ends_with_2(keystart: Keystart, arguments: list[str]) -> None:
    code, out, error = keystart(*arguments)
    assert (code, out) == (2, "")
    assert error.startswith("usage: keystart ")


def test_check_shows_the_plan_as_text(keystart: Keystart, tmp_path: Path) -> None:
    file = configure(
        tmp_path, {"db": "prod/db", "tls": {"secret": "prod/tls", "expand": True, "optional": True}}
    )
    for arguments in (["check", file], ["check"]):
        code, out, error = keystart(*arguments)
        assert (code, error) == (0, "")
        assert out.endswith(
            "start          overlap\n"
            "deadline       8s\n"
            "region         AWS_REGION\n"
            "\n"
            "NAME   SOURCE  ID        REGION      DETAILS\n"
            "db     secret  prod/db   AWS_REGION\n"
            "tls/*  secret  prod/tls  AWS_REGION  expand, optional\n"
        )


def test_check_shows_the_plan_as_json(keystart: Keystart, tmp_path: Path) -> None:
    code, out, error = keystart("check", "--json", configure(tmp_path, {"db": "prod/db"}))
    assert (code, error) == (0, "")
    document = json.loads(out)
    assert document["valid"]
    assert [(entry["name"], entry["id"]) for entry in document["plan"]["entries"]] == [("db", "prod/db")]


def refreshed(folder: Path, secrets: dict[str, Any], ttl: str = "5m") -> Path:
    file = folder / "keystart.yaml"
    file.write_text(json.dumps({"version": 1, "ttl": ttl, "batch": True, "secrets": secrets}))
    return file


def test_check_shows_what_a_ttl_costs(keystart: Keystart, tmp_path: Path) -> None:
    secrets = {
        **{"user": {"secret": "db", "field": "user"}, "password": {"secret": "db", "field": "password"}},
        **{"key": "key", "fixed": {"secret": "fixed", "ttl": "none"}, "third": "ssm:/flag:3"},
        **{f"flag-{number}": f"ssm:/flag/{number}" for number in range(11)},
    }
    file = refreshed(tmp_path, secrets)
    code, out, error = keystart("check", file)
    assert (code, error) == (0, "")
    # 86,400 s / (300 s * 0.9) = 320 refreshes of two secrets, and of eleven parameters in two requests.
    expected = (
        "1 environment sends at most 640 to Secrets Manager and 640 to Parameter Store a day, for $0.0032."
    )
    assert out.splitlines()[-1] == f"With this ttl {expected}"
    code, out, error = keystart("check", "--json", "--environments", "1000", file)
    assert (code, error) == (0, "")
    assert json.loads(out)["cost"] == {
        "environments": 1000,
        "requests_a_day": {"secretsmanager": 640_000, "ssm": 640_000},
        "dollars_a_day": 3.2,
    }


def test_check_shows_no_cost_without_refreshes(keystart: Keystart, tmp_path: Path) -> None:
    for file in (
        configure(tmp_path, {"db": "prod/db"}),
        refreshed(tmp_path, {"db": {"secret": "x", "ttl": "none"}}),
    ):
        assert json.loads(keystart("check", "--json", file)[1])["cost"] is None


@pytest.mark.parametrize("number", ["0", "-1", "1.5", "many", "1000001"])
def test_a_number_of_environments_that_is_none_is_refused(
    keystart: Keystart, tmp_path: Path, number: str
) -> None:
    code, out, error = keystart("check", f"--environments={number}", configure(tmp_path, {"db": "prod/db"}))
    assert (code, out) == (2, "")
    assert "must be a number from 1 to 1,000,000" in error


def test_check_warns_of_variables_that_a_refresh_does_not_change(keystart: Keystart, tmp_path: Path) -> None:
    secrets = {
        "db": {"secret": "db", "env": "DB_PASSWORD"},
        "fixed": {"secret": "x", "env": "FIXED", "ttl": "none"},
        "version": {"secret": "x", "env": "OLD", "version_id": "9d4cb84b-ad69-40c0-a0ab-cead36b967e8"},
        "flag": {"parameter": "/flag:3", "env": "FLAG"},
    }
    code, _, error = keystart("check", refreshed(tmp_path, secrets))
    assert code == 0
    assert error == (
        "warning: A refresh does not change variables that were set at the start: DB_PASSWORD. "
        "Read the secret with a reader where it must be new.\n"
    )
    file = refreshed(tmp_path, secrets, "none")
    assert keystart("check", file)[2] == ""


@pytest.mark.parametrize(
    ("settings", "secret", "warning"),
    [
        (
            {"deadline": "9001ms"},
            "x",
            "Lambda ends an Init after 10 s, unless the function has provisioned concurrency. With a deadline of "
            "9001ms the log may not say why. Write 9s or less.",
        ),
        (
            {"deadline": "9s"},
            {"secret": "x", "stage": "AWSPREVIOUS"},
            "A secret that was never rotated has no AWSPREVIOUS, and the start fails: db. Add optional: true.",
        ),
        ({"deadline": "9s"}, {"secret": "x", "stage": "AWSPREVIOUS", "optional": True}, None),
    ],
)
def test_check_warns_of_what_may_not_work_in_lambda(
    keystart: Keystart, tmp_path: Path, settings: dict[str, str], secret: Any, warning: str | None
) -> None:
    file = tmp_path / "keystart.json"
    file.write_text(json.dumps({"version": 1, **settings, "secrets": {"db": secret}}))
    assert keystart("check", file)[2] == (f"warning: {warning}\n" if warning else "")
    assert json.loads(keystart("check", "--json", file)[1])["warnings"] == ([warning] if warning else [])


@pytest.mark.parametrize(
    ("variables", "warning"),
    [
        (
            {"AWS_REGION": "us-east-1a"},
            "AWS_REGION must be a region such as eu-west-1, found a text of 10 characters. Correct it.",
        ),
        (
            {"KEYSTART_TIMEOUT_MS": "500"},
            "Readers wait for 500 ms (KEYSTART_TIMEOUT_MS), and the deadline is 8s. Write a longer timeout, or a "
            "shorter deadline.",
        ),
        ({"AWS_REGION": "eu-west-1", "KEYSTART_TIMEOUT_MS": "9000"}, None),
    ],
)
def test_check_looks_at_variables_that_the_function_may_have(
    keystart: Keystart,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    warning: str | None,
) -> None:
    file = tmp_path / "keystart.json"
    file.write_text('{"version": 1, "secrets": {"db": "prod/db"}}')
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert keystart("check", file)[2] == (f"warning: {warning}\n" if warning else "")


def test_check_warns_of_links_where_a_function_cannot_write(keystart: Keystart, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    text = "SecretManagers: [{secrets: [{secretname: prod/db}]}]\nSecretsHome: %s\n"
    file.write_text(text % "/var/secrets")
    warning = "SecretsHome is not below /tmp, the only folder that a function may write to. Name one there."
    assert keystart("check", file)[2] == f"warning: {warning}\n"
    file.write_text(text % "/tmp/secrets")
    assert keystart("check", file)[2] == ""


def test_check_reports_every_problem(keystart: Keystart, tmp_path: Path) -> None:
    file = tmp_path / "keystart.yaml"
    file.write_text("version: 1\nregon: eu-west-1\nsecrets:\n  db: prod/db\n  ../x: prod/db\n")
    code, out, error = keystart("check", file)
    assert (code, out) == (1, "")
    first, second = error.splitlines()
    assert first.startswith(f"{file}:2:1: ")
    assert second.startswith(f"{file}:5:3: ")
    code, out, error = keystart("check", "--json", file)
    assert (code, error) == (1, "")
    document = json.loads(out)
    assert not document["valid"]
    assert [(problem["line"], problem["column"]) for problem in document["problems"]] == [(2, 1), (5, 3)]
    assert f"{file}:2:1: {document['problems'][0]['message']}" == first


def test_pull_publishes_and_ls_and_get_read(
    keystart: Keystart, cloud: Cloud, store: Store, tmp_path: Path, canary: Canaries
) -> None:
    value = f'{canary()}\r\n"$\0'
    arn, keytab = cloud.secret(value), cloud.secret(b"\xc3\x9f")
    configure(tmp_path, {"db": arn, "deep/keytab": keytab})
    code, out, error = keystart("pull")
    assert (code, out) == (0, f"{store.root}/current/secrets\n")
    assert [line.partition(" in ")[0] for line in error.splitlines()] == [
        f"[keystart] INFO  fetching 2 entries of {tmp_path}/keystart.json",
        "[keystart] INFO  published 2 secrets as generation 1",
    ]
    assert store.values == {"db": value.encode(), "deep/keytab": b"\xc3\x9f"}
    assert keystart("ls") == (
        0,
        f"db                {len(value)} bytes  utf-8   secretsmanager {arn}\n"
        f"deep/keytab        2 bytes  binary  secretsmanager {keytab}\n",
        "",
    )
    assert keystart("ls", "deep")[1].split()[0] == "deep/keytab"
    assert keystart("ls", "nothing") == (0, "", "keystart: No secret is published in this folder.\n")
    code, out, error = keystart("ls", "--json")
    assert json.loads(out)["deep/keytab"]["source"]["region"] == REGION
    assert keystart("get", "db") == (0, value, "")
    assert keystart("get", "--root", str(store.root), "deep/keytab") == (0, "ß", "")


def test_variables_in_ids_are_taken_from_the_shell_or_from_set(
    keystart: Keystart, cloud: Cloud, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arn = cloud.secret("x")
    stage, _, _ = arn.rpartition(":secret:")[2].rpartition("-")
    configure(tmp_path, {"db": "${PATH_OF_TEST}"})
    code, out, error = keystart("check")
    assert (code, out) == (1, "")
    assert error.endswith("Say what it holds: --set PATH_OF_TEST=VALUE.\n")
    code, out, _ = keystart("check", "--set", f"PATH_OF_TEST={stage}")
    assert (code, out.split()[-3:-1]) == (0, ["secret", stage])
    assert keystart("compile", "-o", "out.json", "--set", f"PATH_OF_TEST={stage}")[0] == 0
    assert json.loads((tmp_path / "out.json").read_text())["secrets"] == {"db": {"secret": stage}}
    monkeypatch.setenv("PATH_OF_TEST", stage)
    assert keystart("pull")[0] == 0
    assert store.values == {"db": b"x"}


@pytest.mark.parametrize("value", ["STAGE", "=x", "1A=x", "A B=x", "STAGE=a\nb"])
def test_a_set_value_that_is_not_a_pair_is_wrong_use(keystart: Keystart, value: str) -> None:
    code, _, error = keystart("check", "--set", value)
    assert (code, "write NAME=VALUE" in error) == (2, True)


def test_pull_into_another_folder_leaves_the_default_alone(
    keystart: Keystart, cloud: Cloud, store: Store, tmp_path: Path
) -> None:
    configure(tmp_path, {"db": cloud.secret("x")})
    code, out, _ = keystart("pull", "--root", "elsewhere")
    assert (code, out) == (0, f"{tmp_path}/elsewhere/current/secrets\n")
    assert not store.root.exists()
    assert keystart("get", "db", "--root", "elsewhere") == (0, "x", "")


def test_pull_reports_why_nothing_is_published(keystart: Keystart, store: Store, tmp_path: Path) -> None:
    configure(tmp_path, {"db": "prod/absent"})
    code, out, error = keystart("pull")
    assert (code, out) == (1, "")
    reason = (
        "ResourceNotFoundException: Secrets Manager can't find the specified secret. Correct the id, the region, "
        "the account or the stage.\n"
    )
    assert error.endswith(
        f"\nkeystart: Required secrets could not be fetched.\n  - db (secret prod/absent in eu-west-1): {reason}"
    )
    assert store.state["state"] == "failed"
    code, out, error = keystart("get", "db")
    assert (code, out) == (1, "")
    assert error == (
        "keystart: The extension could not publish the secrets: Required secrets could not be fetched.\n"
        f'  - "db": {reason}'
    )


def test_pull_reports_what_is_wrong_before_anything_is_touched(
    keystart: Keystart, store: Store, tmp_path: Path
) -> None:
    file = configure(tmp_path, {})
    code, out, error = keystart("pull", file)
    assert (code, out) == (1, "")
    assert error == f"keystart: {file}:1:27: There are no secrets. Name at least one.\n"
    assert not store.root.exists()
    configure(tmp_path, {"db": "x"})
    store.root.touch()
    code, out, error = keystart("pull")
    assert (code, out) == (1, "")
    assert error == (
        f"keystart: The store at {store.root} is not safe to write: the root is not a directory. "
        "Nothing in it was changed. Name a folder that does not exist yet, with KEYSTART_DIR or --root. "
        f"Remove {store.root} only if nothing in it is needed.\n"
    )


def test_pull_with_an_unknown_profile_says_so(keystart: Keystart, store: Store, tmp_path: Path) -> None:
    configure(tmp_path, {"db": "prod/db"})
    code, _, error = keystart("pull", "--profile", "nobody")
    assert code == 1
    assert (
        "  - db (secret prod/db in eu-west-1): ProfileNotFound: The AWS profile nobody, or one that its "
        "`source_profile` names, does not exist." in error
    )
    assert store.state["state"] == "failed"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("is_published", [False, True])
def test_pull_that_a_signal_ends_says_so_and_keeps_what_was_published(
    environment: Environment,
    keystart: Keystart,
    cloud: Cloud,
    serve: Serve,
    store: Store,
    tmp_path: Path,
    number: signal.Signals,
    is_published: bool,
) -> None:
    if is_published:
        configure(tmp_path, {"db": cloud.secret("x")})
        assert keystart("pull")[0] == 0
    gate = Gate(secret("y"))
    serve(gate)
    configure(tmp_path, {"db": "prod/db"})
    pull = subprocess.Popen(
        # nohup and shells in the background ignore some of them, and children inherit that.
        ["env", "--default-signal", COMMAND, "pull"],
        env=environment(),
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    gate.wait_until_asked()
    interrupt(pull, number)
    _, error = pull.communicate(timeout=20)
    gate.open()
    assert pull.returncode == 128 + number
    said = [f"keystart: keystart pull was ended by {number.name}."]
    lines = [
        line for line in error.splitlines()[1:] if " has no value after " not in line
    ]  # on a slow machine
    if is_published:
        assert lines == [*said, "  - What was published before stays."]
        assert (store.state["state"], store.values) == ("ready", {"db": b"x"})
    else:
        assert lines == said
        assert (store.state["state"], store.state["message"]) == (
            "failed",
            f"keystart pull was ended by {number.name}.",
        )


@pytest.mark.parametrize("answer", [Answer(500), Answer(403, b"page"), Answer(400, b"{}"), None])
def test_a_pull_that_fails_keeps_what_was_published(
    keystart: Keystart,
    cloud: Cloud,
    serve: Serve,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    answer: Answer | None,
) -> None:
    configure(tmp_path, {"db": cloud.secret("x")})
    assert keystart("pull")[0] == 0
    if answer is None:
        monkeypatch.setenv("AWS_REGION", "us-east-1a")
    else:
        serve(lambda _: answer)
    configure(tmp_path, {"db": "prod/db"}, deadline="1s")
    code, out, error = keystart("pull")
    assert (code, out) == (1, "")
    assert error.endswith("  - What was published before stays.\n")
    assert (store.state["state"], store.values) == ("ready", {"db": b"x"})


def test_a_bug_of_pull_is_said_by_its_place_and_ends_the_wait_of_readers(
    keystart: Keystart, environment: Environment, store: Store, tmp_path: Path, canary: Canaries
) -> None:
    configure(tmp_path, {"db": "prod/db"})
    script = tmp_path / "secrets"
    script.mkdir()
    (script / "sitecustomize.py").write_text(
        "from keystart_extension.aws import fetch\n"
        f"def bug(*_): raise LookupError({canary()!r})\n"
        "fetch.log_in = bug\n"
    )
    ended = subprocess.run(
        [COMMAND, "pull"],
        env={**environment(), "PYTHONPATH": str(script)},
        cwd=tmp_path,
        capture_output=True,
        check=False,
        text=True,
    )
    canary.hear(ended.stderr)
    assert ended.returncode == 1
    why = "Keystart failed in a way it should not: LookupError in sitecustomize.py:2. Please report it."
    assert ended.stderr.splitlines()[-1] == f"keystart: {why}"
    assert (store.state["state"], store.state["message"]) == ("failed", why)


def test_reading_where_nothing_is_published_says_what_to_do(keystart: Keystart, store: Store) -> None:
    message = (
        f"keystart: There is no store at {store.root}. Attach the Keystart extension to this function, check that "
        'KEYSTART_DIR is the same for both, or run "keystart pull" on your own machine. '
        "In a test, use keystart.testing.\n"
    )
    assert keystart("ls") == (1, "", message)
    assert keystart("get", "db") == (1, "", message)


def test_a_name_that_does_not_exist_is_reported_with_the_nearest(
    keystart: Keystart, cloud: Cloud, tmp_path: Path
) -> None:
    configure(tmp_path, {"stripe/key": cloud.secret("x")})
    assert keystart("pull")[0] == 0
    code, out, error = keystart("get", "stripe/kye")
    assert (code, out) == (1, "")
    assert error == (
        'keystart: There is no secret "stripe/kye" in the store. Did you mean "stripe/key"? '
        "Add it to the configuration of the extension.\n"
    )
    assert keystart("get", "../x")[2].startswith('keystart: "../x" is not a valid secret name.')


@pytest.mark.parametrize("command", [["ls"], ["ls", "--json"], ["get", "db"], ["check"], ["--help"]])
def test_output_that_nobody_reads_ends_it_quietly(
    environment: Environment, keystart: Keystart, cloud: Cloud, tmp_path: Path, command: list[str]
) -> None:
    configure(tmp_path, {"db": cloud.secret("x")})
    assert keystart("pull")[0] == 0
    reader, writer = os.pipe()
    os.close(reader)
    for stream, code, said in (
        (writer, 128 + signal.SIGPIPE, ""),
        (
            os.open("/dev/full", os.O_WRONLY),
            1,
            "keystart: The output cannot be written: No space left on device.\n",
        ),
    ):
        ended = subprocess.run(
            [COMMAND, *command],
            env=environment(),
            cwd=tmp_path,
            stdout=stream,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        os.close(stream)
        assert (ended.returncode, ended.stderr) == (code, said)


def exit_code(environment: Environment, folder: Path, command: str, **variables: str) -> int:
    """Runs a line of bash, in which $0 is keystart and $1 a pipe that nobody reads; returns its exit code."""
    reader, writer = os.pipe()
    os.close(reader)  # before the line, so that nothing it writes can fit into the pipe
    try:
        return subprocess.run(
            ["bash", "-c", f"{{ {command}; }} 2>/dev/null", COMMAND, str(writer)],
            env={**environment(), **variables},
            cwd=folder,
            stdout=subprocess.DEVNULL,
            pass_fds=[writer],
        ).returncode
    finally:
        os.close(writer)


@pytest.mark.parametrize("lost", [">/dev/full", "2>/dev/full", ">/dev/full 2>&1", "2>&-", '>&"$1" 2>&1'])
def test_a_failure_keeps_its_exit_code_if_its_words_are_lost(
    environment: Environment, tmp_path: Path, lost: str
) -> None:
    for command, code in (("bogus", 2), ("", 2), ("attach f", 2), ("detach f", 2), ("get db", 1)):
        assert exit_code(environment, tmp_path, f'"$0" {command} {lost}') == code, command


@pytest.mark.parametrize("buffering", ["", "1"])
@pytest.mark.parametrize("command", ["--version", "--help", "check", "check --json", "compile -o -"])
def test_output_that_is_lost_is_a_failure(
    environment: Environment, tmp_path: Path, command: str, buffering: str
) -> None:
    configure(tmp_path, {"db": "prod/db"})
    for lost, code in ((">/dev/full", 1), ('>&"$1"', 128 + signal.SIGPIPE)):
        line = f'"$0" {command} {lost}'
        assert exit_code(environment, tmp_path, line, PYTHONUNBUFFERED=buffering) == code


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_closed_streams_change_nothing(
    environment: Environment, cloud: Cloud, store: Store, tmp_path: Path, closed: str
) -> None:
    configure(tmp_path, {"db": cloud.secret("x")})
    for command in ("pull", "ls", "get db", "check"):
        ended = subprocess.run(
            ["sh", "-c", f'exec "$0" {command} {closed}', COMMAND],
            env=environment(),
            cwd=tmp_path,
            check=False,
        )
        assert ended.returncode == 0
    assert store.values == {"db": b"x"}
    assert store.state["state"] == "ready"


@pytest.mark.parametrize("closed", ["1>&-", "2>&-", "1>&- 2>&-"])
def test_closed_streams_change_nothing_in_a_root_without_dev(
    environment: Environment, tmp_path: Path, closed: str
) -> None:
    configure(tmp_path, {"db": "prod/db"})
    program = """
import os, sys
def open_elsewhere(path, *arguments, open=os.open, **named):
    if path == os.devnull:
        raise FileNotFoundError(path)
    return open(path, *arguments, **named)
os.open = open_elsewhere
from keystart_extension import cli
sys.exit(cli.main())
"""
    ended = subprocess.run(
        ["sh", "-c", f'exec "$0" -c "$1" check {closed}', sys.executable, program],
        env=environment(),
        cwd=tmp_path,
        check=False,
    )
    assert ended.returncode == 0


@pytest.mark.parametrize("command", [["check"], ["compile"], ["compile", "FILE"], ["pull"], ["iam-policy"]])
def test_a_working_folder_that_was_removed_is_named(
    environment: Environment, tmp_path: Path, command: list[str]
) -> None:
    folder, file = tmp_path / "removed", configure(tmp_path, {"db": "prod/db"})
    folder.mkdir()
    words = [str(file) if word == "FILE" else word for word in command]
    script = 'rmdir "$PWD" && exec "$@"'
    done = subprocess.run(
        ["sh", "-c", script, "sh", COMMAND, *words],
        env=environment(),
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "keystart: The working folder was removed. Change to another one.\n"
