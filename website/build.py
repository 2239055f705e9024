"""Builds the documentation as a site in target/site/html: `./dev docs-site`. A link that leads nowhere is an error.

Sphinx with MyST reads the pages as GitHub does (CommonMark: lists nest by two spaces). It builds from a copy, because
pages link to each other from folders all over the repository. A link to a source file becomes a download of it.
"""

from __future__ import annotations

import re
import shutil
import sys
from functools import partial
from pathlib import Path

from sphinx.cmd.build import main as sphinx

from tests import ROOT
from tests.test_sources import files

SITE = ROOT / "target/site"
# [text](target#fragment)
_LINK = re.compile(r"(?P<text>\[(?:[^\[\]]|\[[^\]]*\])*\])\((?P<target>[^)\s#]+)(?P<fragment>#[^)\s]*)?\)")

_PICTURE = re.compile(
    r'<picture>\s*<source[^>]* srcset="(?P<dark>[^"]*)">\s*'
    r'<img alt="(?P<text>[^"]*)" src="(?P<light>[^"]*)">\s*</picture>'
)

# The pages of the sidebar, by caption. Each other page goes under the last one.
SIDEBAR = {
    "Guide": [
        *("docs/README", "docs/install", "docs/move", "docs/configuration", "docs/readers", "docs/rotation"),
        *("docs/databases", "docs/testing", "docs/emulator", "docs/recipes", "docs/attach", "docs/sync"),
        *("docs/roll", "docs/security", "docs/monitoring", "docs/operations"),
    ],
    "Reference": [
        *("contract/contract", "bindings/python/README", "bindings/node/README", "bindings/ruby/README"),
        *("extension/README", "docs/layer", "docs/refused-variables", "CHANGELOG"),
    ],
    "How it works": ["docs/performance", "docs/compare", "docs/decisions/README", "docs/internals/README"],
    "Contribute": ["CONTRIBUTING"],
}


def stage(pages: Path) -> None:
    """Copies all pages, and the files that they link to."""
    found = [name for name in files("*.md") if not name.startswith(".github/")]
    for name in found:
        target = pages / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(_LINK.sub(partial(_copied, name, pages), (ROOT / name).read_text()))
    readme = pages / "README.md"
    text = _PICTURE.sub(partial(_two_pictures, pages), readme.read_text())
    readme.write_text(text + "\n".join(_sidebar([name.removesuffix(".md") for name in found])))


def _two_pictures(pages: Path, picture: re.Match[str]) -> str:
    """Returns both of a picture for light and dark pages, of which the theme shows one, and copies their files."""
    shown = []
    for kind in ("light", "dark"):
        file = pages / picture[kind]
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / picture[kind], file)
        options = [f":alt: {picture['text']}", f":class: only-{kind}"]
        shown += ["", f"```{{image}} {picture[kind]}", *options, "```"]
    return "\n".join(shown[1:])


def _copied(page: str, pages: Path, link: re.Match[str]) -> str:
    """Copies the file that a link leads to. A link to a folder leads to its README, or is only text."""
    target = (ROOT / page).parent / link["target"]
    if not target.resolve().is_relative_to(ROOT) or not target.exists():
        return link[0]  # an address, or a mistake that Sphinx reports
    if target.is_dir():
        if not (target / "README.md").exists():
            return link["text"][1:-1]
        return f"{link['text']}({link['target'].rstrip('/')}/README.md{link['fragment'] or ''})"
    if target.suffix != ".md":
        copy = pages / target.resolve().relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(target, copy)
    return link[0]


def _sidebar(pages: list[str]) -> list[str]:
    named = {page for caption in SIDEBAR.values() for page in caption}
    lines = []
    for caption, wanted in SIDEBAR.items():
        others = [page for page in sorted(pages) if page not in named and page != "README"]
        shown = [page for page in wanted if page in pages]
        lines += ["", "```{toctree}", ":hidden:", f":caption: {caption}", "", *shown]
        lines += [*(others if caption == list(SIDEBAR)[-1] else []), "```"]
    return [*lines, ""]


def main() -> int:
    """Builds the site and returns Sphinx's exit code."""
    shutil.rmtree(SITE, ignore_errors=True)
    stage(SITE / "pages")
    options = ["-b", "html", "-c", str(ROOT / "website"), "--fail-on-warning", "--keep-going", "--quiet"]
    code: int = sphinx([*options, str(SITE / "pages"), str(SITE / "html")])
    if code == 0:
        shutil.copy(SITE / "html/README.html", SITE / "html/index.html")
        print(f"The site is in {SITE / 'html/index.html'}")
    return code


if __name__ == "__main__":
    sys.exit(main())
