"""`./dev release`: its parts, and all its steps with files in place of what takes half an hour to build."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from extension.standalone.sbom import document
from generate import versions
from release import __main__ as release
from release import bump, changelog, commands
from release.__main__ import components
from release.errors import ReleaseError
from tests import ROOT

DAY = datetime.date(2026, 11, 29)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the files that hold the version, in a separate repository."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    held = [
        path
        for path in listed.stdout.splitlines()
        if path in {*versions.outputs(ROOT), "Cargo.toml", "Cargo.lock", "core/fuzz/Cargo.lock"}
        or path.endswith((".md", ".Dockerfile"))
    ]
    for path in held:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    subprocess.run(["git", "add", "."], cwd=tmp_path, check=True)
    return tmp_path


def test_a_bump_writes_the_version_wherever_it_is(checkout: Path) -> None:
    old = bump.current(checkout)
    changed = bump.bump(checkout, "9.8.7")
    assert bump.current(checkout) == "9.8.7"
    assert set(versions.outputs(checkout)) | {"Cargo.toml", "Cargo.lock", "core/fuzz/Cargo.lock"} <= set(
        changed
    )
    assert "keystart-layer-9.8.7-x86_64.zip" in (checkout / "docs/install.md").read_text()
    for lock in ("Cargo.lock", "core/fuzz/Cargo.lock"):
        text = (checkout / lock).read_text()
        of_ours = re.findall(r'name = "keystart-.*"\nversion = "(.*)"\n(?!source)', text)
        assert set(of_ours) - {"0.0.0"} == {"9.8.7"}
    left = re.compile(rf"keystart(?:-layer|_extension)?-{re.escape(old)}")
    pages = [path for path in checkout.rglob("*.md") if path.name != "CHANGELOG.md"]
    assert not [path for path in pages if left.search(path.read_text())]


def test_a_bump_to_the_same_version_changes_nothing(checkout: Path) -> None:
    assert bump.bump(checkout, bump.current(checkout)) == []


def test_another_crate_with_the_old_version_keeps_it() -> None:
    lock = (ROOT / "Cargo.lock").read_text()
    old = bump.current(ROOT)
    theirs = f'name = "other"\nversion = "{old}"\nsource = "registry"\n'
    assert theirs in bump._in_lock(lock + theirs, old, "9.8.7")


@pytest.mark.parametrize("version", ["1", "1.2", "v1.2.3", "1.2.3-rc1", "01.2.3", "0.0.1"])
def test_a_wrong_or_older_version_is_refused(version: str) -> None:
    with pytest.raises(ReleaseError, match=re.escape(version)):
        bump.check("0.1.0", version)


LOG = "# Changelog\n\nWords.\n\n## 0.2.0 (unreleased)\n\n### Core\n\n- A fact.\n\n## 0.1.0 (2026-01-02)\n\n- Old.\n"


def test_the_unreleased_section_becomes_the_notes() -> None:
    text, notes = changelog.cut(LOG, "0.2.0", DAY)
    assert notes == "### Core\n\n- A fact.\n"
    assert "## Unreleased\n\n## 0.2.0 (2026-11-29)\n\n### Core\n" in text
    assert text.endswith("## 0.1.0 (2026-01-02)\n\n- Old.\n")


def test_the_changelog_of_this_repository_can_be_cut() -> None:
    _, notes = changelog.cut((ROOT / "CHANGELOG.md").read_text(), "9.8.7", DAY)
    assert notes.startswith("### ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LOG.replace("- A fact.", "").replace("### Core", ""), "is empty"),
        (LOG.replace(" (unreleased)", " (2026-02-03)"), "has 0 unreleased sections"),
        (LOG + "\n## Unreleased\n", "has 2 unreleased sections"),
        (LOG.replace("## 0.1.0 (", "## 0.3.0 ("), "has 0.3.0 already"),
    ],
)
def test_a_changelog_that_cannot_be_cut_is_refused(text: str, said: str) -> None:
    with pytest.raises(ReleaseError, match=said):
        changelog.cut(text, "0.3.0", DAY)


def test_an_sbom_names_the_crates_of_a_wheel_and_nothing_of_a_gem() -> None:
    found = components("keystart-0.1.0-py3-none-manylinux_2_17_x86_64.whl")
    assert {"keystart-store", "rustix", "zeroize"} <= {one.name for one in found}
    assert all(one.version and one.licence for one in found if not one.name.startswith("keystart"))
    assert components("keystart-0.1.0.gem") == components("keystart-0.1.0.tgz") == []
    sbom = document("keystart-0.1.0.gem", "0.1.0", "00", found)
    assert (sbom["bomFormat"], sbom["specVersion"]) == ("CycloneDX", "1.5")
    assert "timestamp" not in str(sbom)


def test_the_printed_commands_name_every_built_file_once() -> None:
    files = [
        "keystart-1.0.0-py3-none-any.whl",
        "keystart-1.0.0.tar.gz",
        "keystart-1.0.0.tgz",
        "keystart-1.0.0.gem",
    ]
    files += ["keystart-layer-1.0.0-x86_64.zip", "keystart-layer-1.0.0-arm64.zip"]
    said = commands.text("1.0.0", files, tagged=True)
    assert [said.count(f"dist/{name}") for name in files] == [1] * len(files)
    assert "dry run" not in said
    assert "dry run" in commands.text("1.0.0", files, tagged=False)


def test_the_printed_commands_are_shell_that_can_be_read() -> None:
    said = commands.text("1.0.0", ["keystart-layer-1.0.0-x86_64.zip"], tagged=True)
    script = said.partition("\n\n")[2]
    assert subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True).stderr == ""


class Steps:
    """A release in a separate repository. Its builds write small files instead of compiling."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.dist = root, root / "dist"
        self.builds = 0
        self.commands: list[tuple[str, ...]] = []
        self.reproducible = True
        monkeypatch.setattr(release, "ROOT", root)
        monkeypatch.setattr(release, "DIST", self.dist)
        monkeypatch.setattr(release, "_run", self._run)
        monkeypatch.delenv("CARGO_TARGET_DIR", raising=False)

    def git(self, *arguments: str) -> str:
        who = ["-c", "user.name=tests", "-c", "user.email=tests@example.com"]
        return subprocess.check_output(["git", *who, *arguments], cwd=self.root, text=True).strip()

    def _run(self, *command: str) -> None:
        self.commands.append(command)
        version = bump.current(self.root)
        self.dist.mkdir(exist_ok=True)
        if command[-1] == "tests.packages.build":
            self.builds += 1
            for name in (f"keystart-{version}-py3-none-any.whl", f"keystart-{version}.tgz"):
                (self.dist / name).write_text(name if self.reproducible else f"{name} {self.builds}")
        elif command[-1] == "extension.standalone.layer":
            for name in (
                f"keystart-layer-{version}-x86_64.zip",
                f"keystart-layer-{version}-x86_64.zip.cdx.json",
            ):
                (self.dist / name).write_text("{}")


@pytest.fixture
def steps(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Steps:
    shutil.copy(ROOT / "CHANGELOG.md", checkout)
    (checkout / ".gitignore").write_text("/dist/\n")
    steps = Steps(checkout, monkeypatch)
    for name in ("user.name", "user.email"):
        subprocess.run(["git", "config", name, "tests@example.com"], cwd=checkout, check=True)
    steps.git("add", ".")
    steps.git("commit", "--quiet", "--message", "Begin")
    return steps


def test_a_dry_run_makes_everything_and_leaves_no_trace_in_the_checkout(
    steps: Steps, capsys: pytest.CaptureFixture[str]
) -> None:
    assert release.main(["9.8.7", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "Keystart 9.8.7 is in dist/" in said
    assert "This was a dry run" in said
    assert (steps.git("status", "--porcelain"), steps.git("tag")) == ("", "")
    assert steps.git("log", "--format=%s") == "Begin"
    assert steps.builds == 2, "the second build is compared with the first"
    assert steps.commands[0][-3:] == ("nox", "--session", "build"), "the checkout has the new version too"
    assert steps.commands[-1] == ("pytest", "tests/packages", "tests/layer"), "tried after both"
    made = {path.name for path in steps.dist.iterdir()}
    built = {"keystart-9.8.7-py3-none-any.whl", "keystart-9.8.7.tgz", "keystart-layer-9.8.7-x86_64.zip"}
    assert made == built | {f"{name}.cdx.json" for name in built} | {"SHA256SUMS", "NOTES.md"}
    listed = (steps.dist / "SHA256SUMS").read_text().splitlines()
    sums = {name: digest for digest, _, name in (line.partition("  ") for line in listed)}
    assert sums.keys() == made - {"SHA256SUMS", "NOTES.md"}
    assert all(
        hashlib.sha256((steps.dist / name).read_bytes()).hexdigest() == digest
        for name, digest in sums.items()
    )
    sbom = json.loads((steps.dist / "keystart-9.8.7-py3-none-any.whl.cdx.json").read_text())
    assert sbom["metadata"]["component"]["hashes"][0]["content"] == sums["keystart-9.8.7-py3-none-any.whl"]
    assert (steps.dist / "NOTES.md").read_text().startswith("### ")


def test_each_build_compiles_the_crates_of_keystart_anew(steps: Steps) -> None:
    target = steps.root / "target"
    (target / "reader/aarch64-unknown-linux-gnu").mkdir(parents=True)
    for folder in (target, target / "reader"):
        (folder / ".rustc_info.json").touch()
    (steps.root / ".git/info/exclude").write_text("/target/\n")
    assert release.main(["9.8.7", "--dry-run"]) == 0
    builds = [place for place, command in enumerate(steps.commands) if command[-1] == "tests.packages.build"]
    first, second = builds
    for part in (steps.commands[:first], steps.commands[first:second], steps.commands[second:]):
        cleaned = [command for command in part if command[:2] == ("cargo", "clean")]
        assert all({"--workspace", "--release"} < set(command) for command in cleaned)
        folders = [command[command.index("--target-dir") + 1 :] for command in cleaned]
        assert folders == [
            (str(target),),
            (str(target / "reader"),),
            (str(target / "reader"), "--target", "aarch64-unknown-linux-gnu"),
        ]


def test_a_dry_run_leaves_no_command_of_the_version_that_it_built(steps: Steps) -> None:
    command = steps.root / ".venv/bin/keystart"
    command.parent.mkdir(parents=True)
    command.touch()
    (steps.root / ".git/info/exclude").write_text("/.venv/\n")
    assert release.main(["9.8.7", "--dry-run"]) == 0
    assert not command.exists(), "./dev builds what is missing"


def test_a_release_is_a_commit_and_a_tag(steps: Steps, capsys: pytest.CaptureFixture[str]) -> None:
    assert release.main(["9.8.7"]) == 0
    assert "dry run" not in capsys.readouterr().out
    assert steps.git("log", "--format=%s").splitlines() == ["Release 9.8.7", "Begin"]
    assert (steps.git("tag"), steps.git("status", "--porcelain")) == ("v9.8.7", "")
    assert bump.current(steps.root) == "9.8.7"
    assert re.search(r"^## 9\.8\.7 \(", (steps.root / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert release.main(["9.8.7"]) == 1
    assert "there is a tag v9.8.7 already" in capsys.readouterr().err


def test_a_build_with_other_bytes_is_refused_and_the_checkout_is_as_before(
    steps: Steps, capsys: pytest.CaptureFixture[str]
) -> None:
    steps.reproducible = False
    assert release.main(["9.8.7"]) == 1
    assert capsys.readouterr().err == (
        "release: a second build has other bytes: keystart-9.8.7-py3-none-any.whl, keystart-9.8.7.tgz\n"
    )
    assert (steps.git("status", "--porcelain"), steps.git("tag")) == ("", "")


def test_a_release_leaves_alone_what_other_versions_have_in_dist(
    steps: Steps, capsys: pytest.CaptureFixture[str]
) -> None:
    others = ["keystart-9.8.6-py3-none-any.whl", "keystart-9.8.70.tgz", "keystart-layer-9.8.6-x86_64.zip"]
    steps.dist.mkdir()
    for name in others:
        (steps.dist / name).touch()
    assert release.main(["9.8.7", "--dry-run"]) == 0
    said = capsys.readouterr().out + (steps.dist / "SHA256SUMS").read_text()
    assert "keystart-9.8.7.tgz" in said
    for name in others:
        assert (steps.dist / name).exists()
        assert name not in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_interrupted_twice_leaves_the_checkout_as_before(
    steps: Steps, number: signal.Signals, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    git = release._git

    def interrupt(*arguments: str) -> str:
        if arguments[0] == "restore":
            os.kill(os.getpid(), number)
        return git(*arguments)

    monkeypatch.setattr(release, "_git", interrupt)
    monkeypatch.setattr(release, "_run", lambda *_: os.kill(os.getpid(), number))
    assert release.main(["9.8.7", "--dry-run"]) == 130
    assert capsys.readouterr().err == "release: interrupted\n"
    assert (steps.git("status", "--porcelain"), steps.git("tag")) == ("", "")


def test_a_checkout_with_changes_is_refused_and_keeps_them(
    steps: Steps, capsys: pytest.CaptureFixture[str]
) -> None:
    (steps.root / "README.md").write_text("mine")
    assert release.main(["9.8.7", "--dry-run"]) == 1
    assert "the checkout has changes" in capsys.readouterr().err
    assert (steps.root / "README.md").read_text() == "mine"
