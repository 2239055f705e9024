"""Rules for all sources: no circles of imports, the same names for the same files, and what docstrings begin with."""

from __future__ import annotations

import ast
import os
import re
import subprocess
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter

import pytest

from tests import ROOT

SOURCES = ("bindings/python/src/", "extension/src/")
BUILT = "_native"  # maturin writes it next to the package's own files
REFERENCES = {
    "js": re.compile(
        r"""^(?:import|export)\b[^;]*?["'](\.[^"']+)["']|(?:require|import)\(["'](\.[^"']+)["']\)""", re.M
    ),
    "rb": re.compile(r"""require_relative "([^"]+)"()"""),
}

CRATE_PATH = re.compile(r"\bcrate::([a-z_]+)\b")
CRATE_LIST = re.compile(r"\bcrate::\{([^;]*)\};")
SUPER_PATH = re.compile(r"\bsuper::([a-z_]+)\b")
SUPER_LIST = re.compile(r"\bsuper::\{([^;]*)\};")
FIRST_NAME = re.compile(r"(?:^|,)\s*([a-z_]+)\b")

# The sources of the readers, and of the core, which does what Node and Ruby do.
READERS = {
    "core": ("core/store/src/*.rs", "core/store/src/store/*.rs"),
    "Python": ("bindings/python/src/keystart/*.py",),
    "Node": ("bindings/node/src/*",),
    "Ruby": ("bindings/ruby/lib/keystart/*.rb",),
}
# Files of one reader whose noun no other has.
ALONE = {
    "Python": {
        "__init__": "the functions of the package",
        "core": "calls the core, which does what other readers do themselves",
        "pytest_plugin": "Python's test tool",
        "types": "what annotations name",
    },
    "Node": {
        "classes": "both files of the package must throw the same classes",
        "interfaces": "types for modules that cannot import each other",
        "load": "loads the last file of the package",
        "load-reader": "loads the second file of the package",
        "node": "Node's modules",
        "on-demand": "the last file of the package",
        "timers": "Node's timers",
    },
    "Ruby": {},
}


def files(*patterns: str) -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [file for file in listed.stdout.splitlines() if (ROOT / file).exists()]


def module(file: str) -> str:
    inside = next((file.removeprefix(source) for source in SOURCES if file.startswith(source)), file)
    return inside.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def imported(tree: ast.AST, package: str) -> Iterator[tuple[str, str]]:
    """Yields each import, also inside functions, as a module and the name that is taken from it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            origin = ".".join([*above, *filter(None, [node.module])])
            yield from ((origin, alias.name) for alias in node.names if alias.name != BUILT)


def python() -> dict[str, set[str]]:
    modules = {module(file): file for file in files("*.py")}
    graph: dict[str, set[str]] = {}
    for name, file in modules.items():
        package = name if file.endswith("/__init__.py") else name.rpartition(".")[0]
        found = (
            modules.get(f"{origin}.{taken}") or modules.get(origin)
            for origin, taken in imported(ast.parse((ROOT / file).read_text()), package)
        )
        graph[file] = {other for other in found if other and other != file}
    return graph


def textual(language: str, ending: str, *patterns: str) -> dict[str, set[str]]:
    known = set(files(*patterns))
    return {
        file: {
            os.path.normpath(f"{os.path.dirname(file)}/{''.join(found)}{ending}")  # noqa: PTH120 text, not a path
            for found in REFERENCES[language].findall((ROOT / file).read_text())
        }
        & known - {file}
        for file in known
    }


def rust() -> dict[str, set[str]]:
    """Returns which modules of a crate use which. A file and the folder of its name are one module.

    Which files of one folder use each other counts apart. Cargo itself refuses circles between crates.
    """
    graph: dict[str, set[str]] = {}
    for file in files("core/*.rs"):
        crate, found, inside = file.partition("/src/")
        if (
            not found
            or inside in ("lib.rs", "main.rs")
            or inside.endswith("tests.rs")
            or inside.startswith("bin/")
        ):
            continue
        text = (ROOT / file).read_text().partition("#[cfg(test)]\nmod tests")[0]
        folder = file.rpartition("/")[0]
        beside = SUPER_PATH.findall(text)
        beside += [name for names in SUPER_LIST.findall(text) for name in FIRST_NAME.findall(names)]
        graph[file] = {f"{folder}/{name}.rs" for name in beside}
        used = CRATE_PATH.findall(text)
        used += [name for names in CRATE_LIST.findall(text) for name in FIRST_NAME.findall(names)]
        module = f"{crate}/src/{inside.partition('/')[0].removesuffix('.rs')}"
        graph.setdefault(module, set()).update(f"{crate}/src/{name}" for name in used)
    return {module: used & set(graph) - {module} for module, used in graph.items()}


GRAPHS = {
    "Python": python(),
    "Rust": rust(),
    "Node": textual("js", "", "*.mjs", "*.js", "*.cjs", "*.ts", "*.mts"),
    "Ruby": textual("rb", ".rb", "*.rb"),
}


@pytest.mark.parametrize("language", GRAPHS)
def test_no_imports_go_in_a_circle(language: str) -> None:
    graph = GRAPHS[language]
    assert any(graph.values())
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_every_docstring_begins_with_what_a_thing_is_or_does() -> None:
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    first_words = {
        f"{file}: {(ast.get_docstring(node) or '-').split()[0]}"
        for file in files("*.py")
        for node in ast.walk(ast.parse((ROOT / file).read_text()))
        if isinstance(node, documented)
    }
    vague = ("Is", "Are", "Gives", "Tells", "Ours")
    assert not [found for found in first_words if found.endswith(tuple(f": {word}" for word in vague))]


def nouns(language: str) -> set[str]:
    names = (file.rpartition("/")[2].partition(".")[0] for file in files(*READERS[language]))
    # Python's _attempt and _tls would hide the functions of these names.
    return {name if name.startswith("__") else name.lstrip("_") for name in names}


@pytest.mark.parametrize("language", ALONE)
def test_a_file_of_a_reader_has_the_name_that_its_noun_has_elsewhere(language: str) -> None:
    elsewhere = set().union(*(nouns(other) for other in READERS if other != language))
    assert nouns(language) - elsewhere == set(ALONE[language])


def test_contributing_names_files_that_exist_on_the_way_of_a_secret() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    _, count, table = re.split(r"A secret passes these (\d+) files", text)
    rows = table.partition("\n## ")[0]
    paths = []
    for folder, names in re.findall(r"`([\w/]+)`: ((?:`[\w/.]+`(?:, )?)+)", rows):
        paths += [f"{folder}/{name}" for name in re.findall(r"`([\w/.]+)`", names)]
    paths += re.findall(r"; `([\w/]+\.\w+)`", rows)
    assert len(set(paths)) == int(count)
    assert [path for path in paths if not (ROOT / path).is_file()] == []
