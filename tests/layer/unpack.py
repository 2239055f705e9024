"""Finds and unpacks the layer that `./dev layer` built."""

from __future__ import annotations

import zipfile
from pathlib import Path

from extension.standalone.dist import DIST, release
from extension.standalone.toolchain import Target


def latest(target: Target) -> Path | None:
    """Returns the zip of this version in dist/, if there is one."""
    path = DIST / f"keystart-layer-{release()}-{target.name}.zip"
    return path if path.exists() else None


def unpack(path: Path, folder: Path) -> Path:
    """Unpacks a layer as Lambda does, with the mode of each file, and returns the folder."""
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            Path(archive.extract(info, folder)).chmod(info.external_attr >> 16)
    return folder
