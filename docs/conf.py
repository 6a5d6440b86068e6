"""Sphinx's configuration: `make docs`. The pages fetch nothing from the network."""

from importlib.metadata import version as installed_version
from importlib.util import find_spec

from docutils.nodes import SkipNode

from metadescent.zoo import cards

project = "metadescent"
author = "The metadescent authors"
project_copyright = "2026, The metadescent authors"
version = release = installed_version("metadescent")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.doctest",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["_build"]
default_role = "code"
myst_heading_anchors = 3

# PyTorch is large: where it is not installed, the reference goes without metadescent.torch.
suppress_warnings = [] if find_spec("torch") else ["autodoc.import_object"]
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_js_files = [("copy.js", {"defer": "defer"})]
html_title = "metadescent"
html_show_sourcelink = False
html_math_renderer = "unicode"


def keep_bars(app, what, name, thing, options, lines):
    """Show |∇| as it is written; reStructuredText would take it for a substitution."""
    lines[:] = [line if "`" in line else line.replace("|", r"\|") for line in lines]


def deal_cards(app, docname, source):
    """Put the cards of the pretrained optimizers, as they are now, into their page."""
    source[:] = [text.replace("<!-- cards -->", cards.all_cards()) for text in source]


def setup(app):
    """Show formulas as they are written, in Unicode, where Sphinx would load MathJax."""
    app.connect("autodoc-process-docstring", keep_bars)
    app.connect("source-read", deal_cards)

    def element(tag):
        def visit(self, node):
            self.body.append(f"<{tag}>{self.encode(node.astext())}</{tag}>")
            raise SkipNode

        return visit, None

    app.add_html_math_renderer("unicode", element("code"), element("pre"))
