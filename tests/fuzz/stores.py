"""Makes up stores: good ones with some changes, and ones with documents from the grammar. It builds nothing.

A store is described as in a conformance case (contract/schema.json), so one that readers disagree about is already a
case.
"""

from __future__ import annotations

import base64
import copy
import json
import re
from collections.abc import Callable
from random import Random
from typing import Any

from tests.conformance import store

from .grammar import (
    BORDER_NUMBERS,
    ODD_CHARACTERS,
    WRONG_LITERALS,
    WRONG_NUMBERS,
    WRONG_SPACES,
    WRONG_STRINGS,
    Grammar,
)

Description = dict[str, Any]

PLAIN_NAMES = [
    "db",
    "dB",
    "db1",
    "api-key",
    "tls/cert",
    "tls/key",
    "tls/ca",
    "a",
    "a/b/c",
    "flags",
    "stripe/key",
    "_",
    "0",
]
ODD_NAMES = [
    "__proto__", "constructor", "hasOwnProperty", "toString", "default", "a..b", "a.-_", "A.b-c_D9", "nil",
    "CON", "con", "1/2/3/4/5/6/7/8", "a" * 255, "b" * 127 + "/" + "c" * 127, "manifest.json", "secrets",
    "generations/3/secrets/db",
]  # fmt: skip
WRONG_NAMES = [
    "", "/", "/db", "db/", "db//x", ".", "..", "../db", "db/..", "db/../db", ".db", "-db", "db/.x", "db/-x",
    "db ", " db", "db\n", "\ndb", "db\0", "d\0b", "d b", "d\\b", 'd"b', "é", "dé", "d\u0301", "\u212aey",
    "\uff44\uff42", "db\u200b", "\u0660", "😀", "~", "db~", "db:x", "db*", "1/2/3/4/5/6/7/8/9", "a" * 256,
    "a/" + "b" * 254, "a" * 1000, "é" * 31 + "a", "é" * 32, "é" * 33, "a" * 61 + "😀é", "\x7f", "db\r\n",
    "%64b", "a" * 63 + "é", '"' * 64, '"' * 65, "\ud800", "a\udc00b", "\ud83d\ude00", "x" * 62 + "\ud800",
]  # fmt: skip
TIMES = [
    "2026-11-23T09:20:00.180Z", "2000-02-29T23:59:59.999Z", "9999-12-31T23:59:59.999Z",
    "0001-01-01T00:00:00.000Z", "2100-02-28T00:00:00.000Z", "1900-02-29T00:00:00.000Z",
    "2026-02-30T00:00:00.000Z", "2026-13-01T00:00:00.000Z", "2026-00-01T00:00:00.000Z",
    "2026-04-31T00:00:00.000Z", "0000-01-01T00:00:00.000Z", "2026-01-01T24:00:00.000Z",
    "2026-01-01T23:60:00.000Z", "2026-01-01T23:59:60.000Z", "2026-01-01T00:00:00Z",
    "2026-01-01T00:00:00.0000Z", "2026-01-01t00:00:00.000z", "2026-01-01 00:00:00.000Z",
    "2026-01-01T00:00:00.000+00:00", "2026-01-01", "", "now", "2026-01-01T00:00:00.000Z\n",
    " 2026-01-01T00:00:00.000Z", "２026-01-01T00:00:00.000Z", "+026-01-01T00:00:00.000Z",
    "2026-01-32T00:00:00.000Z", "2400-02-29T00:00:00.000Z", "2026-01-00T00:00:00.000Z",
    "2026-1-01T00:00:00.000Z0",
]  # fmt: skip
# No link leads out of the store's own folder: later changes go through it, often as root.
TARGETS = [
    "generations/3", "generations/4", "generations/2", "generations/03", "generations/3/", "./generations/3",
    "generations//3", "generations/0", "generations/", "generations", "generations/-1", "generations/+3",
    "generations/3\n", "\ngenerations/3", "generations/3 ", "generations/٣", "generations/3.0",
    "generations/3e0", "generations/0x3", "generations/9007199254740991", "generations/9007199254740992",
    "generations/9007199254740993", "generations/99999999999999999", "generations/18446744073709551619",
    "generations/" + "9" * 400, "generations/1" + "0" * 15, "generations/3/secrets", "generations/.new-4",
    "generations/.old-3", "{root}/generations/3", "Generations/3", "../store/generations/3", ".", "..",
    "/proc/nowhere", "current", "é", "generations/3\u2028", "a" * 300, "generations/３", "generations/3/../3",
]  # fmt: skip
MODES = [
    "0000", "0001", "0100", "0200", "0300", "0400", "0500", "0600", "0640", "0644", "0666", "0700", "0711",
    "0722", "0755", "0770", "0702", "0720", "0777", "1777", "2755", "4700",
]  # fmt: skip
GENERATIONS = [1, 2, 4, 9, 10, 999, 2**31, 2**32, 2**52, 2**53 - 2, 2**53 - 1]
STATES = ["starting", "deferred", "ready", "failed", "stopped"]
# In seconds; with the large ones everything since 2001 can be used, and with the small ones nothing.
MAX_STALES = [20, 60, 10**9, 10**9, 1e9, 2**53 - 1, 2**53, 1e300, 0, 19, -1, 2.5, "60", True, None, []]
# Long ago, not long ago, and far ahead: no answer depends on the moment of the question.
CHECKS = ["2001-02-03T04:05:06.789Z", "2026-11-23T09:20:00.180Z", "2050-01-01T00:00:00.000Z"]
BYTES = [bytes([byte]) for byte in b'"\\{}[]:,0123456789eE+-. \t\r\n\0\x1f\x7f\x80\xc3\xff/#abfnrtu']
TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*|true|false|null|[{}\[\],:]')


def described(data: bytes) -> Any:
    """Returns the bytes as a `content` of the schema."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


class Stores:
    """Makes up one store after another. Only secrets get the `canary`."""

    def __init__(self, random: Random, canary: str) -> None:
        self._random = random
        self._canary = canary

    def make(self) -> Description:
        """Returns a store: a good one, with up to five changes."""
        random = self._random
        if random.random() < 0.01:
            return random.choice(
                [
                    {"base": "none"},
                    {"base": "none", "files": {".": "no folder"}},
                    {"base": "none", "links": {".": "nowhere"}},
                ]
            )
        made = self._good()
        recipe: list[Callable[[Description], None]] = random.choices(
            [
                self._manifest_by_grammar,
                self._manifest_member,
                self._manifest_bytes,
                self._state,
                self._current,
                self._tree,
                self._values,
                self._freshness,
            ],
            weights=[4, 4, 4, 3, 1, 4, 5, 4],
            k=random.choices([0, 1, 2, 3, 5], weights=[10, 65, 15, 7, 3])[0],
        )
        for step in recipe:
            step(made)
        return made

    def change(self, made: Description) -> Description:
        """Returns what happens to a store while a reader has it open."""
        random = self._random
        number = self.generation(made)
        kind = random.random()
        if kind < 0.5:
            published = self.published(made, number + 1 if random.random() < 0.9 else max(1, number - 1))
            if random.random() < 0.6:
                old = f"generations/{number}"
                published |= random.choice([{"removed": [old]}, {"moved": {old: "generations/.old"}}])
            if random.random() < 0.2:
                self._manifest_member(published)
            return published
        if kind < 0.6:
            return {"current": random.choice([None, *TARGETS])}
        if kind < 0.7:
            return {"current": None, "state": described(self._state_text(number))}
        if kind < 0.75:
            return random.choice([{"removed": ["."]}, {"current": None, "removed": ["state.json"]}])
        changed: Description = {}
        self._tree({**made, **changed}, changed)
        return changed

    def published(self, made: Description, number: int) -> Description:
        """Returns another generation with most of the secrets."""
        names = list(made.get("secrets", {"db": ""}))
        return {
            "generation": number,
            "secrets": {name: self._secret() for name in names if self._random.random() < 0.9},
        }

    def generation(self, made: Description) -> int:
        """Returns the number that the store publishes."""
        return int(made.get("generation", 3))

    def names(self, made: Description) -> list[str]:
        """Returns names that the store may know."""
        return [*made.get("secrets", {"db": ""}), *made.get("unavailable", {})]

    def _good(self) -> Description:
        random = self._random
        made: Description = {"base": "good"}
        if random.random() < 0.1:
            made["generation"] = random.choice(GENERATIONS)
        names = random.sample(PLAIN_NAMES, k=random.choice([1, 1, 2, 3, 5])) + random.sample(
            ODD_NAMES, k=random.choice([0, 0, 0, 1])
        )
        # One name cannot be the folder of another (contract 2.4), because it is a file.
        names = [name for name in names if not any(other.startswith(f"{name}/") for other in names)]
        made["secrets"] = {name: self._secret() for name in names}
        if random.random() < 0.3:
            missing = random.sample(
                [name for name in PLAIN_NAMES + ODD_NAMES[:5] if name not in names], k=random.choice([1, 2])
            )
            texts = ["not there", "", "a\nb", 'say "no"', "é\u2028", "\0", "ResourceNotFoundException"]
            made["unavailable"] = {
                name: {"code": random.choice(texts), "message": random.choice(texts)} for name in missing
            }
        return made

    def _secret(self) -> Any:
        """Returns the content of a secret, with the canary in most."""
        random = self._random
        kind = random.random()
        if kind < 0.5:
            return described(
                Grammar(random, wrong=random.choice([0, 0, 0.02, 0.1]), words=(self._canary,)).document()
            )
        data = self._canary.encode()
        data += random.choice(
            [
                b"",
                b"\n",
                b"\r\n",
                b"\0",
                "é😀".encode(),
                b"\xff",
                b"\xed\xa0\x80",
                b"\xc0\xaf",
                b"\xf4\x90\x80\x80",
                b"\xe2\x82",
            ]
        )
        data = random.choice([data, b"\xef\xbb\xbf" + data, data[::-1], b'"' + data + b'"'])
        if kind < 0.52:
            return {"text": "x", "repeat": random.choice([65_535, 65_536, 300_000])}
        return described(data if kind < 0.98 else b"")

    # Each of these changes one thing in a description, which may have been changed before.

    def _values(self, made: Description) -> None:
        for name in made["secrets"]:
            made["secrets"][name] = described(self._json_secret())

    def _json_secret(self) -> bytes:
        random = self._random
        text = Grammar(
            random, wrong=random.choice([0, 0, 0.02, 0.05]), words=(self._canary, self._canary + "\n")
        ).document()
        return self.bytes_changed(text) if random.random() < 0.3 else text

    def _manifest_by_grammar(self, made: Description) -> None:
        made["manifest"] = {"raw": described(self._manifest_text(made))}

    def _manifest_bytes(self, made: Description) -> None:
        text = store.manifest({"generation": 3, "secrets": {"db": ""}, **made})
        for _ in range(self._random.choice([1, 1, 1, 2, 3, 6])):
            text = self.bytes_changed(text)
        if self._random.random() < 0.03:
            text = text.ljust(1_048_575 + self._random.randrange(3))
        made["manifest"] = {"raw": described(text)}

    def _manifest_member(self, made: Description) -> None:
        random = self._random
        edits = made.get("manifest", {})
        if "raw" in edits:
            return
        edits = copy.deepcopy(edits)
        document = json.loads(store.manifest({"generation": 3, "secrets": {"db": ""}, **made}))
        pointers = _pointers(document, "")
        for pointer in random.sample(pointers, k=min(len(pointers), random.choice([1, 1, 1, 2]))):
            if not _touches(edits, pointer):
                if random.random() < 0.2:
                    edits.setdefault("remove", []).append(pointer)
                else:
                    edits.setdefault("set", {})[pointer] = self._member_value(pointer)
        if random.random() < 0.1:
            name = random.choice(PLAIN_NAMES + ODD_NAMES + WRONG_NAMES).encode(errors="replace").decode()
            pointer = f"/{random.choice(['secrets', 'unavailable'])}/{_escaped(name)}"
            if not _touches(edits, pointer):
                edits.setdefault("set", {})[pointer] = self._entry_value(name)
        made["manifest"] = edits

    def _member_value(self, pointer: str) -> Any:
        random = self._random
        if random.random() < 0.2:
            return random.choice([None, True, False, 0, 3, -1, 2.5, "", "3", [], {}, [{}], {"__proto__": {}}])
        member = pointer.rsplit("/", 1)[1]
        choices: dict[str, list[Any]] = {
            "format": ["keystart.manifest/1", "keystart.manifest/2", "keystart.manifest/1 ",
            "KEYSTART.manifest/1", "é" * 40, "a" * 65, 'a"\\\n\x7f'],
            "generation": [3, 3.0, 4, 0, -3, 2**53 - 1, 2**53, 2**53 + 1, 2**64 + 3, 1e300, "3"],
            "size": [0, 0.0, -0.0, 1, 41, 1_048_576, 1_048_577, 2**32, 2**53, 2**64, -1, 0.5, 1e300],
            "encoding": ["utf-8", "binary", "UTF-8", "utf8", ""],
            "fetched_at": TIMES,
            "refresh_after": [None, *TIMES],
            "path": ["secrets/db", "secrets/../secrets/db", "secrets//db", "/secrets/db", "secrets/tls/key",
            "secrets/"],
            "unavailable": [{}, {"db": {"code": "c", "message": "m"}}, {"x": None}, {".": {}}, []],
            "secrets": [{}, [], {"db": {}}, {"": {}}],
            "source": [{"provider": "p", "id": "i", "n": 2**60 + 1, "f": 3.0, "x": [None, {"é": "\u2028"}]},
            {"provider": "p"}, {"provider": 1, "id": "i"}],
        }  # fmt: skip
        texts: list[Any] = ["", "x", "é", "\u2028", "a" * 5000, "\0", 'q"', "__proto__"]
        return random.choice(choices.get(member, texts))

    def _entry_value(self, name: str) -> Any:
        good = {"path": f"secrets/{name}", "size": 3, "encoding": "utf-8", "fetched_at": TIMES[0],
        "refresh_after": None,
                "source": {"provider": "p", "id": "i"}, "code": "c", "message": "m"}  # fmt: skip
        return self._random.choice([good, good, {}, None])

    def _state(self, made: Description) -> None:
        made["current"] = None
        made["state"] = described(self._state_text(self.generation(made)))

    def _current(self, made: Description) -> None:
        made["current"] = self._random.choice(TARGETS)

    def _tree(self, made: Description, into: Description | None = None) -> None:
        """Replaces a file, a folder or a link of the store by something else."""
        random = self._random
        into = made if into is None else into
        folder = f"generations/{self.generation(made)}"
        secrets = [f"{folder}/secrets/{name}" for name in made.get("secrets", {"db": ""})]
        inner = {
            path[:at]
            for path in secrets
            for at, character in enumerate(path)
            if character == "/" and at > len(folder)
        }
        paths = [
            ".",
            "current",
            "state.json",
            "control.sock",
            "freshness.json",
            "lock",
            "generations",
            folder,
            f"{folder}/manifest.json",
            *sorted(inner),
            *secrets * 2,
        ]
        for _ in range(random.choice([1, 1, 1, 2, 3])):
            path, other = random.choice(paths), random.choice(paths)
            kind = random.choice(
                [
                    "removed",
                    "files",
                    "moved",
                    "hard_links",
                    "links",
                    "fifos",
                    "sockets",
                    "modes",
                    "modes",
                    "owners",
                ]
            )
            if kind in ("removed", "fifos", "sockets"):
                into.setdefault(kind, []).append(path)
            elif kind == "files":
                content = random.choice(
                    [
                        "",
                        "x",
                        "value of db\n",
                        {"text": " ", "repeat": 1_048_577},
                        described(self._json_secret()),
                    ]
                )
                into.setdefault(kind, {})[path + random.choice(["", "", "/x"])] = content
            elif kind in ("moved", "hard_links"):
                into.setdefault(kind, {})[path] = random.choice([other, f"{folder}/x", "../beside"])
            elif kind == "links":
                beside = ["nowhere", "{root}/../beside"]
                inside = ["{root}/" + other, ".", "..", path.rsplit("/", 1)[-1]]
                into.setdefault(kind, {})[path] = random.choice(beside if path == "." else beside + inside)
            elif kind == "modes":
                into.setdefault(kind, {})[path] = random.choice(MODES)
            else:
                into.setdefault(kind, {})[path] = random.choice([0, 1000, 65_534])

    def _freshness(self, made: Description) -> None:
        """Limits the age of values, and says when they were checked."""
        random = self._random
        edits = made.setdefault("manifest", {})
        if "raw" not in edits and not _touches(edits, "/max_stale"):
            edits.setdefault("set", {})["/max_stale"] = random.choice(MAX_STALES)
        document = {
            "format": "keystart.freshness/1",
            "generation": self.generation(made),
            "secrets": {name: self._check() for name in self.names(made) if random.random() < 0.9},
        }
        if random.random() < 0.3:
            pointer = random.choice(_pointers(document, ""))
            parent: Any = document
            *parents, member = [_unescaped(part) for part in pointer.split("/")[1:]]
            for part in parents:
                parent = parent[part]
            parent[member] = random.choice([*TIMES, None, 3, 3.0, "3", True, {}, [], "keystart.freshness/2"])
        text = json.dumps(document, ensure_ascii=random.random() < 0.5).encode()
        if random.random() < 0.3:
            text = self.bytes_changed(text)
        made.setdefault("files", {})["freshness.json"] = described(text)

    def _check(self) -> Description:
        random = self._random
        failure = {"code": random.choice(["c", "é", ""]), "message": "a\nb", "at": random.choice(CHECKS)}
        return {
            "checked_at": random.choice(CHECKS),
            "refresh_after": random.choice([None, *CHECKS]),
            "usable_until": random.choice([None, *CHECKS]),
            "failure": random.choice([None, None, failure]),
        }

    # Documents.

    def _manifest_text(self, made: Description) -> bytes:
        """Returns a manifest from the grammar: each member is right most of the time, in any order and spelling."""
        random = self._random
        slips = random.choice([0.0, 0.02, 0.1])
        grammar = Grammar(random, wrong=random.choice([0.0, 0.0, 0.005, 0.03]))
        number = self.generation(made)
        secrets = {
            name: store.content(value) for name, value in made.get("secrets", {"db": "value of db\n"}).items()
        }

        def right(text: bytes) -> bytes:
            return grammar.value(1) if random.random() < slips else text

        def of(members: list[tuple[str, bytes]]) -> bytes:
            kept = [(grammar.string(name), text) for name, text in members if random.random() >= slips / 2]
            kept += [(grammar.key(), grammar.value(2)) for _ in range(random.choice([0, 0, 0, 1, 2]))]
            random.shuffle(kept)
            if kept and random.random() < slips:
                name, text = random.choice(kept)
                kept.insert(random.randrange(len(kept) + 1), (name, random.choice([text, grammar.value(1)])))
            return right(grammar.object(kept))

        def words(*choices: str) -> bytes:
            return right(grammar.string(random.choice(choices)))

        def entry(name: str, size: int) -> bytes:
            source = [
                ("provider", words("secretsmanager", "ssm")),
                ("id", words("prod/db", "", "é")),
                ("field", words("a", "b")),
            ]
            return of([
                ("path", words(f"secrets/{name}")),
                ("size", right(self._spelled(size))),
                ("encoding", words("utf-8", "binary")),
                ("fetched_at", words(TIMES[0], *TIMES[: 1 + random.choice([4, 25])])),
                ("refresh_after", random.choice([b"null", words(*TIMES)])),
                ("source", of(source)),
            ])  # fmt: skip

        def name_of(name: str) -> str:
            return (
                random.choice(ODD_NAMES + WRONG_NAMES).encode(errors="replace").decode()
                if random.random() < slips / 3
                else name
            )

        unavailable = {
            **made.get("unavailable", {}),
            **({random.choice(PLAIN_NAMES): {}} if random.random() < slips else {}),
        }
        named = [(name_of(name), len(data)) for name, data in secrets.items()]
        entries = [(name, entry(name, size)) for name, size in named]
        reason = [("code", words("c", "é")), ("message", words("m", "a\nb"))]
        missing = [(name_of(name), of(reason)) for name in unavailable]
        return of([
            ("format", words("keystart.manifest/1")),
            ("generation", right(self._spelled(number))),
            ("published_at", words(*TIMES)),
            ("writer", of([("name", words("keystart-extension", "w")), ("version", words("0.1.0"))])),
            ("secrets", of(entries)),
            ("unavailable", of(missing)),
        ])  # fmt: skip

    def _spelled(self, number: int) -> bytes:
        """Returns one of the ways to write a whole number (contract 4.8)."""
        forms = [f"{number}"] * 4 + [f"{number}.0", f"{number}e0", f"{number}E+00", f"{number}.000e0"]
        if number < 2**40:
            forms += [f"0.{number:016}e16", f"{number}.00000000000000000001"]
        forms += [f"{number}0e-1"] if number > 0 else ["-0", "-0.0", "0e5", "1e-400"]
        return self._random.choice(forms).encode()

    def _state_text(self, number: int) -> bytes:
        random = self._random
        if random.random() < 0.4:
            text = json.dumps(store.state(random.choice(STATES), number), ensure_ascii=False).encode()
            for _ in range(random.choice([0, 1, 1, 2, 3])):
                text = self.bytes_changed(text)
            return text
        slips = random.choice([0.0, 0.0, 0.05, 0.2])
        grammar = Grammar(random, wrong=random.choice([0.0, 0.0, 0.01, 0.05]))
        texts = ["", "no", "a\nb", "é\u2028😀", 'q"\\', "\0", "a" * 300]

        def right(text: bytes) -> bytes:
            return grammar.value(1) if random.random() < slips else text

        def failure() -> bytes:
            members = [
                (b'"code"', right(grammar.string(random.choice(texts)))),
                (b'"message"', right(grammar.string(random.choice(texts)))),
            ]
            return grammar.object(members + [(grammar.key(), grammar.value(1))] * (random.random() < 0.1))

        names = random.sample(
            [*PLAIN_NAMES, *ODD_NAMES[:5], "é", "\uffff", "😀", "", "a" * 65, "\0", '"'],
            k=random.choice([0, 0, 1, 2, 4]),
        )
        failures = [(grammar.string(name), right(failure())) for name in names]
        members = [
            (b'"format"', right(grammar.string("keystart.state/1"))),
            (b'"state"', right(grammar.string(random.choice(STATES)))),
            (b'"generation"', grammar.number()),
            (b'"message"', right(random.choice([b"null", grammar.string(random.choice(texts))]))),
            (b'"failures"', right(grammar.object(failures))),
            (grammar.key(), grammar.value(2)),
        ]  # fmt: skip
        members = [member for member in members if random.random() >= slips / 2]
        random.shuffle(members)
        if members and random.random() < 0.1:
            members.append((random.choice(members)[0], grammar.value(1)))
        return grammar.object(members)

    def bytes_changed(self, text: bytes) -> bytes:
        """Returns the text with one change to its bytes or tokens."""
        random = self._random
        at = random.randrange(len(text) + 1)
        end = min(len(text), at + random.choice([1, 1, 2, 5, 30]))
        kind = random.random()
        if kind < 0.1 and text:
            at = min(at, len(text) - 1)
            return text[:at] + bytes([text[at] ^ 1 << random.randrange(8)]) + text[at + 1 :]
        if kind < 0.2:
            return text[:at] + random.choice(BYTES) + text[at:]
        if kind < 0.27:
            return text[:at] + text[end:]
        if kind < 0.3:
            return text[:at]
        if kind < 0.35:
            start = random.randrange(len(text) + 1)
            return text[:at] + text[start : start + random.choice([1, 5, 40])] + text[end:]
        if kind < 0.4:
            return (
                text[:at] + random.choice([*WRONG_SPACES, random.choice(ODD_CHARACTERS).encode()]) + text[at:]
            )
        if kind < 0.45:
            return random.choice([
                b"\xef\xbb\xbf" + text, text.replace(b" ", b"\r\n"), text + b"\n", text + b"\0", text + b" {}",
                text * 2,
                text.decode(errors="replace").encode("utf-16-le"), text.replace(b"/", b"\\/"),
                text.replace(b'"', b"'"), text.replace(b", ", b",  ,", 1),
            ])  # fmt: skip
        return self._token_changed(text)

    def _token_changed(self, text: bytes) -> bytes:
        random = self._random
        tokens = list(TOKEN.finditer(text))
        if not tokens:
            return text
        kind = random.random()
        numbers = [token for token in tokens if token[0][:1].isdigit() or token[0][:1] == b"-"]
        if kind < 0.3 and numbers:
            token = random.choice(numbers)
            return _replaced(text, token, random.choice(BORDER_NUMBERS + WRONG_NUMBERS).encode())
        token = random.choice(tokens)
        if kind < 0.5:
            other = Grammar(random)
            value = random.choice(
                [
                    other.value(2),
                    other.nested(random.choice([2, 60, 61, 62, 63, 64, 65])),
                    random.choice(tokens)[0],
                ]
            )
            return _replaced(
                text, token, random.choice([value, random.choice(WRONG_STRINGS + WRONG_LITERALS)])
            )
        if kind < 0.6:
            return _replaced(text, token, b"")
        if kind < 0.7 and token[0].startswith(b'"'):
            piece = random.choice(
                [
                    b"\\u0000",
                    b"\\ud800",
                    b"\\udc00",
                    b"\\ud83d\\ude00",
                    b"\\q",
                    b"\0",
                    b"\xff",
                    b"\xc0\xaf",
                    "é".encode(),
                    b"\\",
                ]
            )
            return text[: token.start() + 1] + piece + text[token.start() + 1 :]
        # A duplicate member: the piece from one name to the next, once more, with another value.
        names = [token for token in tokens if text[token.end() : token.end() + 1] == b":"]
        if not names:
            return _replaced(text, token, token[0] * 2)
        name = random.choice(names)
        value = random.choice(
            [
                b"null",
                b"3",
                b'""',
                b"{}",
                b"[]",
                b"1e400",
                b'"\\ud800"',
                Grammar(random).value(1),
                random.choice(tokens)[0],
            ]
        )
        member = name[0] + b": " + value
        if random.random() < 0.5:
            return text[: name.start()] + member + b", " + text[name.start() :]
        end = text.find(b"}", name.end())
        return text[:end] + b", " + member + text[end:]


def _replaced(text: bytes, token: re.Match[bytes], by: bytes) -> bytes:
    return text[: token.start()] + by + text[token.end() :]


def _pointers(document: Any, before: str) -> list[str]:
    if not isinstance(document, dict):
        return []
    found = []
    for name, value in document.items():
        pointer = f"{before}/{_escaped(name)}"
        found += [pointer, *_pointers(value, pointer)]
    return found


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _unescaped(part: str) -> str:
    return part.replace("~1", "/").replace("~0", "~")


def _touches(edits: Description, pointer: str) -> bool:
    """Returns whether something in, at or around this place was changed already."""
    changed = [*edits.get("set", {}), *edits.get("remove", [])]
    return any(f"{one}/".startswith(f"{pointer}/") or f"{pointer}/".startswith(f"{one}/") for one in changed)
