"""Which files hold parts of the contract: whole files, marked parts of files, and marked lines. It writes none."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tests.conformance import page

from . import docs, node, python, rejections, ruby, rust
from .contract import Contract, ContractError

Writer = Callable[[Contract], str]

WHOLE: Mapping[str, Writer] = {
    "core/store/src/errors/codes.rs": rust.codes,
    "core/store/src/errors/messages.rs": rust.messages,
    "core/config/src/variables/groups.rs": rust.variables,
    "bindings/python/src/keystart/errors.py": python.errors,
    "bindings/node/src/classes.mjs": node.classes,
    "bindings/node/src/errors.mjs": node.errors,
    "bindings/node/types/errors.d.ts": node.types,
    "bindings/ruby/lib/keystart/errors.rb": ruby.errors,
    "bindings/ruby/sig/errors.rbs": ruby.signatures,
}
# The writers of the text between `generated from …: NAME` and `end of generated`.
PARTS: Mapping[str, Mapping[str, Writer]] = {
    "core/capi/reader/cbindgen.toml": {"numbers": docs.numbers},
    "bindings/python/src/keystart/__init__.py": {"errors": python.names},
    "bindings/python/src/keystart/rejections.py": {
        "rules": lambda contract: rejections.python(contract.rejections)
    },
    "bindings/node/src/rejections.mjs": {"rules": lambda contract: rejections.node(contract.rejections)},
    "bindings/ruby/lib/keystart/rejections.rb": {
        "rules": lambda contract: rejections.ruby(contract.rejections)
    },
    "bindings/node/src/testing.js": {"errors": node.testing},
    "bindings/ruby/lib/keystart.rb": {"classes of errors": ruby.names},
    "bindings/ruby/lib/keystart/testing.rb": {"errors": ruby.testing},
    "bindings/ruby/sig/testing.rbs": {"errors": ruby.testing_signatures},
    "contract/contract.md": {
        "codes": docs.codes,
        "messages of readers": docs.reader_messages,
        "messages of the writer": docs.writer_messages,
    },
    "docs/refused-variables.md": {"variables": docs.variables},
    "docs/security.md": {"limits": docs.limits},
    "docs/internals/conformance.md": {
        "files": lambda _: page.by_file(),
        "clauses": lambda _: page.by_clause(),
        "codes": lambda _: page.by_code(),
    },
}
_PART = re.compile(
    r"^(.*\bgenerated from contract/\S+: (?P<name>[\w ]+?)(?: -->)?\n)"
    r"(?P<text>(?:.*\n)*?)"
    r"(?P<end>.*\bend of generated\b)",
    re.MULTILINE,
)

# A number, the rest of its line, and the key in the comment.
_LIMIT = re.compile(
    r"(?P<number>\d[\d_]*)(?P<rest>(?:\.0)?\W*(?://|#) limits\.toml: (?P<key>[\w.]+))$", re.MULTILINE
)
_CODE = (".rs", ".py", ".mjs", ".js", ".rb")
_FOLDERS = ("bindings", "core", "extension")
_NO_SOURCES = {"node_modules", "target", "dist", ".venv", "__pycache__"}


def outputs(contract: Contract, root: Path) -> dict[str, str]:
    """Returns the text of each file with a part of the contract, by its path below the root."""
    whole = {path: write(contract) for path, write in WHOLE.items()}
    parts = {path: _with_parts((root / path).read_text(), path, contract) for path in PARTS}
    return whole | parts | dict(_with_limits(root, contract, whole | parts))


def _with_parts(text: str, path: str, contract: Contract) -> str:
    writers = PARTS[path]
    found = [match["name"] for match in _PART.finditer(text)]
    if sorted(found) != sorted(writers):
        raise ContractError(f"{path} has the parts {found}, and not {list(writers)}")
    return _PART.sub(lambda match: match[1] + writers[match["name"]](contract) + match["end"], text)


def _with_limits(root: Path, contract: Contract, ready: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    used = set()
    for path in _sources(root):
        text = ready.get(path) or (root / path).read_text()
        keys = [match["key"] for match in _LIMIT.finditer(text)]
        if len(keys) != text.count(" limits.toml: "):
            raise ContractError(f"{path}: a line with the comment limits.toml has no number at its end")
        if unknown := [key for key in keys if key not in contract.limits]:
            raise ContractError(f"{path}: limits.toml has no {unknown[0]}")
        used.update(keys)
        if keys:
            yield path, _LIMIT.sub(lambda match: f"{contract.limits[match['key']]:_}{match['rest']}", text)
    if unused := sorted(set(contract.limits) - used):
        raise ContractError(f"limits.toml: nothing uses {unused[0]}")


def _sources(root: Path) -> Iterator[str]:
    for folder in _FOLDERS:
        for current, folders, files in os.walk(root / folder):
            folders[:] = sorted(set(folders) - _NO_SOURCES)
            for name in sorted(files):
                if name.endswith(_CODE):
                    yield str((Path(current) / name).relative_to(root))
