"""Makes a release in dist/, and prints the commands that publish it. It publishes nothing.

Without --dry-run it also commits the version and tags it. With --dry-run it puts the changed files back. Exit codes: 0
made, 1 it could not be made, 2 wrong use, 130 interrupted.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from extension.standalone.sbom import Component, crates, document
from extension.standalone.sbom import components as parts
from extension.standalone.toolchain import ROOT, TARGETS, BuildError

from . import bump, changelog, commands
from .errors import ReleaseError

DIST = ROOT / "dist"
CHANGELOG = "CHANGELOG.md"
SUMS, NOTES = "SHA256SUMS", "NOTES.md"


def main(arguments: list[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    parser = argparse.ArgumentParser(prog="./dev release", description=__doc__.splitlines()[0])
    parser.add_argument("version", help="like 1.2.3")
    parser.add_argument("--dry-run", action="store_true", help="do everything except the commit and the tag")
    options = parser.parse_args(arguments)
    version: str = options.version
    began = kept = False
    terminated = signal.signal(signal.SIGTERM, signal.default_int_handler)  # nox sends it soon after Ctrl-C
    try:
        _check_tree(version)
        began = True
        written = [*bump.bump(ROOT, version), CHANGELOG]
        notes = _cut_changelog(version)
        _remove_own_crates()
        # The tests run the checkout's commands too. They refuse a core of another version.
        _run(sys.executable, "-m", "nox", "--session", "build")
        _build()
        _compare(_digests(version), _built_again(version))
        _run("pytest", "tests/packages", "tests/layer")
        files = _finish(version, notes)
        if not options.dry_run:
            _git("commit", "--quiet", "--message", f"Release {version}", "--", *written)
            _git("tag", "--annotate", f"v{version}", "--message", f"Keystart {version}")
            kept = True
    except (ReleaseError, BuildError) as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("release: interrupted", file=sys.stderr)
        return 130
    finally:
        if began and not kept:  # the tree had no changes before, so all of them are this run's
            _put_back()
        signal.signal(signal.SIGTERM, terminated)
    print(commands.text(version, files, tagged=kept))
    return 0


def _put_back() -> None:
    """Restores every file. A second Ctrl-C does not end this halfway, nor git, which ignores it too."""
    interrupted = signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _git("restore", "--staged", "--worktree", "--", ".")
    _remove_own_crates()
    # It runs a core of the release's version. `./dev` builds what is missing.
    (ROOT / ".venv/bin/keystart").unlink(missing_ok=True)
    signal.signal(signal.SIGINT, interrupted)


def _check_tree(version: str) -> None:
    bump.check(bump.current(ROOT), version)
    if _git("status", "--porcelain"):
        raise ReleaseError("the checkout has changes. Commit them first: a release is made from a commit")
    if _git("tag", "--list", f"v{version}"):
        raise ReleaseError(f"there is a tag v{version} already")


def _cut_changelog(version: str) -> str:
    path = ROOT / CHANGELOG
    today = datetime.datetime.now(tz=datetime.timezone.utc).date()
    text, notes = changelog.cut(path.read_text(), version, today)
    path.write_text(text)
    return notes


def _build() -> None:
    _run(sys.executable, "-m", "tests.packages.build")
    _run(sys.executable, "-m", "extension.standalone.layer")


def _digests(version: str) -> dict[str, str]:
    """Returns the SHA-256 of each package and layer of this version. Those of other versions may lie beside them."""
    ours = re.compile(rf"keystart([_-][a-z]+)?-{re.escape(version)}(-[\w.-]+\.(whl|zip)|\.(tar\.gz|tgz|gem))")
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(DIST.iterdir())
        if ours.fullmatch(path.name)
    }


def _built_again(version: str) -> dict[str, str]:
    """Compiles Keystart's own crates, links and packs a second time."""
    _remove_own_crates()
    with tempfile.TemporaryDirectory(prefix="keystart-release-") as folder:
        first = Path(folder) / "dist"
        shutil.move(DIST, first)  # no rename: the folder may be on another file system
        try:
            _build()
            return _digests(version)
        finally:
            shutil.rmtree(DIST, ignore_errors=True)
            shutil.move(first, DIST)


def _remove_own_crates() -> None:
    """Removes from cargo's folders what it compiled of the workspace, so that the next build compiles it again.

    Some of its files have the same name in each version, and cargo takes one of another version as current. The crates
    of others stay. Cargo.lock has their hashes, and they compile for a quarter of an hour.
    """
    everything = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    for folder in sorted(file.parent for file in everything.rglob(".rustc_info.json")):
        clean = ["cargo", "clean", "--quiet", "--workspace", "--release", "--target-dir", str(folder)]
        _run(*clean)
        for target in TARGETS.values():
            if (folder / target.rust).is_dir():
                _run(*clean, "--target", target.rust)


def _compare(first: dict[str, str], second: dict[str, str]) -> None:
    different = sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))
    if different:
        raise ReleaseError(f"a second build has other bytes: {', '.join(different)}")


def _finish(version: str, notes: str) -> list[str]:
    """Writes SBOMs, the notes and the checksums of all of them. Returns the names of the built files."""
    digests = _digests(version)
    for name, digest in digests.items():
        if not name.endswith(".zip"):  # the layer's build writes its own
            sbom = document(name, version, digest, components(name))
            (DIST / f"{name}.cdx.json").write_text(json.dumps(sbom, indent=2) + "\n")
    (DIST / NOTES).write_text(notes)
    listed = sorted([*digests, *(f"{name}.cdx.json" for name in digests if not name.endswith(".zip"))])
    listed += sorted(path.name for path in DIST.glob(f"keystart-layer-{version}-*.cdx.json"))
    sums = [f"{hashlib.sha256((DIST / name).read_bytes()).hexdigest()}  {name}\n" for name in listed]
    (DIST / SUMS).write_text("".join(sums))
    return list(digests)


def components(name: str) -> list[Component]:
    """Returns what a package is made of: the crates of its core, and for a wheel of the extension its executable.

    The readers for Node and Ruby have neither.
    """
    if name.endswith((".tgz", ".gem")):
        return []
    if not name.startswith("keystart_extension"):
        return crates("keystart-capi-reader")
    for target in TARGETS.values():
        if name.endswith(f"_{target.machine}.whl"):
            return parts(target)
    return crates("keystart-capi-extension")


def _run(*command: str) -> None:
    if subprocess.run(command, cwd=ROOT).returncode != 0:
        raise ReleaseError(f"{' '.join(command)} failed; its output is above")


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        raise ReleaseError(f"git {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
