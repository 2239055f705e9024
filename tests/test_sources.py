"""Rules for all sources: imports go in no circle, and a docstring says what a thing does."""

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


GRAPHS = {
    "Python": python(),
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
