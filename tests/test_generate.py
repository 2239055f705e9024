"""Generated files follow contract/: a code that is added to errors.toml alone appears everywhere."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from generate import versions
from generate.__main__ import main
from generate.contract import FOLDER, ROOT, ContractError, load
from generate.files import outputs

ADDED = """
[[error]]
code = "store_asleep"
number = 902
since = "0.2.0"
raised_by = "reader"
when = "it does not wake up"
summary = "The store is asleep."

[[error.message]]
name = "asleep"
text = "The store at {root} is asleep, and {quoted} does not wake it. Shout."
"""
# The form of a reader's code in each file that has codes.
SHOWN = {
    "core/store/src/errors/codes.rs": ["StoreAsleep = 902,", 'Self::StoreAsleep => "store_asleep",'],
    "core/store/src/errors/messages.rs": ["pub fn asleep(root: &str, quoted: &[u8]) -> Self {", "Shout."],
    "core/capi/reader/cbindgen.toml": [" * 902 store_asleep"],
    "bindings/python/src/keystart/__init__.py": ['    "StoreAsleep",'],
    "bindings/python/src/keystart/errors.py": [
        "class StoreAsleep(KeystartError):",
        '    "StoreAsleep",',
        "902: StoreAsleep,",
    ],
    "bindings/node/src/classes.mjs": ["  StoreAsleep: 'store_asleep',"],
    "bindings/node/src/errors.mjs": ["  StoreAsleep,", "function asleep(root, quoted)"],
    "bindings/node/types/errors.d.ts": ["| 'store_asleep'", "export class StoreAsleep extends KeystartError"],
    "bindings/ruby/lib/keystart.rb": ["Internal StoreAsleep\n  ].each"],
    "bindings/ruby/lib/keystart/errors.rb": ["class StoreAsleep < Error", "def asleep(root, quoted)"],
    "bindings/ruby/sig/errors.rbs": ["class StoreAsleep < Error"],
    "contract/contract.md": [
        "| `store_asleep` | 902 | 0.2.0 |",
        "| `store_asleep` | `The store at {root} is asleep",
    ],
}


@pytest.fixture
def contract(tmp_path: Path) -> Path:
    folder = tmp_path / "contract"
    folder.mkdir()
    for file in (*FOLDER.glob("*.toml"), FOLDER / "rejections.json"):
        shutil.copy(file, folder)
    return folder


def append(folder: Path, text: str) -> None:
    with (folder / "errors.toml").open("a") as file:
        file.write(text)


def test_a_code_is_added_in_one_file(contract: Path) -> None:
    before = outputs(load(contract), ROOT)
    append(contract, ADDED)
    after = outputs(load(contract), ROOT)
    assert {path for path in after if after[path] != before[path]} == set(SHOWN)
    assert [piece for path, pieces in SHOWN.items() for piece in pieces if piece not in after[path]] == []


def test_a_limit_is_changed_in_one_file(contract: Path) -> None:
    file = contract / "limits.toml"
    file.write_text(file.read_text().replace("bytes = 255", "bytes = 1_255"))
    after = outputs(load(contract), ROOT)
    assert "const MAX_BYTES: usize = 1_255; // limits.toml: name.bytes" in after["core/store/src/name.rs"]
    assert "const MAX_BYTES = 1_255; // limits.toml: name.bytes" in after["bindings/node/src/name.mjs"]
    assert "LONGEST_NAME = 1_255 # limits.toml: name.bytes" in after["bindings/ruby/lib/keystart/quick.rb"]
    assert "at most 1255 bytes in all" in after["bindings/node/src/errors.mjs"]


def test_the_version_is_changed_in_one_file(tmp_path: Path) -> None:
    for path in ["Cargo.toml", *(before := versions.outputs(ROOT))]:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text((ROOT / path).read_text())
    manifest = tmp_path / "Cargo.toml"
    manifest.write_text(re.sub(r'(?m)^version = ".*"$', 'version = "7.8.9"', manifest.read_text()))
    after = versions.outputs(tmp_path)
    assert {path for path, text in after.items() if "7.8.9" in text} == set(before)
    assert '"keystart==7.8.9"' in after["extension/pyproject.toml"]


def test_what_differs_is_named_with_the_cure_and_nothing_is_written(
    contract: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    append(contract, ADDED)
    assert main(["--check"], ROOT, contract) == 1
    assert sorted(capsys.readouterr().err.splitlines()) == sorted(
        f"generate: {path} is not what it is generated from. Run ./dev generate." for path in SHOWN
    )
    assert main(["--check"]) == 0


def test_a_rule_for_rejections_is_changed_in_one_file(contract: Path) -> None:
    file = contract / "rejections.json"
    before = outputs(load(contract), ROOT)
    file.write_text(file.read_text().replace('"1698": "rejected"', '"1699": "locked"'))
    after = outputs(load(contract), ROOT)
    pieces = {
        "bindings/python/src/keystart/rejections.py": '"1699": "locked",',
        "bindings/node/src/rejections.mjs": "'1699': 'locked'",
        "bindings/ruby/lib/keystart/rejections.rb": '"1699" => :locked',
    }
    assert {path for path in after if after[path] != before[path]} == set(pieces)
    assert [path for path, piece in pieces.items() if piece not in after[path]] == []


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('"server": "redis"', '"server": "rediss"', "is of the unknown server rediss"),
        ('"code": [\n          "errno"\n        ]', '"code": []', "has neither a code nor words"),
    ],
)
def test_a_rule_that_cannot_be_is_refused(contract: Path, old: str, new: str, problem: str) -> None:
    file = contract / "rejections.json"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new, 1))
    with pytest.raises(ContractError, match=problem):
        load(contract)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("number = 102", "number = 101", "the number 101 is there twice"),
        ('code = "not_ready"', 'code = "not_attached"', "the code not_attached is there twice"),
        ('name = "stopped"', 'name = "removed"', "the name removed is there twice"),
        ("number = 101", "number = 199", "the codes are not in the order of their numbers"),
        ("{name.bytes}", "{name.octets}", "there is no limit name.octets"),
        ('of = "name_conflict"', 'of = "conflict"', "the piece name_twice is of no code"),
        ('raised_by = "reader"', 'raised_by = "anybody"', "invalid_name is raised by 'anybody'"),
    ],
)
def test_a_table_that_cannot_be_is_refused(contract: Path, old: str, new: str, problem: str) -> None:
    file = contract / "errors.toml"
    file.write_text(file.read_text().replace(old, new, 1))
    with pytest.raises(ContractError, match=problem):
        load(contract)
