"""Reads the mapping of secrets into entries and checks their names against each other."""

from __future__ import annotations

from collections.abc import Sequence

from ..names import DEEPEST, LONGEST, invalid_name, is_name, quote
from ..plan import Entry, Origin
from . import not_yet, variables
from .document import Mapping, Node, Scalar, place
from .errors import Problems
from .reading import boolean, found, is_nothing, mapping, refuse_unknown, text
from .references import (
    BadReference,
    Reference,
    is_role,
    parse_parameter,
    parse_path,
    parse_secret,
    parse_short,
)

_SOURCES = {"secret": parse_secret, "parameter": parse_parameter, "parameters": parse_path}
_ONLY_SECRET = ("field", "expand", "stage", "version_id")
_KEYS = (*_SOURCES, *_ONLY_SECRET, "role", "optional", "env")
_LONGEST_STAGE = 256  # of Secrets Manager, as the lengths of a version's id
_VERSION_ID_LENGTHS = range(32, 65)
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
    refuse_nested(entries, problems)
    _refuse_same_variable(entries, problems)
    return entries


def short_entry(
    name: str, id: str, region: str | None, origin: Origin, id_origin: Origin, problems: Problems
) -> Entry | None:
    """Makes the entry of `name: id`."""
    try:
        reference = parse_short(id)
    except BadReference as error:
        problems.add(f"{quote(name)}: {error}", id_origin)
        return None
    if reference.stage is not None and reference.version_id is not None:
        problems.add(f"{quote(name)}: {_TWO_VERSIONS}", id_origin)
    return Entry(
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


def refuse_nested(entries: Sequence[Entry], problems: Problems) -> None:
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


def _read_entry(key: Scalar, node: Node, region: str | None, problems: Problems) -> Entry | None:
    name = _read_name(key, problems)
    if isinstance(node, Mapping):
        return _Reader(quote(key.text), key, node, problems).read(name, region)
    if not isinstance(node, Scalar):
        problems.add(f"{quote(key.text)}: An id or a mapping must follow, found {found(node)}.", node.origin)
        return None
    id = text(node, f"{quote(key.text)}: The id", problems)
    return (
        None if id is None else short_entry(name or key.text, id, region, key.origin, node.origin, problems)
    )


def _read_name(key: Scalar, problems: Problems) -> str | None:
    name = text(key, "The name of a secret", problems)
    if name is not None and not is_name(name):
        problems.add(invalid_name(name), key.origin)
        return None
    return name


class _Reader:
    """Reads the long form of one secret; `label` is its quoted name."""

    def __init__(self, label: str, key: Scalar, node: Mapping, problems: Problems) -> None:
        self.label = label
        self.key = key
        self.node = node
        self.problems = problems

    def read(self, name: str | None, region: str | None) -> Entry | None:
        refuse_unknown(self.node, self.label, _KEYS, self.problems, later=not_yet.ENTRY_KEYS)
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
            self._add(f'The reference already names the {part} {quote(referred)}. Remove "{part}".', part)
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
        return env

    def _stage(self) -> str | None:
        stage = self._text("stage")
        if stage is not None and len(stage) > _LONGEST_STAGE:
            self._add(f'"stage" has at most {_LONGEST_STAGE} characters.', "stage")
        return stage

    def _version_id(self) -> str | None:
        version_id = self._text("version_id")
        if version_id is not None and len(version_id) not in _VERSION_ID_LENGTHS:
            self._add('"version_id" has 32 to 64 characters. For a staging label use "stage".', "version_id")
        return version_id

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
