"""Publishes the layer's zip through Lambda's API. It reads from the zip which architecture it is for."""

from __future__ import annotations

import io
import json
import lzma
import re
import stat
import struct
import sys
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from .. import __version__
from ..aws import AwsError, session
from ..aws.errors import ask
from .terms import DeployError

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_lambda.literals import RuntimeType

_EXIT_FAILED = 1
Architecture = Literal["x86_64", "arm64"]

# Lambda's limits: for a zip inside the request, and for its unzipped size.
_LARGEST_ZIP = 50 * 1024 * 1024
_LARGEST = 250 * 1024 * 1024
_EXECUTABLE = "extensions/keystart"
# What zipfile raises for a zip that it cannot read: OSError for bzip2, RuntimeError for an encrypted or unknown one.
_NOT_SOUND = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(OSError, EOFError, ValueError, RuntimeError),
)
_VERSION = "python/keystart/version.py"
# e_machine of the ELF header, at byte 18.
_MACHINES: dict[int, Architecture] = {62: "x86_64", 183: "arm64"}
# Lambda takes at most 15, and uses them only to filter lists of layers. These are the runtimes with a reader,
# and those without a language.
_RUNTIMES: tuple[RuntimeType, ...] = (
    *("python3.10", "python3.11", "python3.12", "python3.13", "python3.14"),
    *("nodejs20.x", "nodejs22.x", "nodejs24.x", "ruby3.2", "ruby3.3", "ruby3.4"),
    *("provided.al2", "provided.al2023"),
)
_LICENCE = "Apache-2.0; those of what is inside lie in /opt/share/keystart"


class _Zip(NamedTuple):
    path: Path
    content: bytes
    architecture: Architecture
    version: str


def publish(
    paths: Sequence[Path],
    name: str | None,
    regions: Sequence[str | None],
    organization: str | None,
    profile: str | None,
    *,
    as_json: bool,
) -> int:
    """Publishes each zip as a version of a layer in each region, prints the results, and returns the exit code.

    A region that fails does not stop the others.
    """
    zips = [_read(path) for path in paths or _zips_in_dist()]
    if name is not None and len(zips) > 1:
        raise DeployError("A layer has one name for each architecture. Pass --name with one zip.")
    clients = session.Clients(None if len(regions) > 1 else regions[0], profile)
    published, failed = [], list[str]()
    for region in regions:
        client: LambdaClient = clients("lambda", region)
        for one in zips:
            layer = name or f"keystart-{one.architecture}"
            where = f" in {region}" if len(regions) > 1 else ""
            print(f"publishing {one.path} as {layer}{where}", file=sys.stderr)
            try:
                arn = _publish(client, one, layer)
                published.append({"arn": arn, "architecture": one.architecture, "file": str(one.path)})
                if not as_json:
                    print(arn)
                if organization is not None:
                    _share(client, arn, organization)
            except AwsError as error:
                failed.append(f"{one.path}{where}: {error}")
    if as_json:
        print(json.dumps(published, indent=2))
    for line in failed:
        print(f"keystart: {line}", file=sys.stderr)
    return _EXIT_FAILED if failed else 0


def _zips_in_dist() -> list[Path]:
    found = sorted(Path("dist").glob(f"keystart-layer-{__version__}-*.zip"))
    if not found:
        raise DeployError(
            f"There is no dist/keystart-layer-{__version__}-*.zip here. Build it with keystart layer build, "
            "or name a zip."
        )
    return found


def _read(path: Path) -> _Zip:
    content = _content(path)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            unzipped = sum(info.file_size for info in archive.infolist())
            if unzipped > _LARGEST:
                raise DeployError(f"{path} has {unzipped:,} bytes unzipped, and Lambda takes {_LARGEST:,}.")
            if damaged := archive.testzip():
                raise zipfile.BadZipFile(f"{damaged} is damaged")
            with archive.open(_EXECUTABLE) as executable:
                head = executable.read(20)
            version = re.search(r'__version__ = "([0-9.]+)"', archive.read(_VERSION).decode(errors="replace"))
    except KeyError:
        raise DeployError(f"{path} is not the layer: it has no {_EXECUTABLE}, or no {_VERSION}.") from None
    except _NOT_SOUND as error:
        raise DeployError(f"{path} is not a valid zip: {error}. Build it again.") from None
    machine = int.from_bytes(head[18:20], "little")
    if not head.startswith(b"\x7fELF") or machine not in _MACHINES or version is None:
        raise DeployError(f"{path} is not the layer: {_EXECUTABLE} is not a program that Lambda can start.")
    return _Zip(path, content, _MACHINES[machine], version[1])


def _content(path: Path) -> bytes:
    """Reads the zip once, so that it sends the bytes that it has checked."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a FIFO would make the read hang
            raise DeployError(f"{path} is not a regular file. Name a zip.")
        if status.st_size > _LARGEST_ZIP:
            raise DeployError(
                f"{path} has {status.st_size:,} bytes, and Lambda takes {_LARGEST_ZIP:,} with a request."
            )
        return path.read_bytes()
    except OSError as error:
        raise DeployError(f"{path} cannot be read: {error.strerror}.") from None


def _publish(client: LambdaClient, one: _Zip, layer: str) -> str:
    def call() -> str:
        published = client.publish_layer_version(
            LayerName=layer,
            Description=f"Keystart {one.version} for {one.architecture}",
            Content={"ZipFile": one.content},
            CompatibleArchitectures=[one.architecture],
            CompatibleRuntimes=list(_RUNTIMES),
            LicenseInfo=_LICENCE,
        )
        return published["LayerVersionArn"]

    return ask(f"lambda:PublishLayerVersion on {layer}", call)


def _share(client: LambdaClient, arn: str, organization: str) -> None:
    """Lets every account of an organization use a version of the layer."""
    layer, _, version = arn.rpartition(":")

    def call() -> None:
        client.add_layer_version_permission(
            LayerName=layer,
            VersionNumber=int(version),
            StatementId="organization",
            Action="lambda:GetLayerVersion",
            Principal="*",
            OrganizationId=organization,
        )

    ask(f"lambda:AddLayerVersionPermission on {arn}", call)
