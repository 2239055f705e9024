"""Translates files of other tools, and compares the result with what is expected (imported/*)."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from .configurations import load_file
from .conftest import Canaries, Keystart

IMPORTED = Path(__file__).with_name("imported")
_EXPECTED = ("arguments", "expected.yaml", "expected.txt")
FORMS = sorted(folder.name for folder in IMPORTED.iterdir())


def text_of(file: Path) -> str:
    return file.read_text() if file.exists() else ""


@pytest.mark.parametrize("form", FORMS)
def test_a_file_of_another_tool_is_translated(form: str, keystart: Keystart, tmp_path: Path) -> None:
    folder = IMPORTED / form
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    files = sorted(file.name for file in folder.iterdir() if file.name not in _EXPECTED)
    options = text_of(folder / "arguments").split()
    code, out, error = keystart("import", *files, *options, "--output", "-")
    expected, said = text_of(folder / "expected.yaml"), text_of(folder / "expected.txt")
    assert (out, error) == (expected, said)
    places = tuple(f"{file}:" for file in files)
    assert code == (3 if any(line.startswith(places) for line in said.splitlines()) else 0)


def test_the_result_is_a_file_that_check_takes(keystart: Keystart, tmp_path: Path) -> None:
    shutil.copytree(IMPORTED / "ecs-task", tmp_path, dirs_exist_ok=True)
    assert keystart("import", "task.json") == (0, "keystart.yaml\n", "")
    assert keystart("check", "keystart.yaml")[0] == 0
    assert [entry["env"] for entry in load_file(tmp_path / "keystart.yaml").facts["entries"]] == [
        *("DB", "DB_PREVIOUS", "FLAG", "PLAIN")
    ]
    code, out, error = keystart("import", "task.json")
    assert (code, out) == (1, "")
    assert error == "keystart: keystart.yaml exists. To replace it, name it with --output.\n"
    assert keystart("import", "task.json", "-o", "keystart.yaml")[0] == 0


def test_several_files_make_one_configuration(keystart: Keystart, tmp_path: Path) -> None:
    for form in ("code-ruby", "chamber"):
        shutil.copytree(IMPORTED / form, tmp_path, dirs_exist_ok=True)
    code, out, _ = keystart("import", "app.rb.txt", "Dockerfile", "-o", "-")
    assert (code, out.count("\n")) == (3, 5)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        (
            "x.yaml",
            "a: b\n",
            "x.yaml has none of the forms that keystart import knows: see keystart import --help.",
        ),
        ("x.yaml", "a: [\n", "x.yaml:2: This is not YAML, nor JSON."),
        (
            "x.yaml",
            "&a [*a]\n",
            "x.yaml has none of the forms that keystart import knows: see keystart import --help.",
        ),
        ("x.py", "pass\n", "There is no reference to a secret that can be translated."),
    ],
)
def test_what_cannot_be_translated_is_refused(
    name: str, text: str, reason: str, keystart: Keystart, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    assert keystart("import", name, "-o", "-") == (1, "", f"keystart: {reason}\n")


@pytest.mark.parametrize(
    ("form", "file", "known"),
    [
        ("cloudformation-one-function", "template.yaml", "They have Orders, Invoices."),
        ("serverless", "serverless.yml", "They have create."),
        ("ecs-task", "task.json", "They have app."),
        ("square", "config.yaml", "They have none."),
        ("code-ruby", "app.rb.txt", "They have none."),
    ],
)
def test_a_function_that_no_file_has_is_reported_with_those_that_they_have(
    form: str, file: str, known: str, keystart: Keystart, tmp_path: Path
) -> None:
    shutil.copytree(IMPORTED / form, tmp_path, dirs_exist_ok=True)
    assert keystart("import", file, "--function", "nope", "-o", "-") == (
        1,
        "",
        f"keystart: No file has a function or a container with the name of --function. {known}\n",
    )


def test_no_value_is_repeated(keystart: Keystart, tmp_path: Path, canary: Canaries) -> None:
    folder = tmp_path / "secrets"  # where the canaries may be
    folder.mkdir()
    (folder / ".env").write_text(
        f"TOKEN={canary()}\nURL=https://{canary()}:{{{{resolve:ssm:/x}}}}@host\nA=ssm:/a/b\n"
    )
    template = (
        "Resources:\n  F:\n    Type: AWS::Lambda::Function\n    Properties:\n      Environment:\n        Variables:\n"
        f"          TOKEN: {canary()}\n          URL: '{canary()}{{{{resolve:ssm:/x}}}}'\n"
        f"          KEY: '{{{{resolve:secretsmanager:{canary()} {canary()}}}}}'\n"
    )
    (folder / "template.yaml").write_text(template)
    assert keystart("import", "secrets/.env", "secrets/template.yaml", "-o", "-")[0] == 3


def test_aliases_without_an_end_end(keystart: Keystart, tmp_path: Path) -> None:
    lines = ["a0: &a0 [x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12))]
    (tmp_path / "x.yaml").write_text("\n".join(["Resources: {}", *lines]))
    assert keystart("import", "x.yaml", "-o", "-")[0] == 1


def test_a_template_that_holds_itself_ends(keystart: Keystart, tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text("Resources: &r {A: *r, B: [*r, *r], C: '{{resolve:ssm:/a}}'}\n")
    code, out, said = keystart("import", "t.yaml", "-o", "-")
    assert (code, out) == (3, "")
    assert said.startswith("t.yaml:1: Resources.C is not a variable of a function")


def test_no_reference_of_a_large_template_is_lost(keystart: Keystart, tmp_path: Path) -> None:
    filler = "x, " * 100_000
    (tmp_path / "t.yaml").write_text(f"Resources: {{A: [{filler}x], B: '{{{{resolve:ssm:/a}}}}'}}\n")
    code, _, said = keystart("import", "t.yaml", "-o", "-")
    assert code == 3
    assert "Resources.B is not a variable of a function" in said


def test_a_byte_order_mark_hides_no_reference(keystart: Keystart, tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"\xef\xbb\xbfA_KEY=ssm:/x\r\n")
    code, out, _ = keystart("import", ".env", "-o", "-")
    assert code == 0
    assert "{ parameter: /x, env: A_KEY }" in out


def test_the_default_in_a_reference_is_not_shown(keystart: Keystart, tmp_path: Path) -> None:
    reference = "${ssm:/a/${opt:x, 'default'}}"
    (tmp_path / "serverless.yml").write_text(
        f'service: a\nprovider: {{environment: {{AB: "{reference}"}}}}\n'
    )
    code, _, said = keystart("import", "serverless.yml", "-o", "-")
    assert code == 3
    assert "AB needs ${opt:x}, which a function does not know." in said


def test_a_region_cannot_add_keys(keystart: Keystart, tmp_path: Path) -> None:
    (tmp_path / "store.yaml").write_text(
        "apiVersion: external-secrets.io/v1\nkind: SecretStore\nmetadata: {name: s}\n"
        'spec: {provider: {aws: {service: SecretsManager, region: "eu-west-1\\nstart: lazy"}}}\n---\n'
        "apiVersion: external-secrets.io/v1\nkind: ExternalSecret\n"
        "spec: {secretStoreRef: {name: s, kind: SecretStore}, data: [{secretKey: db, remoteRef: {key: prod/db}}]}\n"
    )
    code, out, said = keystart("import", "store.yaml", "-o", "-")
    assert (code, out) == (3, "")
    assert "region" in said
