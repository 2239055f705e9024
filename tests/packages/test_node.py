"""The npm package, installed into an empty project, in every line of Node.js that it supports."""

from __future__ import annotations

import itertools
import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import ROOT
from tests.docs.pages import fenced

from .installed import CONSUMERS, Installation, example, run

TOOLS = Path(__file__).parent / "tools/node_modules"
VERSIONS = ("20", "22", "24")
BUNDLES = {"cjs": "bundle.cjs", "esm": "bundle.mjs"}
# The options of esbuild for a function, and none for this package.
BUNDLE = ("--bundle", "--platform=node", "--target=node20", "--log-level=warning")


@pytest.fixture(scope="module")
def project(package: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Makes a project in which only the package is installed."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "package.json").write_text('{"private": true}')
    install = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--offline"]
    run(*install, package("keystart-*.tgz"), cwd=folder)
    assert [path.name for path in (folder / "node_modules").glob("[!.]*")] == ["keystart"]
    for consumer in CONSUMERS.glob("*.*s"):
        shutil.copy(consumer, folder)
    return folder


@pytest.fixture(params=VERSIONS)
def node(request: pytest.FixtureRequest) -> Path:
    program = TOOLS / f"node{request.param}/bin/node"
    if not program.exists():
        pytest.skip(f"npm has no Node.js {request.param} for this machine")
    return program


@pytest.mark.parametrize("consumer", ["consumer.mjs", "consumer.cjs"])
def test_it_can_be_imported_and_required(
    consumer: str, node: Path, project: Path, store: Installation
) -> None:
    store.check(node, consumer, cwd=project)


# consumer.cjs uses `require` for node:tls, which no ES module can do.
@pytest.mark.parametrize(
    ("consumer", "form"),
    [
        *itertools.product(["consumer.mjs", "consumer.ts", "consumer.both.mjs"], BUNDLES),
        ("consumer.cjs", "cjs"),
    ],
)
def test_a_bundle_of_it_needs_nothing_installed(
    consumer: str, form: str, node: Path, project: Path, store: Installation, tmp_path: Path
) -> None:
    bundle = tmp_path / BUNDLES[form]
    run(TOOLS / ".bin/esbuild", consumer, *BUNDLE, f"--format={form}", f"--outfile={bundle}", cwd=project)
    store.check(node, bundle, cwd=tmp_path)


@pytest.mark.parametrize("form", BUNDLES)
def test_a_bundle_of_tests_publishes_and_reads(form: str, node: Path, project: Path, tmp_path: Path) -> None:
    value = secrets.token_hex(16)
    bundle = tmp_path / BUNDLES[form]
    run(
        TOOLS / ".bin/esbuild", "testing.mjs", *BUNDLE, f"--format={form}", f"--outfile={bundle}", cwd=project
    )
    assert run(node, bundle, cwd=tmp_path, VALUE=value).split() == [value, "true", "false"]


@pytest.mark.parametrize(
    ("module", "resolution"), [("node16", "node16"), ("nodenext", "nodenext"), ("preserve", "bundler")]
)
@pytest.mark.parametrize("type_", ["module", "commonjs"])
def test_strict_typescript_accepts_what_uses_it(
    module: str, resolution: str, type_: str, project: Path, tmp_path: Path
) -> None:
    shutil.copytree(project / "node_modules/keystart", tmp_path / "node_modules/keystart")
    (tmp_path / "node_modules/@types").symlink_to(TOOLS / "@types")
    (tmp_path / "package.json").write_text(json.dumps({"private": True, "type": type_}))
    shutil.copy(CONSUMERS / "consumer.ts", tmp_path)
    options = [
        "--noEmit",
        "--strict",
        "--target",
        "es2022",
        "--module",
        module,
        "--moduleResolution",
        resolution,
    ]
    run(TOOLS / ".bin/tsc", *options, "--esModuleInterop", "--types", "node", "consumer.ts", cwd=tmp_path)


@pytest.fixture
def tested_with_jest(project: Path, tmp_path: Path) -> Path:
    """Writes the files for Jest of docs/testing.md into a project with the package."""
    shutil.copytree(project / "node_modules/keystart", tmp_path / "node_modules/keystart")
    (tmp_path / "package.json").write_text('{"private": true}')
    for code in fenced(ROOT / "docs/testing.md", "js"):
        file = code.partition("\n")[0].split()[-1]
        if file.endswith(".cjs"):
            (tmp_path / file).write_text(code)
    return tmp_path


def jest(node: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [
        node,
        TOOLS / "jest/bin/jest.js",
        "--ci",
        "--runInBand",
        "--no-cache",
        "--rootDir",
        folder,
    ]
    variables = {
        name: value for name, value in os.environ.items() if not name.startswith(("KEYSTART_", "NODE_"))
    }
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True)


def test_the_tests_for_jest_pass(node: Path, tested_with_jest: Path) -> None:
    done = jest(node, tested_with_jest)
    assert done.returncode == 0, done.stderr
    assert "Tests:       2 passed, 2 total" in done.stderr


def test_the_tests_for_jest_notice_another_value(node: Path, tested_with_jest: Path) -> None:
    function = tested_with_jest / "orders.cjs"
    function.write_text(function.read_text().replace("get('currency')", "get('stripe/key')"))
    done = jest(node, tested_with_jest)
    assert done.returncode == 1
    assert "Tests:       2 failed, 2 total" in done.stderr


def test_the_example_of_the_readme_runs_as_it_stands(node: Path, project: Path, store: Installation) -> None:
    readme = (project / "node_modules/keystart/README.md").read_text()
    (project / "handler.mjs").write_text(example(readme, "js"))
    call = "import('./handler.mjs').then((m) => m.handler({ amount: 7 })).then((a) => console.log(JSON.stringify(a)))"
    said = json.loads(store.read(node, "-e", call, cwd=project))
    assert said == {"user": "orders", "charged": '7 with <Secret "stripe/key" (redacted)>', "ready": True}
