"""Reads the mapping of secrets into entries and checks their names against each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..names import DEEPEST, LONGEST, NAME_RULE, characters, is_certain, is_name, quote
from ..plan import Entry, Origin
from . import not_yet, variables
from .document import Mapping, Node, Scalar, place
from .errors import Problems
from .reading import boolean, found, is_nothing, mapping, refuse_unknown, text
from .references import (
    BadReference,
    Reference,
    check_stage,
    check_version_id,
    is_role,
    parse_parameter,
    parse_path,
    parse_secret,
    parse_short,
)

_SOURCES = {"secret": parse_secret, "parameter": parse_parameter, "parameters": parse_path}
_ONLY_SECRET = ("field", "expand", "stage", "version_id")
_KEYS = (*_SOURCES, *_ONLY_SECRET, "role", "optional", "env")
_LARGEST_MANIFEST = 1_048_576  # contract 4.5
# The least that a manifest says of a secret, without its id and its name, which stands there twice (contract §4).
_SHORTEST_LINE = len(
    '"":{"path":"secrets/","size":0,"encoding":"utf-8","fetched_at":"2026-11-23T09:20:00.180Z","refresh_after":null,'
    '"source":{"field":null,"id":"","provider":"ssm","region":"eu-west-1","version_id":"1","version_stages":[]}},'
)
_TWO_VERSIONS = '"stage" and "version_id" both choose a version. Keep one of them.'


def read_entries(node: Node, region: str | None, problems: Problems) -> tuple[Entry, ...]:
    """Reads `secrets:`. `region` is the configuration's own, for ids that are no ARN."""
    if is_nothing(node) or (isinstance(node, Mapping) and not node.members):
        problems.add("There are no secrets. Name at least one.", node.origin)
        return ()
    members = mapping(node, '"secrets"', problems)
    if members is None:
        return ()
    read = [_read_entry(key, value, region, problems) for key, value in members.members]
    entries = tuple(entry for entry in read if entry is not None)
    check_together(entries, problems)
    _refuse_same_variable(entries, problems)
    return entries


def short_entry(
    name: str | None,
    id: str,
    region: str | None,
    origin: Origin,
    id_origin: Origin,
    label: str,
    problems: Problems,
) -> Entry | None:
    """Makes the entry of `name: id`; `label` begins a message."""
    try:
        reference = parse_short(id)
    except BadReference as error:
        problems.add(f"{label}{error}", id_origin)
        return None
    if reference.stage is not None and reference.version_id is not None:
        problems.add(f"{label}{_TWO_VERSIONS}", id_origin)
    return (
        None
        if name is None
        else Entry(
            name=name,
            kind=reference.kind,
            id=reference.id,
            region=reference.region or region,
            field=reference.field,
            expand=False,
            stage=reference.stage,
            version_id=reference.version_id,
            role=None,
            optional=False,
            env=None,
            origin=origin,
        )
    )


def check_together(entries: Sequence[Entry], problems: Problems) -> None:
    """Checks entries that are sound by themselves: their names against each other, and how many they are."""
    _refuse_nested(entries, problems)
    size = 0
    for number, entry in enumerate(entries, 1):
        # An optional one that is not available takes less, and its line need not come.
        size += 0 if entry.optional else _SHORTEST_LINE + 2 * len(entry.name) + len(entry.id)
        if size > _LARGEST_MANIFEST:
            problems.add(
                f"With this secret, number {number} of {len(entries)}, the manifest would be longer than the "
                f"{_LARGEST_MANIFEST} bytes that can be published. Configure fewer secrets.",
                entry.origin,
            )
            break


def _refuse_nested(entries: Sequence[Entry], problems: Problems) -> None:
    """Tells names inside each other (contract 2.4) as far as they are known before the fetch.

    What `expand` and `parameters` will bring is not known yet, so other names may lie below theirs.
    """
    files = {entry.name: entry for entry in entries if not _is_folder(entry)}
    for entry in entries:
        segments = entry.name.split("/")
        for end in range(1, len(segments)):
            outer = files.get("/".join(segments[:end]))
            if outer is not None:
                problems.add(
                    f"The name {quote(entry.name)} lies inside {quote(outer.name)}, which is a secret itself "
                    f"({place(outer.origin)}). Rename one of them.",
                    entry.origin,
                )


def _refuse_same_variable(entries: Sequence[Entry], problems: Problems) -> None:
    seen: dict[str, Entry] = {}
    for entry in entries:
        first = seen.setdefault(entry.env, entry) if entry.env is not None else entry
        if first is not entry:
            problems.add(
                f"The variable {entry.env} of {quote(entry.name)} is already that of {quote(first.name)} "
                f"({place(first.origin)}). Name another.",
                entry.origin,
            )


def _is_folder(entry: Entry) -> bool:
    return entry.expand or entry.kind == "parameters"


def refuse_name(name: str, label: str, origin: Origin, problems: Problems) -> None:
    """Adds the problem of a text that is not a name, without the text."""
    what = f"a text of {characters(name)}" if name else "nothing"
    problems.add(f"{label}The name of a secret must be valid, found {what}. {NAME_RULE}", origin)


def _read_entry(key: Scalar, node: Node, region: str | None, problems: Problems) -> Entry | None:
    name = _read_name(key, problems)
    is_shown = is_certain(key.text, "name")
    label = quote(key.text) if is_shown else f"The secret at {place(key.origin)}"
    if isinstance(node, Mapping):
        return _Reader(label, key, node, problems).read(name, region)
    if not isinstance(node, Scalar):
        problems.add(f"{label}: An id or a mapping must follow, found {found(node)}.", node.origin)
        return None
    id = text(node, f"{label}: The id", problems)
    if id is None:
        return None
    return short_entry(name, id, region, key.origin, node.origin, f"{label}: ", problems)


def _read_name(key: Scalar, problems: Problems) -> str | None:
    name = text(key, "The name of a secret", problems)
    if name is not None and not is_name(name):
        refuse_name(name, "", key.origin, problems)
        return None
    return name


class _Reader:
    """Reads the long form of one secret; `label` is its quoted name, or its place."""

    def __init__(self, label: str, key: Scalar, node: Mapping, problems: Problems) -> None:
        self.label = label
        self.key = key
        self.node = node
        self.problems = problems

    def read(self, name: str | None, region: str | None) -> Entry | None:
        refuse_unknown(self.node, self.label, _KEYS, self.problems, elsewhere=not_yet.ENTRY_KEYS)
        not_yet.refuse_in_entry(self.node, self.label, self.problems)
        role = self._role()
        optional = self._flag("optional")
        env = self._env()
        expand = self._flag("expand")
        field, stage, version_id = self._text("field"), self._stage(), self._version_id()
        reference = self._reference()
        if reference is None:
            return None
        if reference.kind != "secret":
            self._refuse_only_secret()
        field = self._one("field", field, reference.field)
        stage = self._one("stage", stage, reference.stage)
        version_id = self._one("version_id", version_id, reference.version_id)
        if expand and field is not None:
            self._add('"field" takes one member and "expand" takes each. Keep one of them.', "expand")
        if stage is not None and version_id is not None:
            self._add(_TWO_VERSIONS, "version_id", "stage")
        if name is None:
            return None
        entry = Entry(
            name=name,
            kind=reference.kind,
            id=reference.id,
            region=reference.region or region,
            field=field,
            expand=expand,
            stage=stage,
            version_id=version_id,
            role=role,
            optional=optional,
            env=env,
            origin=self.key.origin,
        )
        if env is not None and _is_folder(entry):
            self._add(
                '"env" takes one value, and this brings several. Give it to a secret with "field".', "env"
            )
        if _is_folder(entry) and (name.count("/") + 1 == DEEPEST or len(name) > LONGEST - 2):
            self._add("This name leaves no room for the names below it. Shorten it.")
        return entry

    def _reference(self) -> Reference | None:
        given = [source for source in _SOURCES if self.node.get(source) is not None]
        if len(given) != 1:
            what = f"{' and '.join(given)} are given" if given else "none is given"
            self._add(f'Exactly one of "secret", "parameter" and "parameters" must be given; {what}.')
            return None
        source = given[0]
        id = self._text(source)
        if id is None:
            return None
        try:
            return _SOURCES[source](id)
        except BadReference as error:
            self._add(str(error), source)
            return None

    def _one(self, part: str, explicit: str | None, referred: str | None) -> str | None:
        if explicit is not None and referred is not None:
            self._add(f'The reference already names the {part}. Remove "{part}".', part)
        return explicit if explicit is not None else referred

    def _refuse_only_secret(self) -> None:
        for part in _ONLY_SECRET:
            if self.node.get(part) is not None:
                self._add(f'"{part}" is only for a secret of Secrets Manager. Remove it.', part)

    def _role(self) -> str | None:
        role = self._text("role")
        if role is not None and not is_role(role):
            self._add(
                '"role" must be the ARN of a role, such as arn:aws:iam::123456789012:role/reader.', "role"
            )
        return role

    def _env(self) -> str | None:
        env = self._text("env")
        refusal = None if env is None else variables.refusal(env)
        if refusal is not None:
            self._add(refusal, "env")
            return None
        return env

    def _stage(self) -> str | None:
        stage = self._text("stage")
        self._check(stage, check_stage, "stage")
        return stage

    def _version_id(self) -> str | None:
        version_id = self._text("version_id")
        self._check(version_id, check_version_id, "version_id")
        return version_id

    def _check(self, value: str | None, check: Callable[[str], None], key: str) -> None:
        try:
            if value is not None:
                check(value)
        except BadReference as error:
            self._add(str(error), key)

    def _text(self, key: str) -> str | None:
        value = self.node.get(key)
        return None if value is None else text(value, f'{self.label}: "{key}"', self.problems)

    def _flag(self, key: str) -> bool:
        value = self.node.get(key)
        return value is not None and boolean(value, f'{self.label}: "{key}"', self.problems)

    def _add(self, sentence: str, *keys: str) -> None:
        """Tells a problem at the first of the keys that is there, else at the secret's name."""
        origins = {key.text: key.origin for key, _ in self.node.members}
        origin = next((origins[key] for key in keys if key in origins), self.key.origin)
        self.problems.add(f"{self.label}: {sentence}", origin)
