"""Runs the commands that write on made-up folders of somebody else: foreign entries stay exactly as they were."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keystart_extension.cli import main
from keystart_extension.deploy.change import (
    ATTACHED,
    MARKER,
    WRAPPER,
    Change,
    Layer,
    Setting,
    attach_change,
    detach_change,
    layer_arn,
    roll_change,
)
from keystart_extension.links import LinkError, Links

from tests.fakes.aws import Cloud
from tests.fakes.extensions_api import Lambda
from tests.foreign import TreeEntry, build, facts, trees

from .configurations import load_file
from .conftest import Launcher, Store

SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
STORE = "/store"
OURS = f"{STORE}/current/secrets"
PLACES = ("db", "deep/db", "deep/er/tls")
YAML = "version: 1\nsecrets:\n  db: prod/db\n"
JSON = json.dumps({"version": 1, "secrets": {"db": "prod/db"}})

LIVED = {"SHUTDOWN": 0, "SIGTERM": 128 + signal.SIGTERM, "SIGKILL": -signal.SIGKILL}  # exit codes
NAMES = ("db", "deep", "er", "tls", "theirs", f".keystart-{os.getpid()}")
TARGETS = (
    "/elsewhere",
    ".",
    "..",
    "theirs",
    f"{OURS}/db",
    f"{OURS}/deep/db",
    f"{OURS}/../../lock",
    "/old/secrets/db",
)


def own_links(home: Path, root: str) -> set[Path]:
    """Returns what an earlier start of this store left in the places of links."""
    return {
        path
        for path in (home / place for place in PLACES)
        if path.is_symlink()
        and path.lstat().st_uid == os.geteuid()
        and str(path.readlink()) in {f"{root}/current/secrets/{name}" for name in PLACES}
    }


def ways(home: Path, area: Path) -> set[Path]:
    """Returns the folders in which links or folders may be made."""
    return {way for place in PLACES for way in (home / place).parents if way.is_relative_to(area)}


@SHARED
@given(things=trees(NAMES, ("theirs",), TARGETS), home=st.sampled_from(["", "deep", "new/er"]))
def test_links_change_nothing_that_is_not_theirs(things: list[TreeEntry], home: str) -> None:
    with TemporaryDirectory() as name:
        area = Path(name)
        build(area / "folder", area / "victim", things)
        check_links(area, area / "folder" / home)


def check_links(area: Path, home: Path) -> None:
    links = Links([(f"{home}/{name}", name) for name in PLACES], STORE)
    left, touched = own_links(home, STORE), ways(home, area)
    strictly, before = facts(area), facts(area, without=left, changed=touched)
    try:
        links.make()
    except LinkError:
        assert facts(area) == strictly
    else:
        made = {home / place for place in PLACES}
        assert {str(path.readlink()) for path in made} == {f"{OURS}/{place}" for place in PLACES}
        new = {way for way in touched if str(way) not in strictly}
        assert facts(area, without=made | new, changed=touched) == before
    links.remove()
    assert facts(area, without=left, changed=touched) == before


@SHARED
@given(
    things=trees(
        ("keystart.json", "out.json", "deep"),
        ("", "theirs", JSON, "compiled"),
        ("/elsewhere", "deep", "out.json"),
    ),
    options=st.sampled_from([[], ["-o", "keystart.json"], ["-o", "out.json"], ["-o", "deep/out.json"]]),
)
def test_compile_changes_only_its_output(things: list[TreeEntry], options: list[str]) -> None:
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        area = Path(name)
        source = area / "source.yaml"
        source.write_text(YAML)
        written = load_file(source).compiled()
        things = [made._replace(text=written) if made.text == "compiled" else made for made in things]
        build(area / "folder", area / "victim", things)
        source = source.rename(area / "folder" / source.name)
        output = source.parent / (options[-1] if options else "keystart.json")
        patch.chdir(source.parent)
        patch.setattr("sys.argv", ["keystart", "compile", str(source), *options])
        check_compile(area, output, written, is_named=bool(options))


def check_compile(area: Path, output: Path, written: str, *, is_named: bool) -> None:
    place = Path(os.path.realpath(output.parent), output.name)
    strictly, old = facts(area), place.lstat() if os.path.lexists(place) else None
    before = facts(area, without=[place], changed=[place.parent, area / "victim"])
    is_ours = place.is_file() and place.read_bytes() == written.encode()
    code = main()
    if code == 0:
        assert old is None or is_named or is_ours
        assert place.read_text() == written
        new = place.lstat()
        if old is not None:
            assert (new.st_mode, new.st_uid, new.st_gid) == (old.st_mode, old.st_uid, old.st_gid)
        assert facts(area, without=[place], changed=[place.parent, area / "victim"]) == before
    else:
        assert facts(area) == strictly


ARN = "arn:aws:lambda:eu-west-1:{}:layer:{}:{}"
LAYERS = [
    ARN.format(account, name, version)
    for account in ("123456789012", "210987654321")
    for name in ("keystart", "keystart-x86_64", "keystart-arm64", "our-keys", "tracing")
    for version in (1, 2)
]
# The digest of a value that somebody has changed since.
OLD_NOTE = "arn:aws:lambda:eu-west-1:123456789012:layer:our-keys,KEYSTART_SECRETS:0123456789abcdef"
VALUES = st.sampled_from(["", "db=prod/db", "/opt/keystart-env", "/opt/bootstrap", OLD_NOTE])
VARIABLES = st.dictionaries(
    st.sampled_from(["KEYSTART_SECRETS", WRAPPER, ATTACHED, "KEYSTART_DIR", "STAGE", "TOKEN"]),
    VALUES | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    max_size=5,
)
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "KEYSTART_SECRETS": st.sampled_from(["db=prod/db", "db=prod/other"]),
        WRAPPER: st.just("/opt/keystart-env"),
    },
)


def function(layers: Sequence[str], variables: Mapping[str, str]) -> Any:
    return {
        "FunctionArn": "arn:aws:lambda:eu-west-1:123456789012:function:orders",
        "Version": "$LATEST",
        "CodeSize": 1,
        "Layers": [{"Arn": arn, "CodeSize": 1} for arn in layers],
        "Environment": {"Variables": variables},
    }


def changed(before: Any, change: Change) -> Any:
    """Returns the function as Lambda has it after a change."""
    layers = [layer["Arn"] for layer in before["Layers"]] if change.layers is None else change.layers
    return function(
        layers, before["Environment"]["Variables"] if change.variables is None else change.variables
    )


@settings(deadline=None, max_examples=300)
@given(
    layers=st.lists(st.sampled_from(LAYERS), max_size=4, unique_by=layer_arn),
    variables=VARIABLES,
    layer=st.sampled_from(LAYERS[:8]),
    all_settings=st.lists(SETTINGS, min_size=1, max_size=3),
)
def test_detach_brings_back_what_was_there_before_attach(
    layers: list[str], variables: dict[str, str], layer: str, all_settings: list[dict[str, str]]
) -> None:
    before = after = function(layers, variables)
    for one in all_settings:  # attached again and again, with other configurations
        wanted = {name: Setting(value, "") for name, value in one.items()}
        change = attach_change(after, Layer(layer, (), 1), wanted)
        if change.problems:
            continue
        after = changed(after, change)
        now = [arn for arn in after["Layers"] if arn["Arn"] != layer]
        assert now == [arn for arn in before["Layers"] if arn in now]
        for name in variables.keys() - {ATTACHED}:
            assert after["Environment"]["Variables"][name] == variables[name]
    if after == before:
        return
    change = detach_change(after, layer_arn(layer))
    if change.problems:  # the only one possible: a wrapper that would keep the function from starting
        assert variables.get(WRAPPER) == "/opt/keystart-env"
        return
    kept = {one["Arn"] for one in after["Layers"]} - {layer}  # attach replaces other versions of Keystart
    note = {ATTACHED} if variables.get(ATTACHED) == OLD_NOTE else set()
    had = {name: value for name, value in variables.items() if name not in note}
    assert changed(after, change) == function([arn for arn in layers if arn in kept], had)


@settings(deadline=None, max_examples=300)
@given(variables=VARIABLES, markers=st.lists(st.from_regex("[0-9a-f]{16}", fullmatch=True), max_size=3))
def test_a_roll_changes_one_variable_and_detach_removes_it(
    variables: dict[str, str], markers: list[str]
) -> None:
    before = after = function([], variables)
    for marker in markers:
        change = roll_change(after, marker, "")
        assert change.problems == ()
        assert change.layers is None
        after = changed(after, change)
        assert after["Environment"]["Variables"] == {**variables, MARKER: marker}
        assert not roll_change(after, marker, "").is_needed
    if OLD_NOTE not in variables.values():  # detach would remove what attach had set
        change = detach_change(after, None)
        assert change.problems or changed(after, change) == before


@pytest.mark.parametrize("end", ["SHUTDOWN", "SIGTERM", "SIGKILL"])
@settings(SHARED, max_examples=10)
@given(things=trees(NAMES, ("theirs",), TARGETS), home=st.sampled_from(["", "deep", "new/er"]))
def test_a_life_under_squares_configuration_changes_nothing_that_is_not_its_own(
    launch: Launcher, cloud: Cloud, store: Store, end: str, things: list[TreeEntry], home: str
) -> None:
    root = str(store.root)
    things = [made._replace(text=made.text.replace(STORE, root)) for made in things]
    name_of_secret = cloud.secrets.describe_secret(SecretId=cloud.secret("x"))["Name"]
    managers = [{"secrets": [{"secretname": name_of_secret, "filename": place} for place in PLACES]}]
    with TemporaryDirectory() as name:
        area = Path(name)
        folder = area / "folder" / home
        build(area / "folder", area / "victim", things)
        configuration = json.dumps({"SecretsHome": str(folder), "SecretManagers": managers})
        left, touched = own_links(folder, root), ways(folder, area)
        known = facts(area)
        before = facts(area, without=left, changed=touched)
        new = {way for way in touched if str(way) not in known}
        made = {folder / place for place in PLACES if str(folder / place) not in before}
        lived = live(launch, configuration, end)
        assert facts(area, without=left | made | new, changed=touched) == before
        assert live(launch, configuration, "SHUTDOWN") == lived
        assert facts(area, without=left | new if lived else left | made | new, changed=touched) == before


def live(launch: Launcher, configuration: str, end: str) -> bool:
    """Starts the process and ends it in this way; returns whether it published, or ended by itself before."""
    with Lambda() as api:
        process = launch(api, configuration)
        while "/event/next" not in api.paths() and process.process.poll() is None:
            time.sleep(0.01)
        lived = process.process.poll() is None
        if lived and end == "SHUTDOWN":
            api.send(end)
        elif lived:
            process.process.send_signal(signal.Signals[end])
        code, _ = process.ended()
        assert code == (LIVED[end] if lived else 1)
    return lived
