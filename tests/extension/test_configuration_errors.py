"""Checks the exact output for each wrong configuration.

The cases are the files below `configuration_errors/`, each named like the place for its texts: a title after `===`,
the text, and after `!` each line that must be printed, without the file's name.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet
from keystart_extension.plan import ConfigurationError

from .configurations import load, load_file

CASES = Path(__file__).parent / "configuration_errors"
CASE = re.compile(r"^=== (.*)\n((?:(?!! ).*\n)*)((?:! .*\n)+)", re.MULTILINE)
GOOD = "version: 1\nsecrets: {db: prod/db}\n"


def cases(name: str) -> list[ParameterSet]:
    text = (CASES / f"{name}.txt").read_text(encoding="utf-8")
    found = [
        pytest.param(text, re.sub("^! ", "", lines, flags=re.MULTILINE).splitlines(), id=title)
        for title, text, lines in CASE.findall(text)
    ]
    assert len(found) == len(re.findall("^=== ", text, re.MULTILINE))
    return found


def problems(path: Path, text: str) -> list[str]:
    """Writes a file and returns what is wrong with it, without the file's name."""
    path.write_text(text, encoding="utf-8")
    return problems_of(path)


def problems_of(path: Path) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load_file(path, {})
    lines = str(caught.value).splitlines()
    assert all(line.startswith(f"{path}:") for line in lines)
    return [line.removeprefix(f"{path}:") for line in lines]


@pytest.mark.parametrize(("text", "expected"), cases("keystart.yaml"))
def test_a_wrong_yaml_file_is_reported(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert problems(tmp_path / "keystart.yaml", text) == expected


@pytest.mark.parametrize(("text", "expected"), cases("keystart.json"))
def test_a_wrong_json_file_is_reported(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert problems(tmp_path / "keystart.json", text) == expected


@pytest.mark.parametrize(("text", "expected"), cases("config.yaml"))
def test_a_wrong_file_of_square_is_reported(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert problems(tmp_path / "config.yaml", text) == expected


@pytest.mark.parametrize(("text", "expected"), cases("KEYSTART_SECRETS"))
def test_a_wrong_variable_is_reported(text: str, expected: list[str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load({"KEYSTART_SECRETS": text.removesuffix("\n")})
    assert str(caught.value).splitlines() == [f"KEYSTART_SECRETS:{line}" for line in expected]


# Texts that are too long for the files of cases.


@pytest.mark.parametrize(
    ("secrets", "expected"),
    [
        pytest.param(
            "  " + "n" * 256 + ": prod/db",
            "3:3: The name of a secret must be valid, found a text of 256 characters. A name is 1 to 8 segments "
            'separated by "/", at most 255 bytes in all; a segment starts with a letter, a digit or "_" and goes '
            'on with letters, digits, "_", "." or "-".',
            id="a name of 256 bytes",
        ),
        pytest.param(
            "  " + "n" * 254 + ": {parameters: /prod}",
            f'3:3: "{"n" * 64}...": This name leaves no room for the names below it. Shorten it.',
            id="a folder of 254 bytes",
        ),
        pytest.param(
            "  db: " + "x" * 513,
            '3:7: "db": The name of a secret has at most 512 characters.',
            id="the name of a secret",
        ),
        pytest.param(
            "  db: ssm:/" + "x" * 1011,
            '3:7: "db": The name of a parameter has at most 1011 characters.',
            id="the name of a parameter",
        ),
        pytest.param(
            "  db: {secret: prod/db, stage: " + "s" * 257 + "}",
            '3:25: "db": A stage has 1 to 256 letters, digits, "_", "." and "-".',
            id="a stage",
        ),
    ],
)
def test_what_is_too_long_is_reported_without_repeating_it(
    tmp_path: Path, secrets: str, expected: str
) -> None:
    assert problems(tmp_path / "keystart.yaml", f"version: 1\nsecrets:\n{secrets}\n") == [expected]


def test_names_and_ids_may_be_as_long_as_they_may_be(tmp_path: Path) -> None:
    path = tmp_path / "keystart.yaml"
    name, secret, parameter = "n" * 255, "x" * 512, "/" + "x" * 1010
    path.write_text(f"version: 1\nsecrets:\n  {name}: {secret}\n  1/2/3/4/5/6/7/8: ssm:{parameter}\n")
    assert [entry["id"] for entry in load_file(path, {}).facts["entries"]] == [secret, parameter]


def test_a_number_with_thousands_of_digits_is_reported_in_short(tmp_path: Path) -> None:
    expected = '1:13: "version" must be the number 1, found a number of 5000 characters.'
    text = '{"version": ' + "9" * 5000 + ', "secrets": {"db": "prod/db"}}'
    assert problems(tmp_path / "keystart.json", text) == [expected]


def test_yaml_numbers_that_python_refuses_are_reported(tmp_path: Path) -> None:
    text = "%YAML 1." + "9" * 5000 + "\n---\nversion: 1\n"
    expected = "1:1: This is not valid YAML. A number after this place is too large."
    assert problems(tmp_path / "keystart.yaml", text) == [expected]


def test_an_id_that_may_be_a_pasted_secret_is_not_repeated(tmp_path: Path) -> None:
    pasted = "-".join(("correct horse", os.urandom(8).hex()))
    (message,) = problems(tmp_path / "keystart.yaml", f"version: 1\nsecrets:\n  db: {pasted}\n")
    assert "correct" not in message
    assert pasted[-16:] not in message


# Files as such.


def test_json_nested_beyond_any_stack_is_reported(tmp_path: Path) -> None:
    expected = "1:65: More than 64 lists and mappings are inside each other."
    assert problems(tmp_path / "keystart.json", "[" * 100_000) == [expected]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(
            b"\xef\xbb\xbf" + GOOD.encode(),
            "1:1: The file begins with a byte order mark. Save it as UTF-8 without one.",
            id="byte order mark",
        ),
        pytest.param(
            b"version: 1\n# caf\xe9\n", "2:6: The file is not UTF-8. Save it as UTF-8.", id="Latin-1"
        ),
        pytest.param(GOOD.encode("utf-16"), "1:1: The file is not UTF-8. Save it as UTF-8.", id="UTF-16"),
        pytest.param(
            b"version: 1\n# \x07\n",
            "2:3: A control character is not allowed here. Remove it.",
            id="control character",
        ),
        pytest.param(
            b"version: 1 \x00\n",
            "1:12: A control character is not allowed here. Remove it.",
            id="NUL",
        ),
        pytest.param(
            b"#" * (256 * 1024 + 1),
            " The file has more than 256 KiB. A configuration names secrets and holds none. Shorten it.",
            id="257 KiB",
        ),
    ],
)
@pytest.mark.parametrize("name", ["keystart.yaml", "keystart.json"])
def test_a_file_that_is_not_sound_text_is_reported(
    tmp_path: Path, name: str, data: bytes, expected: str
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    assert problems_of(path) == [expected]


def test_a_file_may_have_256_kib(tmp_path: Path) -> None:
    path = tmp_path / "keystart.yaml"
    path.write_text(GOOD + "#" * (256 * 1024 - len(GOOD)))
    assert [entry["name"] for entry in load_file(path, {}).facts["entries"]] == ["db"]


def test_another_ending_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "keystart.toml"
    path.write_text(GOOD)
    with pytest.raises(ConfigurationError) as caught:
        load_file(path, {})
    expected = "The name of a configuration must end in .json, .yaml or .yml."
    assert str(caught.value) == f"(a path of {len(str(path))} characters): {expected}"


def test_a_folder_and_a_pipe_and_a_socket_are_reported_and_do_not_hang(tmp_path: Path) -> None:
    (tmp_path / "folder.yaml").mkdir()
    os.mkfifo(tmp_path / "pipe.yaml")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket.yaml"))
    not_regular = " This is not a regular file. Put the configuration itself there."
    assert problems_of(tmp_path / "folder.yaml") == [" This is a folder. Put the configuration itself there."]
    assert problems_of(tmp_path / "pipe.yaml") == [not_regular]
    assert problems_of(tmp_path / "socket.yaml") == [not_regular]


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    assert problems_of(tmp_path / "keystart.yaml") == [" There is no such file. Correct the path."]


def test_a_link_that_leads_nowhere_is_an_error_and_not_the_next_place(tmp_path: Path) -> None:
    (tmp_path / "keystart.json").symlink_to("elsewhere.json")
    (tmp_path / "keystart.yaml").write_text(GOOD)
    with pytest.raises(ConfigurationError) as caught:
        load({}, tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}/keystart.json: This is a symbolic link that leads nowhere. "
        "Put the configuration itself there."
    )


def test_a_link_in_a_circle_is_reported(tmp_path: Path) -> None:
    (tmp_path / "keystart.yaml").symlink_to("keystart.yaml")
    assert problems_of(tmp_path / "keystart.yaml") == [
        " Symbolic links form a loop here. Put the configuration itself there."
    ]


def test_a_file_that_may_not_be_read_is_reported_with_the_cure(tmp_path: Path) -> None:
    path = tmp_path / "keystart.yaml"
    path.touch(mode=0o000)
    with _nobody():
        found = problems_of(path)
    assert found == [
        " The file cannot be read: EACCES. Let every user read it (chmod a+r) and enter its folders "
        "(chmod a+rx), and package it again."
    ]


@contextmanager
def _nobody() -> Iterator[None]:
    """Drops the rights of root for a while, because root may read every file."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


# The search.


def test_nothing_found_names_every_place_and_the_cure(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load({}, tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: No configuration was found. Looked for: the variable KEYSTART_CONFIG (not set), "
        f"the variable KEYSTART_SECRETS (not set), {tmp_path}/keystart.json (no such file), "
        f"{tmp_path}/keystart.yaml (no such file), {tmp_path}/keystart.yml (no such file), "
        f"{tmp_path}/config.yaml (no such file). "
        "Put a keystart.yaml into the function's package, or set one of the variables."
    )


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("keystart.yaml.txt", "There is keystart.yaml.txt: rename it to keystart.yaml."),
        ("Keystart.yml", "There is Keystart.yml: rename it to keystart.yaml."),
        (".keystart.json", "There is .keystart.json: rename it to keystart.json."),
        ("keystart-prod.yaml", "There is keystart-prod.yaml: rename it to keystart.yaml."),
        ("keystart.toml", "There is keystart.toml: write it as YAML into keystart.yaml."),
        (
            "src/keystart.yaml",
            "There is src/keystart.yaml: move it up, or name it with KEYSTART_CONFIG.",
        ),
    ],
)
def test_a_file_that_was_probably_meant_is_named(tmp_path: Path, name: str, sentence: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(GOOD)
    with pytest.raises(ConfigurationError) as caught:
        load({}, tmp_path)
    assert str(caught.value).endswith(f"or set one of the variables. {sentence}")


@pytest.mark.parametrize("name", ["keystart.py", "keystart/index.js", "config.yml", "keystart.yaml pw=1"])
def test_what_was_not_meant_is_not_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(GOOD)
    with pytest.raises(ConfigurationError) as caught:
        load({}, tmp_path)
    assert str(caught.value).endswith("or set one of the variables.")


def test_a_named_file_with_another_ending_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.yml").write_text(GOOD)
    with pytest.raises(ConfigurationError) as caught:
        load({"KEYSTART_CONFIG": str(tmp_path / "mine.yaml")})
    assert str(caught.value) == (
        f"KEYSTART_CONFIG: There is no file {tmp_path}/mine.yaml. Correct or unset it. "
        "There is mine.yml: name it there if it is meant."
    )


def test_both_endings_of_yaml_at_once_are_refused(tmp_path: Path) -> None:
    for name in ("keystart.yaml", "keystart.yml"):
        (tmp_path / name).write_text(GOOD)
    with pytest.raises(ConfigurationError) as caught:
        load({}, tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}/keystart.yml: keystart.yaml lies beside it, and only one of them can count. Remove one."
    )


@pytest.mark.parametrize("text", ["SecretManager: []\n", "a: {SecretManagers: []}\n"])
def test_a_config_yaml_without_squares_key_is_named_as_such(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load({}, tmp_path)
    assert f"{tmp_path}/config.yaml (it has no SecretManagers)" in str(caught.value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            "keystart.yaml",
            "KEYSTART_CONFIG: It must be an absolute path of printable characters. Correct or unset it.",
        ),
        (
            "/a\nb.yaml",
            "KEYSTART_CONFIG: It must be an absolute path of printable characters. Correct or unset it.",
        ),
        (
            "/nowhere/keystart.yaml",
            "KEYSTART_CONFIG: There is no file /nowhere/keystart.yaml. Correct or unset it.",
        ),
    ],
)
def test_a_named_path_that_is_wrong_is_reported_and_nothing_else_is_tried(
    tmp_path: Path, value: str, message: str
) -> None:
    (tmp_path / "keystart.yaml").write_text(GOOD)
    with pytest.raises(ConfigurationError) as caught:
        load({"KEYSTART_CONFIG": value, "KEYSTART_SECRETS": "db=prod/db"}, tmp_path)
    assert str(caught.value) == message


def test_a_named_path_that_the_system_refuses_is_reported() -> None:
    path = "/" + "x" * 300 + ".yaml"
    with pytest.raises(ConfigurationError) as caught:
        load({"KEYSTART_CONFIG": path})
    assert str(caught.value) == f"{path}: The file cannot be read: ENAMETOOLONG."


def test_the_store_of_squares_links_is_where_the_variable_says(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("SecretManagers: [{secrets: [{secretname: db}]}]\nSecretsHome: /tmp/elsewhere/../mine\n")
    with pytest.raises(ConfigurationError, match='The file "db" would lie in the store itself'):
        load_file(path, {"KEYSTART_DIR": "/tmp/mine/"})
    assert load_file(path, {}).facts["links_home"] == "/tmp/elsewhere/../mine"
