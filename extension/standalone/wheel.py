"""Puts the executable into a wheel of the extension.

`pip install` then places two commands: `keystart`, the executable, and `keystart-python`, the script for the
interpreter that pip runs in. The executable starts the script for people, because some of their commands need boto3.
A copy of the executable in /opt/extensions is the extension.
"""

from __future__ import annotations

import base64
import hashlib
import tempfile
import zipfile
from pathlib import Path

from .executable import build
from .sbom import write_licences
from .toolchain import Target

COMMAND = "keystart"
# pip makes the script itself, because it can do so in any folder: what follows #! has no spaces and a limit.
ENTRY_POINTS = "entry_points.txt"
_SCRIPT = "[console_scripts]\nkeystart-python = keystart_extension.__main__:main\n"


def add_executable(wheel: Path, target: Target) -> None:
    """Writes the wheel again, with the executable and the licences of what is inside it."""
    name = "-".join(wheel.name.split("-")[:2])
    scripts, facts = f"{name}.data/scripts", f"{name}.dist-info"
    with zipfile.ZipFile(wheel) as archive:
        files = {info.filename: archive.read(info) for info in archive.infolist()}
        date = archive.getinfo(f"{facts}/METADATA").date_time
    del files[f"{facts}/RECORD"]
    files[f"{facts}/{ENTRY_POINTS}"] = _SCRIPT.encode()
    files[f"{scripts}/{COMMAND}"] = build(target).read_bytes()
    with tempfile.TemporaryDirectory(prefix="keystart-wheel-") as temporary:
        folder = Path(temporary) / "executable"
        write_licences(folder, target)
        licences = {f"executable/{file.name}": file.read_bytes() for file in sorted(folder.iterdir())}
    files |= {f"{facts}/licenses/{path}": text for path, text in licences.items()}
    fields = "".join(f"License-File: {path}\n" for path in licences).encode()
    first = b"License-File: LICENSE\n"
    files[f"{facts}/METADATA"] = files[f"{facts}/METADATA"].replace(first, first + fields, 1)
    record = [f"{path},sha256={_digest(data)},{len(data)}" for path, data in files.items()]
    files[f"{facts}/RECORD"] = "\n".join([*record, f"{facts}/RECORD,,", ""]).encode()
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, data in files.items():
            info = zipfile.ZipInfo(path, date)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = (0o100755 if path.startswith(scripts) else 0o100644) << 16
            info.create_system = 3  # Unix: other systems' entries have no mode
            archive.writestr(info, data, compresslevel=9)


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
