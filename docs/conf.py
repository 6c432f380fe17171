"""How Sphinx makes a site of these pages: `make docs`."""

project = "Relais"
html_title = "Relais"
extensions = ["myst_parser"]
#: The root is the repository, so that a link means the same here, on a forge and in an editor.
root_doc = "docs/index"
include_patterns = ["docs/**.md", "rules/README.md", "CHANGELOG.md", "CONTRIBUTING.md"]
exclude_patterns = [".*", "**/.*"]
myst_heading_anchors = 4
nitpicky = True
html_theme = "furo"
html_extra_path = ["front"]
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
