"""Puts canaries that look like real secrets wherever text goes in, and searches all output for them.

A configuration holds no secrets, so one in it was pasted by mistake. A text that is certainly no secret (a valid name,
an
id that AWS could have) may be repeated. In their places, the canaries here are not such texts.
"""

from __future__ import annotations

import base64
import json
import re
import secrets as randomness
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from keystart_extension.cli import main

from tests.fakes.aws import Cloud
from tests.fakes.extensions_api import Lambda

from .conftest import Environment, Launcher, Store

pytestmark = pytest.mark.sampled


class PastedSecret:
    """A made-up secret in one of the forms that people paste. No random part of it may be repeated."""

    def __init__(self, form: str) -> None:
        a, b, c = (f"x{randomness.token_hex(8)}" for _ in range(3))
        key = [base64.b64encode(randomness.token_bytes(48)).decode() for _ in range(3)]
        forms: dict[str, str] = {
            "URL": f"postgres://{a}:{b}@db.example:5432/{c}?sslmode=require",
            "connection string": f"Server=tcp:{a},1433;User={b};Password={c};Encrypt=True",
            "Base64": base64.b64encode(f"{a}{b[:11]}".encode()).decode(),
            "PEM": "\n".join(["-----BEGIN PRIVATE KEY-----", *key, "-----END PRIVATE KEY-----", ""]),
            "JSON": json.dumps({"username": a, "password": f"{b} {c}"}),
            "password": f"{a} {b}$%&{c}",
            "token": f"ghp{a}{b}",  # letters and digits, as in a name or an id
        }
        self.text = forms[form]
        self.name = form
        self._parts = [part for part in re.findall("[A-Za-z0-9]{6,}", self.text) if part not in _PUBLIC]
        assert self._parts

    def check(self, came_out: str, where: str) -> None:
        parts = [part for part in self._parts if part in came_out]
        assert not parts, f"{len(parts)} parts of a pasted {self.name} stand in {where}"


_PUBLIC = (
    "postgres",
    "example",
    "sslmode",
    "require",
    "Server",
    "Password",
    "Encrypt",
    "PRIVATE",
    "username",
    "password",
)
FORMS = ("URL", "connection string", "Base64", "PEM", "JSON", "password")
# In these places not even a text that looks like a name is a name.
NO_NAME = (*FORMS, "token")

ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:db-a1B2c3"
# "@" stands for the pasted text, bare or in quotes. STORED is a secret that exists.
VALUES_OF_WORDS = [
    "version: @\nsecrets: {db: STORED}",
    "version: 1\nstart: @\nsecrets: {db: STORED}",
    "version: 1\ndeadline: @\nsecrets: {db: STORED}",
    "version: 1\nregion: @\nsecrets: {db: STORED}",
    "version: 1\nbatch: @\nsecrets: {db: STORED}",
    "version: 1\nenv_overwrite: @\nsecrets: {db: STORED}",
    "version: 1\nttl: @\nsecrets: {db: STORED}",
    "version: 1\nmax_stale: @\nsecrets: {db: STORED}",
    "version: 1\nrefresh_deadline: @\nsecrets: {db: STORED}",
    "version: 1\nsnapstart: @\nsecrets: {db: STORED}",
    "version: 1\nsecrets: @",
    "version: 1\nsecrets: [@]",
    "version: 1\n@: 1\nsecrets: {db: STORED}",
    "version: 1\nsecrets: {db: {secret: STORED, @: 1}}",
    "version: 1\nsecrets: {db: {secret: STORED, expand: @}}",
    "version: 1\nsecrets: {db: {secret: STORED, optional: @}}",
    "version: 1\nsecrets: {db: {secret: STORED, role: @}}",
    "version: 1\nsecrets: {db: {secret: STORED, ttl: @}}",
    "version: 1\nsecrets: {db: {secret: {@: @}}}",
    "version: 1\nsecrets: {db: {secret: STORED, field: [@]}}",
    "version: 1\nsecrets: {db: [@]}",
    "version: 1\nregion: {x: {y: [{@: 1, @: 2}]}}\nsecrets: {db: STORED}",
    "@",
    "[@]",
    "@: 1",
    "version: 2\n# @\nsecrets: {db: STORED}",
    "version: 1\nsecrets:\n  db: &@ STORED",
    "version: 1\nsecrets:\n  db: *@",
    "version: 1\nsecrets:\n  db: !@ STORED",
    "version: 1\nsecrets:\n  db: !<@> STORED",
    "version: 1\nsecrets:\n  db: !!@ STORED",
    "version: 1\nsecrets:\n  db: !x!@ STORED",
    "%@\n---\nversion: 1",
    "%TAG !x! @\n---\nversion: 1",
    "%YAML @\n---\nversion: 1",
    "version: 1\nsecrets:\n  db: |@\n    x",
    "version: 1\nsecrets:\n  db: '@",
    'version: 1\nsecrets:\n  db: "@',
    'version: 1\nsecrets:\n  db: "\\@"',
    "version: 1\nsecrets:\n  db: STORED @",
    "version: 1\nsecrets:\n  db: 'x' @",
    "version: 1\nsecrets:\n@",
    "version: 1\n--- @\nsecrets: {db: STORED}",
    "version: 1\nsecrets: {db: STORED}\n@",
]
VALUES_OF_NAMES = [
    "version: 1\nsecrets:\n  db: @",
    "version: 1\nsecrets:\n  @: STORED",
    "version: 1\nsecrets:\n  @: STORED\n  @: STORED",
    "version: 1\nsecrets: {@: {secret: STORED, expand: 1, optional: 2}}",
    "version: 1\nsecrets: {@: {secret: not an id, field: x}}",
    "version: 1\nsecrets: {@: [1]}",
    "version: 1\nsecrets: {@: {}}",
    "version: 1\nsecrets: {db: {secret: @}}",
    "version: 1\nsecrets: {db: {parameter: @}}",
    "version: 1\nsecrets: {db: {parameters: @}}",
    "version: 1\nsecrets: {db: 'ssm:/@'}",
    "version: 1\nsecrets: {db: {secret: STORED, field: @}}",
    "version: 1\nsecrets: {db: {secret: STORED, stage: @}}",
    "version: 1\nsecrets: {db: {secret: STORED, version_id: @}}",
    "version: 1\nsecrets: {db: {secret: STORED, env: @}, x: {secret: STORED, env: @}}",
    f"version: 1\nsecrets:\n  db: {ARN}:@::",
    f"version: 1\nsecrets:\n  db: {ARN}::@:",
    f"version: 1\nsecrets:\n  db: {ARN}:::@",
    f"version: 1\nsecrets:\n  db: {{secret: '{ARN}:@::', field: x}}",
]
SQUARE_WORDS = [
    "SecretManagers: @",
    "SecretManagers: [@]",
    "SecretManagers: [{@: x}]",
    "SecretManagers: [{secrets: @}]",
    "SecretManagers: [{secrets: [@]}]",
    "SecretManagers: [{secrets: [{secretname: db, @: x}]}]",
    "SecretManagers: [{secrets: [{secretname: db, filename: [@]}]}]",
    "SecretManagers: [{secrets: [{secretname: not an id, filename: db}]}]\nSecretsHome: @",
    "@: [1]\nSecretManagers: []",
]
SQUARE_NAMES = [
    "SecretManagers: [{prefix: @, secrets: [{secretname: db}]}]",
    "SecretManagers: [{secrets: [{secretname: @}]}]",
    "SecretManagers: [{secrets: [{secretname: db, filename: @}]}]",
    "SecretManagers: [{secrets: [{secretname: db, filename: @}, {secretname: x, filename: @}]}]",
    "SecretManagers: [{secrets: [{secretname: db}]}]\nSecretsHome: /@",
    "SecretManagers: [{secrets: [{secretname: db}]}]\nsecretshome: /@\nSecretsHome: /x",
]
INLINE_WORDS = [
    "@",
    "@,db=STORED",
    "db=STORED,@",
    '{"db": @',
    '{"db": {"@": 1}}',
    '{"version": 1, "secrets": {"@": 1}}',
]
INLINE_NAMES = ["@=STORED", "db=@", "db=STORED,db=@", "db=STORED, @ = x y", '{"db": "@"}', '{"@": "x y"}']
JSON_WORDS = [
    '{"version": @, "secrets": {"db": "STORED"}}',
    '{"version": 1, "secrets": {"db": "STORED"}, @: 1}',
    '{"version": 1, "secrets": {"db": "STORED"}, "\\@": 1}',
    '{"version": 1, "secrets": {"db": "STORED"}} @',
    '{"version": 1, @',
    '{"version": 1, "secrets": {"db": {"x": @, "x": @}}}',
    "{'@': 1}",
    "// @\n{}",
]


def _filled(template: str, pasted: str, *, is_quoted: bool) -> str:
    return template.replace("@", json.dumps(pasted) if is_quoted else pasted)


def _cases(words: list[str], names: list[str]) -> list[tuple[str, str]]:
    return [
        *((place, form) for place in words for form in NO_NAME),
        *((place, form) for place in names for form in FORMS),
    ]


FILES = {
    "keystart.yaml": _cases(VALUES_OF_WORDS, VALUES_OF_NAMES),
    "keystart.json": _cases(JSON_WORDS, []),
    "config.yaml": _cases(SQUARE_WORDS, SQUARE_NAMES),
}
EACH_FILE = [(file, place, form) for file, cases in FILES.items() for place, form in cases]
EACH_INLINE = _cases(INLINE_WORDS, INLINE_NAMES)
COMMANDS = (["check"], ["check", "--json"], ["compile"], ["iam-policy"], ["pull"])


class Command:
    """Runs the command line in this process, in the folder of the test."""

    def __init__(
        self, folder: Path, store: Store, monkeypatch: pytest.MonkeyPatch, output: pytest.CaptureFixture[str]
    ) -> None:
        self._store = store
        self._monkeypatch = monkeypatch
        self._output = output
        monkeypatch.chdir(folder)

    def __call__(self, *arguments: str) -> tuple[int, str]:
        """Returns the exit code and all output: what was printed, and the store without the secrets."""
        self._monkeypatch.setattr(sys, "argv", ["keystart", *arguments])
        code = main()
        out, error = self._output.readouterr()
        return code, "\n".join([out, error, *_documents(self._store)])


def _documents(store: Store) -> Iterator[str]:
    yield from (file.read_text() for file in store.root.rglob("*.json") if "secrets" not in file.parts)


@pytest.fixture
def command(
    environment: Environment,
    tmp_path: Path,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Command:
    assert environment()["KEYSTART_DIR"] == str(store.root)
    return Command(tmp_path, store, monkeypatch, capfd)


@pytest.fixture(scope="session")
def stored(cloud: Cloud) -> str:
    """Returns the name of a secret with one member."""
    name: str = cloud.secrets.describe_secret(SecretId=cloud.secret('{"x": 1}'))["Name"]
    return name


@pytest.mark.parametrize("is_quoted", [False, True], ids=["as it stands", "in quotes"])
@pytest.mark.parametrize(("name", "place"), dict.fromkeys((name, place) for name, place, _ in EACH_FILE))
def test_no_command_repeats_what_was_pasted_into_a_file(
    tmp_path: Path, command: Command, stored: str, name: str, place: str, is_quoted: bool
) -> None:
    refused = 0
    for form in [form for one, other, form in EACH_FILE if (one, other) == (name, place)]:
        pasted = PastedSecret(form)
        text = _filled(place, pasted.text, is_quoted=is_quoted).replace("STORED", stored)
        (tmp_path / name).write_text(text)
        # All of them read it in the same way, and report the same problems.
        for arguments in COMMANDS if form in (FORMS[0], FORMS[-1]) else COMMANDS[:1]:
            code, came_out = command(*arguments, str(tmp_path / name))
            refused += code
            pasted.check(came_out, f"what {arguments} says")
    assert refused or "\n# " in place or "field" in place or ":@::" in place, (
        "nothing was wrong with any of them"
    )


@pytest.mark.parametrize(("place", "form"), EACH_INLINE)
def test_no_command_repeats_what_was_pasted_into_the_variable(
    command: Command, monkeypatch: pytest.MonkeyPatch, stored: str, place: str, form: str
) -> None:
    pasted = PastedSecret(form)
    inside = json.dumps(pasted.text)[1:-1] if '"@"' in place else pasted.text
    monkeypatch.setenv("KEYSTART_SECRETS", place.replace("@", inside).replace("STORED", stored))
    for arguments in COMMANDS:
        code, came_out = command(*arguments)
        assert code == 1
        pasted.check(came_out, f"what {arguments} says")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("variable", ["KEYSTART_CONFIG", "KEYSTART_SOURCE", "KEYSTART_LOG_LEVEL"])
@pytest.mark.parametrize("place", ["@", "/@", "/@.yaml", "/x/@/keystart.yaml"])
def test_no_command_repeats_what_was_pasted_into_another_variable(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch, variable: str, place: str, form: str
) -> None:
    (tmp_path / "keystart.yaml").write_text("version: 2\nsecrets: {db: x}\n")
    pasted = PastedSecret(form)
    monkeypatch.setenv(variable, place.replace("@", pasted.text))
    for arguments in COMMANDS:
        code, came_out = command(*arguments)
        assert code == 1
        pasted.check(came_out, f"what {arguments} says")


@pytest.mark.parametrize("form", NO_NAME)
@pytest.mark.parametrize("place", ["@", "/x/@", "@/", "@.toml"])
def test_no_command_repeats_what_was_pasted_in_the_place_of_a_file(
    command: Command, place: str, form: str
) -> None:
    pasted = PastedSecret(form)
    for arguments in COMMANDS:
        code, came_out = command(*arguments, place.replace("@", pasted.text))
        assert code == 1
        pasted.check(came_out, f"what {arguments} says")


@pytest.mark.parametrize("form", FORMS)
def test_no_command_repeats_the_name_of_a_file_that_may_be_a_secret(
    tmp_path: Path, command: Command, form: str
) -> None:
    pasted = PastedSecret(form)
    folder = tmp_path / re.sub("[/\n]", ":", pasted.text)
    folder.mkdir()
    for file in (folder / "keystart.yaml", tmp_path / f"{folder.name}.yaml"):
        file.write_text("version: 2\nsecrets: {db: x}\n")
        for arguments in COMMANDS:
            code, came_out = command(*arguments, str(file))
            assert code == 1
            pasted.check(came_out, f"what {arguments} says")


@pytest.mark.parametrize("form", NO_NAME)
@pytest.mark.parametrize("name", ["iam-policy", "pull"])
def test_no_command_repeats_what_was_pasted_as_region(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch, name: str, form: str
) -> None:
    (tmp_path / "keystart.yaml").write_text("version: 1\nsecrets: {db: prod/db}\n")
    pasted = PastedSecret(form)
    monkeypatch.setenv("AWS_REGION", pasted.text)
    code, came_out = command(name)
    assert code == 1
    pasted.check(came_out, f"what {name} says")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("option", ["--role", "--region", "--kms-key", "--account"])
def test_the_policy_does_not_repeat_what_was_pasted_into_an_option(
    tmp_path: Path, command: Command, capfd: pytest.CaptureFixture[str], option: str, form: str
) -> None:
    (tmp_path / "keystart.yaml").write_text("version: 1\nsecrets: {db: prod/db}\n")
    pasted = PastedSecret(form)
    try:
        code, came_out = command("iam-policy", f"{option}={pasted.text}")
    except SystemExit as ended:  # from argparse
        code, came_out = int(ended.code or 0), "".join(capfd.readouterr())
    assert code != 0
    pasted.check(came_out, f"what iam-policy says of {option}")


# One form for each place in turn: the process reads nothing that the commands do not read too.
def _in_turn(cases: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    first = {}
    for index, (name, place) in enumerate(dict.fromkeys((name, place) for name, place, _ in cases)):
        first[name, place] = FORMS[index % len(FORMS)]
    return [(name, place, form) for (name, place), form in first.items()]


@pytest.mark.parametrize(
    ("name", "place", "shape"),
    [*_in_turn(EACH_FILE), *(("KEYSTART_SECRETS", place, shape) for place, shape in EACH_INLINE)],
)
def test_the_process_repeats_nothing_that_was_pasted(
    launch: Launcher,
    lambda_api: Lambda,
    store: Store,
    tmp_path: Path,
    stored: str,
    name: str,
    place: str,
    shape: str,
) -> None:
    pasted = PastedSecret(shape)
    is_json = name == "KEYSTART_SECRETS" and '"@"' in place
    text = _filled(place, pasted.text, is_quoted=name != "KEYSTART_SECRETS")
    if is_json:
        text = place.replace("@", json.dumps(pasted.text)[1:-1])
    text = text.replace("STORED", stored)
    if name == "KEYSTART_SECRETS":
        variables = {"KEYSTART_CONFIG": "", "KEYSTART_SECRETS": text}
    else:
        (tmp_path / name).write_text(text)
        variables = {"KEYSTART_CONFIG": str(tmp_path / name)}
    extension = launch(lambda_api, {}, **variables)
    code, lines = extension.ended()
    assert code == 1
    (reported,) = lambda_api.reported
    assert store.state["state"] == "failed"
    said = ["\n".join(lines), *reported, *_documents(store)]
    said += [request.body.decode() for request in lambda_api.requests]
    pasted.check("\n".join(said), "what the process says")


@pytest.mark.parametrize("shape", FORMS)
@pytest.mark.parametrize(
    "variable",
    [
        "KEYSTART_CONFIG",
        "KEYSTART_SOURCE",
        "KEYSTART_LOG_LEVEL",
        "AWS_LAMBDA_LOG_FORMAT",
        "KEYSTART_TIMEOUT_MS",
    ],
)
def test_the_process_does_not_repeat_what_was_pasted_into_a_variable(
    launch: Launcher, lambda_api: Lambda, store: Store, variable: str, shape: str
) -> None:
    pasted = PastedSecret(shape)
    extension = launch(lambda_api, "version: 2\nsecrets: {db: x}\n", **{variable: pasted.text})
    code, lines = extension.ended()
    assert code == 1
    pasted.check("\n".join([*lines, *lambda_api.reported[0], *_documents(store)]), "what the process says")


@pytest.mark.parametrize("shape", FORMS)
def test_the_process_does_not_repeat_what_was_pasted_as_root(
    launch: Launcher, lambda_api: Lambda, cloud: Cloud, shape: str
) -> None:
    pasted = PastedSecret(shape)
    lambda_api.looks = lambda: None  # no store exists
    extension = launch(lambda_api, {"db": cloud.secret("x")}, KEYSTART_DIR=f"/proc/{pasted.text}/")
    code, lines = extension.ended()
    assert code == 1
    (reported,) = lambda_api.reported
    assert f"(a path of {len(pasted.text) + 6} characters)" in reported[1]
    pasted.check("\n".join([*lines, *reported]), "what the process says")


@pytest.mark.parametrize("shape", NO_NAME)
def test_the_process_does_not_repeat_what_was_pasted_as_region(
    launch: Launcher, lambda_api: Lambda, cloud: Cloud, store: Store, shape: str
) -> None:
    name = cloud.secrets.describe_secret(SecretId=cloud.secret("x"))["Name"]
    pasted = PastedSecret(shape)
    extension = launch(lambda_api, {"db": name}, AWS_REGION=pasted.text)
    code, lines = extension.ended()
    assert code == 1
    pasted.check("\n".join([*lines, *lambda_api.reported[0], *_documents(store)]), "what the process says")


@pytest.mark.parametrize("form", FORMS)
def test_pull_does_not_repeat_what_was_pasted_as_root(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    (tmp_path / "keystart.yaml").write_text("version: 1\nsecrets: {db: prod/db}\n")
    pasted = PastedSecret(form)
    monkeypatch.setenv("KEYSTART_DIR", f"/proc/{pasted.text}")
    code, came_out = command("pull")
    assert code == 1
    pasted.check(came_out, "what pull says")


def members(others: dict[str, str]) -> tuple[str, list[PastedSecret]]:
    """Returns a secret whose members, except for the others, cannot be published."""
    pasted = [PastedSecret(form) for form in FORMS]
    return json.dumps({**others, **{one.text: "2" for one in pasted}}), pasted


def check_members(said: str, others: dict[str, str], pasted: list[PastedSecret]) -> None:
    """Checks that each member is skipped with a warning, or that the entry fails because nothing is left."""
    warnings = [said.count(f"The member {number} of ") for number in range(2, 2 + len(pasted))]
    assert warnings == [int(bool(others))] * len(pasted)
    assert ("6 of 6 members" in said) == (not others)
    for one in pasted:
        one.check(said, "what is said of members")


@pytest.mark.parametrize("others", [{"ok": "1"}, {}])
def test_the_members_of_a_secret_are_not_repeated_unless_they_are_names(
    command: Command, cloud: Cloud, tmp_path: Path, others: dict[str, str]
) -> None:
    text, pasted = members(others)
    plan = {"version": 1, "secrets": {"db": {"secret": cloud.secret(text), "expand": True}}}
    (tmp_path / "keystart.json").write_text(json.dumps(plan))
    code, came_out = command("pull", "keystart.json")
    assert code == int(not others)
    check_members(came_out, others, pasted)


@pytest.mark.parametrize("others", [{"ok": "1"}, {}])
def test_the_process_repeats_no_member_of_a_secret_that_is_not_a_name(
    launch: Launcher, lambda_api: Lambda, cloud: Cloud, store: Store, others: dict[str, str]
) -> None:
    text, pasted = members(others)
    extension = launch(lambda_api, {"db": {"secret": cloud.secret(text), "expand": True}})
    documents: list[str] = []
    if others:
        lambda_api.wait_for("/event/next")
        documents = list(_documents(store))
        lambda_api.send("SHUTDOWN")
    code, lines = extension.ended()
    assert code == int(not others)
    reported = [text for one in lambda_api.reported for text in one]
    check_members("\n".join([*lines, *documents, *_documents(store), *reported]), others, pasted)


# The helpful parts of messages, which stay.


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("secert", '"db" has no key "secert". Did you mean "secret"?'),
        ("Optional", '"db" has no key "Optional". Did you mean "optional"?'),
        ("versionId", '"db" has no key "versionId". Did you mean "version_id"?'),
        ("secret_id", '"db" has no key "secret_id". Write "secret", or "parameter".'),
        ("hunter2hunter", '"db" has an unknown key of 13 characters. Its keys are secret, parameter, '),
    ],
)
def test_an_unknown_key_is_shown_if_it_is_close_to_a_known_one(
    tmp_path: Path, command: Command, key: str, said: str
) -> None:
    (tmp_path / "keystart.yaml").write_text(f"version: 1\nsecrets: {{db: {{secret: prod/db, {key}: x}}}}\n")
    code, came_out = command("check", "keystart.yaml")
    assert code == 1
    assert f"keystart.yaml:2:33: {said}" in came_out
