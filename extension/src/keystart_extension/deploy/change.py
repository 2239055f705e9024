"""Works out what attach, detach or roll changes in a function, and what prevents it. It makes no calls.

Everything that attach did not bring stays. If attach sets variables, it writes a note into KEYSTART_ATTACHED: its
layer, and each name with a digest of its value. A value that somebody has changed since belongs to that person.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Literal, NamedTuple

from ..plan import VARIABLE
from .terms import LAYER

if TYPE_CHECKING:
    from mypy_boto3_lambda.type_defs import FunctionConfigurationTypeDef as Configuration

WRAPPER = "AWS_LAMBDA_EXEC_WRAPPER"
WRAPPER_PATH = "/opt/keystart-env"
ATTACHED = "KEYSTART_ATTACHED"
MARKER = "KEYSTART_ROLLED"
_MARKER = re.compile("[0-9a-f]{16}")
_NOTE = re.compile(rf"({LAYER.pattern})((?:,[A-Za-z][A-Za-z0-9_]+:[0-9a-f]{{16}})*)")
# The names that keystart layer publish uses, and the one without an architecture, which people use.
_NAMES = frozenset({"keystart", "keystart-x86_64", "keystart-arm64"})
# Lambda's limits.
_MOST_LAYERS = 5
_LARGEST = 250 * 1024 * 1024
_LARGEST_ENVIRONMENT = 4 * 1024
_ROOM = "Shorten or remove one of them."
_ROOM_FOR_CONFIGURATION = (
    "Put the keystart.json that keystart compile writes into the function's package, "
    "and attach without --config."
)


class Layer(NamedTuple):
    """A version of the layer as Lambda describes it. `size` is that of the zip."""

    arn: str
    architectures: tuple[str, ...]
    size: int


class Line(NamedTuple):
    """One line of the shown change. `detail` never holds the value of a variable that the function has already."""

    sign: Literal["+", "-", "~", " "]
    kind: Literal["layer", "variable"]
    name: str
    detail: str = ""


class Setting(NamedTuple):
    """A variable that attach sets, and the text to show for it."""

    value: str
    detail: str


@dataclass(frozen=True)
class Change:
    """The change of a function. None stands for what stays as it is."""

    lines: tuple[Line, ...]
    layers: tuple[str, ...] | None
    variables: Mapping[str, str] | None = field(repr=False)
    problems: tuple[str, ...]

    @property
    def is_needed(self) -> bool:
        """Returns whether anything changes."""
        return self.layers is not None or self.variables is not None


NO_CHANGE = Change((), None, None, ())


def fitting(function: Configuration, layers: Sequence[Layer]) -> Layer:
    """Returns the layer for the function's architecture; the first one if none is for it."""
    architecture = architecture_of(function)
    fit = [layer for layer in layers if architecture in layer.architectures]
    return (fit or [layer for layer in layers if not layer.architectures] or list(layers))[0]


def attach_change(function: Configuration, layer: Layer, settings: Mapping[str, Setting]) -> Change:
    """Returns the change after which a function has this version of the layer, and these variables."""
    before, old = _layers(function), variables_of(function)
    note = _note(old)
    ours = [one for one in before if _is_of(one, layer.arn) or (note and layer_arn(one) == note.layer)]
    # Replace the first one in place: a layer hides the files of those before it.
    after = [layer.arn if one in ours[:1] else one for one in before if one not in ours[1:]]
    if not ours:
        after.append(layer.arn)
    problems = _takes_no_layers(function) or _problems(function)
    if not problems:
        problems = [
            *_unfit(function, layer, after),
            *_other_accounts(
                before, ours, layer_name(layer.arn), "Remove it first: keystart detach --layer {}"
            ),
            *_in_the_way(function, settings),
        ]
    new = _new(old, settings)
    variables = dict(old)
    if new or (note and note.layer != layer_arn(layer.arn)):
        digests = {**(note.digests if note else {}), **{name: _digest(value) for name, value in new.items()}}
        variables |= {**new, ATTACHED: _Note(layer_arn(layer.arn), digests).text}
    details = {name: setting.detail for name, setting in settings.items()}
    details[ATTACHED] = "what detach removes"
    return _change(function, after, variables, details, problems)


def detach_change(function: Configuration, layer: str | None) -> Change:
    """Returns the change that undoes attach.

    `layer` is the ARN of the layer, without a version, or another name of it in the function's account.
    """
    before, old = _layers(function), variables_of(function)
    note, account = _note(old), function["FunctionArn"].split(":")[4]
    known = {layer, *([note.layer] if note else [])}
    ours = [one for one in before if layer_arn(one) in known]
    others: list[str] = []
    if layer is None or ":" not in layer:
        named = [one for one in before if layer_name(one) in {*_NAMES, layer}]
        ours += [one for one in named if _account(one) == account]
        others = _other_accounts(before, ours, layer, "If it is the one to remove, name it: --layer {}")
    removed = {*note.digests, ATTACHED} if note else set()
    if _MARKER.fullmatch(old.get(MARKER, "")):
        removed.add(MARKER)
    variables = {name: value for name, value in old.items() if name not in removed}
    problems = _takes_no_layers(function) or _problems(function) or [*unreadable(function), *others]
    if not problems and ours and variables.get(WRAPPER) == WRAPPER_PATH:
        problems = [
            f"Its variable {WRAPPER} names {WRAPPER_PATH}, and attach did not set it. Without the layer the function "
            "would not start. Remove that variable first."
        ]
    change = _change(function, [one for one in before if one not in ours], variables, {}, problems)
    if VARIABLE not in variables:
        return change
    stays = Line(" ", "variable", VARIABLE, "stays: attach did not set this value")
    return replace(change, lines=(*change.lines, stays))


def keystart_layers(function: Configuration, layer: str | None) -> list[str]:
    """Returns the versions of Keystart's layer in a function, of any account.

    `layer` is another name of it, or its ARN without a version.
    """
    note = _note(variables_of(function))
    known = {layer, *([note.layer] if note else [])}
    return [
        one for one in _layers(function) if layer_arn(one) in known or layer_name(one) in {*_NAMES, layer}
    ]


def changed_since(variables: Mapping[str, str]) -> list[str]:
    """Returns the names of the variables that attach set, and that somebody has changed or removed since."""
    found = _NOTE.fullmatch(variables.get(ATTACHED, ""))
    same = _note(variables)
    if found is None or same is None:
        return []
    return [name for name in _noted(found) if name not in same.digests]


def layer_name(arn: str) -> str:
    """Returns the name in the ARN of a layer or of its version."""
    return arn.split(":")[6]


def layer_arn(version: str) -> str:
    """Returns the ARN of the layer of a version."""
    return ":".join(version.split(":")[:7])


def _account(arn: str) -> str:
    return arn.split(":")[4]


def _is_of(version: str, layer: str) -> bool:
    """Returns whether a version is of that layer, or of Keystart's layer for another architecture in its account."""
    beside = layer_name(version) in _NAMES and _account(version) == _account(layer)
    return layer_arn(version) == layer_arn(layer) or beside


def _other_accounts(layers: Sequence[str], ours: Sequence[str], name: str | None, cure: str) -> list[str]:
    return [
        f"Its layer {one} has Keystart's name, and is of another account. {cure.format(layer_arn(one))}"
        for one in layers
        if layer_name(one) in {*_NAMES, name} and one not in ours
    ]


def _new(variables: Mapping[str, str], settings: Mapping[str, Setting]) -> dict[str, str]:
    return {name: setting.value for name, setting in settings.items() if variables.get(name) != setting.value}


class _Note(NamedTuple):
    """The note of attach: the layer's ARN, and the variables, each with a digest of its value."""

    layer: str
    digests: Mapping[str, str]

    @property
    def text(self) -> str:
        return ",".join([self.layer, *(f"{name}:{digest}" for name, digest in sorted(self.digests.items()))])


def _note(variables: Mapping[str, str]) -> _Note | None:
    """Returns the note of attach without the variables that somebody has changed or removed since."""
    found = _NOTE.fullmatch(variables.get(ATTACHED, ""))
    if found is None:
        return None
    same = {
        name: digest
        for name, digest in _noted(found).items()
        if name in variables and _digest(variables[name]) == digest
    }
    return _Note(found[1], same)


def _noted(note: re.Match[str]) -> dict[str, str]:
    """Returns the variables of a note, each with its digest."""
    return dict(one.split(":") for one in note[2].split(",")[1:])


def _digest(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()[:16]


def _layers(function: Configuration) -> list[str]:
    return [layer["Arn"] for layer in function.get("Layers") or []]


def architecture_of(function: Configuration) -> str:
    """Returns the architecture that a function runs on."""
    return (function.get("Architectures") or ["x86_64"])[0]


def variables_of(function: Configuration) -> Mapping[str, str]:
    """Returns the variables of a function; none if they cannot be read."""
    return function.get("Environment", {}).get("Variables", {})


def values_of(function: Configuration) -> dict[str, str]:
    """Returns the values of `${NAME}` in the ids of a function: its variables, and those that Lambda sets."""
    own = {name: value for name, value in variables_of(function).items() if "\n" not in value}
    region = function["FunctionArn"].split(":")[3]
    return {**own, "AWS_REGION": region, "AWS_LAMBDA_FUNCTION_NAME": function["FunctionName"]}


def roll_change(function: Configuration, marker: str, what: str) -> Change:
    """Returns the change after which a function has this marker, so that Lambda starts new environments of it."""
    old = variables_of(function)
    problems = _problems(function)
    if MARKER in old and not _MARKER.fullmatch(old[MARKER]):
        problems.append(f"Its variable {MARKER} is not one that roll has written. Remove that variable.")
    return _change(function, _layers(function), {**old, MARKER: marker}, {MARKER: what}, problems, _ROOM)


def _change(
    function: Configuration,
    layers: Sequence[str],
    variables: Mapping[str, str],
    details: Mapping[str, str],
    problems: Sequence[str],
    room: str = _ROOM_FOR_CONFIGURATION,
) -> Change:
    had, knew = _layers(function), variables_of(function)
    if variables != knew:
        problems = [*problems, *_unwritable(function, variables, room)]
    return Change(
        lines=(*_layer_lines(had, layers), *_variable_lines(knew, variables, details)),
        layers=None if list(layers) == had else tuple(layers),
        variables=None if variables == knew else variables,
        problems=tuple(problems),
    )


def _layer_lines(before: Sequence[str], after: Sequence[str]) -> list[Line]:
    lines = []
    for what, start, end, new_start, new_end in SequenceMatcher(None, before, after, False).get_opcodes():
        if what == "equal":
            lines += [Line(" ", "layer", arn) for arn in before[start:end]]
        else:
            lines += [Line("-", "layer", arn) for arn in before[start:end]]
            lines += [Line("+", "layer", arn) for arn in after[new_start:new_end]]
    return lines


def _variable_lines(
    before: Mapping[str, str], after: Mapping[str, str], details: Mapping[str, str]
) -> list[Line]:
    lines = []
    for name in sorted({*before, *after}):
        if name not in after:
            lines.append(Line("-", "variable", name))
        elif name not in before:
            lines.append(Line("+", "variable", name, details[name]))
        elif before[name] != after[name]:
            lines.append(Line("~", "variable", name, details[name]))
    return lines


def _takes_no_layers(function: Configuration) -> list[str]:
    if function.get("PackageType") != "Image":
        return []
    return [
        "It is an image, and images take no layers. Unzip the layer, and COPY it to /opt in the Dockerfile."
    ]


def _problems(function: Configuration) -> list[str]:
    """Returns what prevents any change."""
    if function["Version"] != "$LATEST":
        return [
            f"This is its version {function['Version']}, which cannot be changed. Name the function alone, and "
            "publish a new version afterwards."
        ]
    state, reason = function.get("State", "Active"), function.get("StateReason")
    if state != "Active":
        return [f"It is not Active but {state}{f': {reason}' if reason else '.'} {_next_step(state)}"]
    if function.get("LastUpdateStatus") == "InProgress":
        return ["Another update of it is in progress. Wait for its end."]
    return []


def _next_step(state: str) -> str:
    if state == "Inactive":
        return "Invoke it once, and wait until it is Active."
    return "Correct what failed." if state == "Failed" else "Wait until it is Active."


def _unfit(function: Configuration, layer: Layer, layers: Sequence[str]) -> list[str]:
    problems = []
    architecture = architecture_of(function)
    if layer.architectures and architecture not in layer.architectures:
        problems.append(
            f"It runs on {architecture}, and this layer is for {' and '.join(layer.architectures)}. "
            f"Publish the one for {architecture}."
        )
    if len(layers) > _MOST_LAYERS:
        problems.append(
            f"It has {len(layers) - 1} layers, and Lambda takes {_MOST_LAYERS}. Remove one of them."
        )
    kept = [one["CodeSize"] for one in function.get("Layers") or [] if one["Arn"] in layers]
    size = function["CodeSize"] + sum(kept) + (0 if layer.arn in _layers(function) else layer.size)
    # Lambda reports only the size of the zips, and limits the size after unzipping.
    if size > _LARGEST:
        problems.append(
            f"Its package and layers would be {size:,} bytes zipped, and unzipped Lambda takes {_LARGEST:,} of them "
            "together. Make the package smaller, or remove a layer."
        )
    return problems


def _in_the_way(function: Configuration, settings: Mapping[str, Setting]) -> list[str]:
    problems = []
    variables = variables_of(function)
    new = _new(variables, settings)
    note = _note(variables)
    if VARIABLE in new and VARIABLE in variables and (note is None or VARIABLE not in note.digests):
        problems.append(
            f"Its variable {VARIABLE} was set by somebody else, and attach replaces only what it has set. Remove that "
            "variable, or attach without --config."
        )
    if new and ATTACHED in variables and note is None:
        problems.append(f"Its variable {ATTACHED} is not one that attach has written. Remove that variable.")
    if VARIABLE in settings and variables.get("KEYSTART_CONFIG"):
        problems.append(
            f"Its variable KEYSTART_CONFIG wins over {VARIABLE}. Remove that variable, or attach without --config."
        )
    if WRAPPER in settings:
        if variables.get(WRAPPER, WRAPPER_PATH) != WRAPPER_PATH:
            problems.append(
                f"Its variable {WRAPPER} names another wrapper, and Lambda starts only one. Remove that variable, or "
                "attach without --wrapper, and without env: in the configuration."
            )
        if function.get("Runtime", "").startswith("provided"):
            problems.append(
                f"Its runtime {function['Runtime']} starts no wrapper. Attach without --wrapper, and without env: "
                "in the configuration."
            )
    return problems


def unreadable(function: Configuration) -> list[str]:
    """Returns why the variables of a function cannot be read; nothing if they can."""
    if "Error" not in function.get("Environment", {}):
        return []
    key = function.get("KMSKeyArn") or "the key that encrypts them"
    return [f"Its variables cannot be read, so they cannot be changed. Allow kms:Decrypt on {key}."]


def _unwritable(function: Configuration, variables: Mapping[str, str], room: str) -> list[str]:
    if problems := unreadable(function):
        return problems  # a call that sets some variables would remove the others
    # Lambda measures the JSON of all of them.
    size = len(json.dumps(dict(variables), separators=(",", ":"), ensure_ascii=False).encode())
    if size > _LARGEST_ENVIRONMENT:
        return [f"Its variables would have {size:,} bytes, and Lambda takes {_LARGEST_ENVIRONMENT:,}. {room}"]
    return []
