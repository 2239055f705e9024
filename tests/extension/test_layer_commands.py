"""Builds and publishes the layer's zip with the command line."""

from __future__ import annotations

import base64
import json
import os
import zipfile
from pathlib import Path

import pytest
from keystart_extension import __version__
from keystart_extension.deploy import DeployError, build

from tests.fakes.accounts import Account, layer_files, zipped
from tests.fakes.aws import refusal
from tests.fakes.http import Answer, Request

from .conftest import Keystart

ARN = "arn:aws:lambda:eu-west-1:123456789012:layer:"


def put(folder: Path, architecture: str = "x86_64", name: str = "layer.zip") -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(zipped(layer_files(architecture)))
    return path


def test_publish_sends_the_zip_with_all_that_lambda_should_know(
    keystart: Keystart, account: Account, tmp_path: Path
) -> None:
    path = put(tmp_path, "arm64")
    code, out, error = keystart("layer", "publish", path)
    assert (code, error) == (0, f"publishing {path} as keystart-arm64\n")
    (change,) = account.changes
    assert change.path == "/2018-10-31/layers/keystart-arm64/versions"
    content = change.body.pop("Content")
    assert content == {"ZipFile": base64.b64encode(path.read_bytes()).decode()}
    assert change.body == {
        "Description": "Keystart 1.2.3 for arm64",
        "CompatibleArchitectures": ["arm64"],
        "CompatibleRuntimes": [
            *("python3.10", "python3.11", "python3.12", "python3.13", "python3.14"),
            *("nodejs20.x", "nodejs22.x", "nodejs24.x", "ruby3.2", "ruby3.3", "ruby3.4"),
            *("provided.al2", "provided.al2023"),
        ],
        "LicenseInfo": "Apache-2.0; those of what is inside lie in /opt/share/keystart",
    }
    layer, _, version = out.rstrip("\n").rpartition(":")
    assert layer == ARN + "keystart-arm64"
    found = account.api.get_layer_version(LayerName=layer, VersionNumber=int(version))
    assert found["Content"]["CodeSize"] == path.stat().st_size


def test_without_a_region_publish_says_how_to_pass_one(
    keystart: Keystart, account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_REGION")
    code, out, error = keystart("layer", "publish", put(tmp_path))
    assert (code, out) == (1, "")
    cure = "Set AWS_REGION, or pass --region if the command has it."
    assert error == f"keystart: NoRegion: No region is known. {cure}\n"


def test_publish_takes_what_was_built_here(keystart: Keystart, account: Account, tmp_path: Path) -> None:
    for architecture in ("x86_64", "arm64"):
        put(tmp_path, architecture, f"dist/keystart-layer-{__version__}-{architecture}.zip")
    put(tmp_path, "x86_64", "dist/keystart-layer-0.0.1-x86_64.zip")
    code, out, _ = keystart("layer", "publish", "--json")
    assert code == 0
    printed = [(one["arn"].rpartition(":")[0], one["architecture"], one["file"]) for one in json.loads(out)]
    assert printed == [
        (
            f"{ARN}keystart-{architecture}",
            architecture,
            f"dist/keystart-layer-{__version__}-{architecture}.zip",
        )
        for architecture in ("arm64", "x86_64")
    ]


def test_publish_says_what_to_do_where_nothing_was_built(keystart: Keystart, account: Account) -> None:
    code, out, error = keystart("layer", "publish")
    assert (code, out, account.requests) == (1, "", [])
    assert error == (
        f"keystart: There is no dist/keystart-layer-{__version__}-*.zip here. "
        "Build it with keystart layer build, or name a zip.\n"
    )


def test_publish_under_another_name(keystart: Keystart, account: Account, tmp_path: Path) -> None:
    first, second = put(tmp_path), put(tmp_path, "arm64", "arm.zip")
    assert keystart("layer", "publish", first, "--name", "our-keys")[1].startswith(f"{ARN}our-keys:")
    code, _, error = keystart("layer", "publish", first, second, "--name", "our-keys")
    assert code == 1
    assert error == "keystart: A layer has one name for each architecture. Pass --name with one zip.\n"
    assert len(account.changes) == 1


def test_publish_looks_at_every_zip_before_it_sends_one(
    keystart: Keystart, account: Account, tmp_path: Path
) -> None:
    code, _, error = keystart("layer", "publish", put(tmp_path), tmp_path / "absent.zip")
    assert (code, error) == (
        1,
        f"keystart: {tmp_path}/absent.zip cannot be read: No such file or directory.\n",
    )
    assert account.requests == []


def test_a_zip_that_is_not_the_layer_is_refused(keystart: Keystart, account: Account, tmp_path: Path) -> None:
    files = layer_files()
    script = zipped({**files, "extensions/keystart": b"#!/bin/sh"})
    refused = {
        "is not a valid zip: File is not a zip file. Build it again.": b"no zip",
        "is not a valid zip: extensions/keystart is damaged. Build it again.": zipped(files).replace(
            b"ELF", b"EFL"
        ),
        "is not the layer: it has no extensions/keystart": zipped({"app.py": b""}),
        "is not the layer: extensions/keystart is not a program that Lambda can start.": script,
    }
    for reason, content in refused.items():
        path = tmp_path / "layer.zip"
        path.write_bytes(content)
        code, out, error = keystart("layer", "publish", path)
        assert (code, out) == (1, "")
        assert error.startswith(f"keystart: {path} {reason}")
    assert account.requests == []


def changed(content: bytes, local: int, central: int, data: bytes) -> bytes:
    """Returns a zip with other bytes at places of the headers of its first file."""
    other, start = bytearray(content), content.index(b"PK\x01\x02")
    for place in (local, start + central):
        other[place : place + len(data)] = data
    return bytes(other)


@pytest.mark.parametrize(
    ("local", "central", "data"),
    [(6, 8, b"\1"), (8, 10, b"\x63"), (4, 6, b"\x5a"), (8, 10, b"\x0c"), (8, 10, b"\x0e")],
    ids=["encrypted", "unknown compression", "later version", "bzip2", "lzma"],
)
def test_a_zip_that_cannot_be_unzipped_is_refused(
    keystart: Keystart, account: Account, tmp_path: Path, local: int, central: int, data: bytes
) -> None:
    path = tmp_path / "layer.zip"
    path.write_bytes(changed(zipped(layer_files()), local, central, data))
    code, out, error = keystart("layer", "publish", path)
    assert (code, out, account.requests) == (1, "", [])
    assert error.startswith(f"keystart: {path} is not a valid zip: ")


@pytest.mark.parametrize("kind", ["fifo", "folder"])
def test_what_is_not_a_file_is_refused_and_hangs_nobody(
    keystart: Keystart, account: Account, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "layer.zip"
    os.mkfifo(path) if kind == "fifo" else path.mkdir()
    code, out, error = keystart("layer", "publish", path)
    assert (code, out, account.requests) == (1, "", [])
    assert error == f"keystart: {path} is not a regular file. Name a zip.\n"


def test_a_zip_beyond_what_lambda_takes_is_refused(
    keystart: Keystart, account: Account, tmp_path: Path
) -> None:
    for largest, stored, words in (
        (50 * 1024 * 1024, zipfile.ZIP_STORED, "with a request"),
        (250 * 1024 * 1024, zipfile.ZIP_DEFLATED, "unzipped, and Lambda takes"),
    ):
        path = put(tmp_path)
        with zipfile.ZipFile(path, "a", stored, compresslevel=1) as archive:
            archive.writestr("share/large", bytes(largest))
        code, _, error = keystart("layer", "publish", path)
        assert code == 1
        assert words in error
        assert f"{largest:,}" in error
    assert account.requests == []


def test_a_denied_publish_names_what_to_allow(keystart: Keystart, account: Account, tmp_path: Path) -> None:
    account.refuse = lambda _: refusal(403, "AccessDeniedException", "User is not authorized.")
    code, out, error = keystart("layer", "publish", put(tmp_path))
    assert (code, out) == (1, "")
    assert (
        "AccessDeniedException: User is not authorized. Allow lambda:PublishLayerVersion on keystart-x86_64"
        in error
    )


def test_build_does_what_dev_does_in_a_checkout(tmp_path: Path) -> None:
    (tmp_path / "extension/standalone").mkdir(parents=True)
    (tmp_path / "extension/standalone/layer.py").touch()
    dev = tmp_path / "dev"
    dev.write_text('#!/bin/sh\necho "$@" >"$(dirname "$0")/asked"\nexit 3\n')
    dev.chmod(0o755)
    assert build.build(tmp_path, "arm64") == 3
    assert (tmp_path / "asked").read_text() == "layer --arch arm64\n"


def test_build_says_where_to_build_when_this_is_not_a_checkout(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match=r"In a checkout of Keystart, on Debian 12: \./dev layer\."):
        build.build(tmp_path, None)


def test_build_finds_the_checkout_that_it_runs_from() -> None:
    assert (build.CHECKOUT / "extension/standalone/layer.py").exists()


def test_publish_in_several_regions_for_an_organization(
    keystart: Keystart, account: Account, tmp_path: Path
) -> None:
    path = put(tmp_path)
    options = ("--regions", "eu-west-1,us-east-1", "--organization", "o-a1b2c3d4e5", "--json")
    code, out, error = keystart("layer", "publish", path, *options)
    assert (code, error.splitlines()) == (
        0,
        [f"publishing {path} as keystart-x86_64 in {region}" for region in ("eu-west-1", "us-east-1")],
    )
    arns = [one["arn"] for one in json.loads(out)]
    assert [arn.split(":")[3] for arn in arns] == ["eu-west-1", "us-east-1"]
    shared = [change.body for change in account.changes if change.path.endswith("/policy")]
    assert shared == 2 * [
        {
            "StatementId": "organization",
            "Action": "lambda:GetLayerVersion",
            "Principal": "*",
            "OrganizationId": "o-a1b2c3d4e5",
        }
    ]


def test_a_region_that_fails_does_not_stop_the_others(
    keystart: Keystart, account: Account, tmp_path: Path
) -> None:
    def refuse(request: Request) -> Answer | None:
        denied = "/eu-west-1/" in request.headers["Authorization"]
        return refusal(403, "AccessDeniedException", "User is not authorized.") if denied else None

    account.refuse = refuse
    path = put(tmp_path)
    code, out, error = keystart("layer", "publish", path, "--regions", "eu-west-1,us-east-1")
    assert code == 1
    assert out.startswith("arn:aws:lambda:us-east-1:")
    assert error.splitlines()[-1].startswith(f"keystart: {path} in eu-west-1: AccessDeniedException: ")
    code, _, error = keystart("layer", "publish", path, "--regions", "eu-west-1", "--region", "eu-west-1")
    assert code == 2
    assert error.endswith("error: argument --region: not allowed with argument --regions\n")
