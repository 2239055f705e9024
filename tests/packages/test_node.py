"""The npm package, installed into an empty project, in every line of Node.js that it supports."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from installed import CONSUMERS, Installed, example, run

TOOLS = Path(__file__).parent / "tools/node_modules"
VERSIONS = ("20", "22", "24")
BUNDLES = {"cjs": "bundle.cjs", "esm": "bundle.mjs"}
# An ES module has no `require`, and esbuild leaves those of Node's own modules as they are. This is what its users add.
REQUIRE = "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);"


@pytest.fixture(scope="module")
def project(package: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that has nothing installed but the package."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "package.json").write_text('{"private": true}')
    install = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--offline"]
    run(*install, package("keystart-*.tgz"), cwd=folder)
    assert [path.name for path in (folder / "node_modules").glob("[!.]*")] == ["keystart"]
    for consumer in CONSUMERS.glob("consumer.*s"):
        shutil.copy(consumer, folder)
    return folder


@pytest.fixture(params=VERSIONS)
def node(request: pytest.FixtureRequest) -> Path:
    program = TOOLS / f"node{request.param}/bin/node"
    if not program.exists():
        pytest.skip(f"npm has no Node.js {request.param} for this machine")
    return program


@pytest.mark.parametrize("consumer", ["consumer.mjs", "consumer.cjs"])
def test_it_can_be_imported_and_required(consumer: str, node: Path, project: Path, store: Installed) -> None:
    store.check(node, consumer, cwd=project)


@pytest.mark.parametrize("form", BUNDLES)
@pytest.mark.parametrize("consumer", ["consumer.mjs", "consumer.cjs", "consumer.ts"])
def test_a_bundle_of_it_needs_nothing_installed(
    consumer: str, form: str, node: Path, project: Path, store: Installed, tmp_path: Path
) -> None:
    bundle = tmp_path / BUNDLES[form]
    options = ["--bundle", "--platform=node", "--target=node20", f"--format={form}", "--log-level=warning"]
    if form == "esm":
        options.append(f"--banner:js={REQUIRE}")
    run(TOOLS / ".bin/esbuild", consumer, *options, f"--outfile={bundle}", cwd=project)
    store.check(node, bundle, cwd=tmp_path)


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


def test_the_example_of_the_readme_runs_as_it_stands(node: Path, project: Path, store: Installed) -> None:
    readme = (project / "node_modules/keystart/README.md").read_text()
    (project / "handler.mjs").write_text(example(readme, "js"))
    call = "import('./handler.mjs').then((m) => m.handler({ amount: 7 })).then((a) => console.log(JSON.stringify(a)))"
    said = json.loads(store.read(node, "-e", call, cwd=project))
    assert said == {"user": "orders", "charged": '7 with <Secret "stripe/key" (redacted)>', "ready": True}
