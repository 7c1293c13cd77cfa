"""Sphinx: these pages and the READMEs as a static site (`make docs`).

The source folder is the repository, so that a link works here as it does where the repository is read.
Warnings are errors: a link that leads nowhere fails the build.
"""

project = "Civicloom"
author = "The Civicloom maintainers"
extensions = ["myst_parser"]
root_doc = "docs/index"
include_patterns = ["docs/**.md", "*.md", "**/README.md", "bench/RESULTS.md"]
exclude_patterns = [".*", "docs/_build"]
html_theme = "furo"
html_title = "Civicloom"
myst_heading_anchors = 3
nitpicky = True
