"""The rules of contract/rejections.json in each language: which errors mean that a server refused a login."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class ContractError(Exception):
    """A table of the contract contradicts itself or is not valid."""


@dataclass(frozen=True)
class Server:
    """What a server's refusals look like."""

    codes: Mapping[str, str]
    need_words: tuple[str, ...]
    routines: tuple[str, ...]
    words: tuple[Mapping[str, Any], ...]

    def sentences(self, translated: bool) -> dict[str, list[str]]:
        """Returns the sentences of each verdict, in English or in all languages."""
        found: dict[str, list[str]] = {}
        for word in self.words:
            found.setdefault(word["verdict"], []).append(word["text"])
            for texts in word.get("translations", {}).values() if translated else ():
                found[word["verdict"]] += texts
        return found


@dataclass(frozen=True)
class Driver:
    """Where a driver's errors carry what a server said."""

    name: str
    server: str
    classes: tuple[str, ...]
    code: tuple[str, ...]
    routine: tuple[str, ...]
    words: tuple[str, ...]
    translated: bool


@dataclass(frozen=True)
class Rejections:
    """All rules."""

    servers: Mapping[str, Server]
    drivers: Mapping[str, tuple[Driver, ...]]
    follow: Mapping[str, Any]

    def of(self, language: str) -> Iterator[tuple[str, Server, bool]]:
        """Yields the servers that a language has drivers for, and whether one of these needs translations."""
        for name, server in self.servers.items():
            drivers = [driver for driver in self.drivers[language] if driver.server == name]
            if drivers:
                yield name, server, any(driver.translated for driver in drivers)


def load(file: Path) -> Rejections:
    """Reads and checks the rules. Raises `ContractError`."""
    document = json.loads(file.read_text())
    servers = {
        name: Server(
            data.get("codes", {}),
            tuple(data.get("codes_that_need_words", [])),
            tuple(data.get("routines", [])),
            tuple(data.get("words", [])),
        )
        for name, data in document["servers"].items()
    }
    drivers = {
        language: tuple(_driver(data, servers) for data in found)
        for language, found in document["drivers"].items()
    }
    return Rejections(servers, drivers, document["follow"])


def _driver(data: Mapping[str, Any], servers: Mapping[str, Server]) -> Driver:
    if data["server"] not in servers:
        raise ContractError(f"rejections.json: {data['driver']} is of the unknown server {data['server']}")
    if not (data.get("code") or data.get("words")):
        raise ContractError(f"rejections.json: {data['driver']} has neither a code nor words")
    return Driver(
        name=data["driver"],
        server=data["server"],
        classes=tuple(data.get("class", [])),
        code=tuple(data.get("code", [])),
        routine=tuple(data.get("routine", [])),
        words=tuple(data.get("words", [])),
        translated=data.get("translated", False),
    )


def python(rejections: Rejections) -> str:
    """Returns the tables of `rejections.py`."""
    lines = ["_SERVERS: Mapping[str, _Server] = {"]
    for name, server, translated in rejections.of("python"):
        lines += [f"    {_double(name)}: _Server(", "        {"]
        lines += [
            f"            {_double(code)}: {_double(verdict)}," for code, verdict in server.codes.items()
        ]
        lines += [
            "        },",
            f"        frozenset([{_doubles(server.need_words)}]),",
            f"        frozenset([{_doubles(server.routines)}]),",
            "        {",
        ]
        for verdict, texts in server.sentences(translated).items():
            lines.append(f"            {_double(verdict)}: [")
            lines += [f"                {_double(text)}," for text in texts]
            lines.append("            ],")
        lines += ["        },", "    ),"]
    lines += ["}", "_DRIVERS: Sequence[_Driver] = ["]
    for driver in rejections.drivers["python"]:
        lines += [f"    # {driver.name}", "    _Driver(", f"        {_double(driver.server)},"]
        lines.append(f"        frozenset([{_doubles(driver.classes)}]),")
        paths = (("code", driver.code), ("routine", driver.routine), ("words", driver.words))
        lines += [f"        {key}=[{_doubles(value)}]," for key, value in paths if value]
        lines.append("    ),")
    lines += ["]", "_FOLLOWED: Mapping[str, str] = {"]
    lines += [
        f"    {_double(name)}: {_double(member)}," for name, member in rejections.follow["python"].items()
    ]
    return "\n".join([*lines, "}"]).replace("{\n        },", "{},") + "\n"


def node(rejections: Rejections) -> str:
    """Returns the tables of `rejections.mjs`."""
    lines = ["// prettier-ignore", "/** @type {Record<string, Server>} */", "const SERVERS = {"]
    for name, server, translated in rejections.of("node"):
        codes = ", ".join(f"{_single(code)}: {_single(verdict)}" for code, verdict in server.codes.items())
        lines += [f"  {name}: {{", f"    codes: {{ {codes} }},".replace("{  }", "{}")]
        lines.append(f"    needWords: [{_singles(server.need_words)}],")
        lines.append(f"    routines: [{_singles(server.routines)}],")
        lines.append("    words: {")
        for verdict, texts in server.sentences(translated).items():
            lines.append(f"      {verdict}: [")
            lines += [f"        {_single(text)}," for text in texts]
            lines.append("      ],")
        lines += ["    },", "  },"]
    lines += ["};", "// prettier-ignore", "/** @type {Driver[]} */", "const DRIVERS = ["]
    for driver in rejections.drivers["node"]:
        lines.append(f"  // {driver.name}")
        paths = (("code", driver.code), ("routine", driver.routine), ("words", driver.words))
        members = ", ".join(f"{key}: [{_singles(value)}]" for key, value in paths)
        lines.append(f"  {{ server: {_single(driver.server)}, {members} }},")
    lines += ["];", f"const FOLLOWED = [{_singles(rejections.follow['node'])}];"]
    return "\n".join(lines).replace("{\n    },", "{},") + "\n"


def ruby(rejections: Rejections) -> str:
    """Returns the tables of `rejections.rb`."""
    return (
        "    SERVERS = {\n"
        + ",\n".join(_ruby_server(*found) for found in rejections.of("ruby"))
        + "\n    }.freeze\n    DRIVERS = [\n"
        + ",\n".join(_ruby_driver(driver) for driver in rejections.drivers["ruby"])
        + "\n    ].freeze\n"
    )


def _ruby_server(name: str, server: Server, translated: bool) -> str:
    codes = ",\n".join(f"          {_escaped(code)} => :{verdict}" for code, verdict in server.codes.items())
    words = ",\n".join(
        f"          {verdict}: [\n"
        + ",\n".join(f"            {_escaped(text)}" for text in texts)
        + "\n          ]"
        for verdict, texts in server.sentences(translated).items()
    )
    lists = f"{_escapeds(server.need_words)}, {_escapeds(server.routines)}"
    return (
        f"      {_escaped(name)} => Server.new(\n"
        f"        {_hash(codes)},\n"
        f"        {lists},\n"
        f"        {_hash(words)}\n"
        f"      )"
    )


def _hash(members: str) -> str:
    return f"{{\n{members}\n        }}" if members else "{}"


def _ruby_driver(driver: Driver) -> str:
    lists = (driver.classes, driver.code, driver.routine, driver.words)
    members = ", ".join(_escapeds(texts) for texts in lists)
    return f"      # {driver.name}\n      Driver.new({_escaped(driver.server)}, {members})"


def _double(text: str) -> str:
    # As the formatter does: double quotes, unless the text holds some.
    return repr(text) if '"' in text else f'"{text}"'


def _single(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _escaped(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _doubles(texts: Sequence[str]) -> str:
    return ", ".join(_double(text) for text in texts)


def _singles(texts: Sequence[str]) -> str:
    return ", ".join(_single(text) for text in texts)


def _escapeds(texts: Sequence[str]) -> str:
    if len(texts) > 1:
        return f"%w[{' '.join(texts)}]"
    return f"[{', '.join(_escaped(text) for text in texts)}]"
