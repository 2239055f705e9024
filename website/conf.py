"""Sphinx's configuration for the site. website/build.py calls Sphinx with it."""

project = "Keystart"
copyright = "the authors of Keystart"  # noqa: A001  Sphinx's name for it
extensions = ["myst_parser"]
root_doc = "README"
source_suffix = {".md": "markdown"}
# GitHub's names for headings, so that a link works on both.
myst_heading_anchors = 4
html_theme = "furo"
html_title = "Keystart"
html_static_path = ["static"]
html_css_files = ["phone.css"]
html_copy_source = False
html_show_sphinx = False
# The fences of these are not languages that Pygments knows, or hold more than their language.
suppress_warnings = ["misc.highlighting_failure"]
