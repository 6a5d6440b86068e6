"""Sphinx's configuration: `make docs`. The pages fetch nothing from the network.

The pages are plain Markdown, which GitHub shows too. What only Sphinx understands, such as the
sidebar's groups and the reference's docstrings, is put in here when a page is read.
"""

import inspect
import re
from importlib import import_module
from importlib.metadata import version as installed_version
from importlib.util import find_spec

from docutils import nodes

from metadescent.figures.paper import wording
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
myst_enable_extensions = ["dollarmath"]

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
html_math_renderer = "typeset"

GROUP = re.compile(r"^## (\w+)\n\n((?:- .+\n)+)", re.MULTILINE)
NAME = re.compile(r"^- `metadescent\.(\S+)`( and its members)?$", re.MULTILINE)
FILE = re.compile(r"^The file is \[.+\]\((\S+\.py)\)\.$", re.MULTILINE)


def toctree(group):
    """Return a list of pages in the index as a group of the sidebar."""
    pages = "\n".join(re.findall(r"\((.+?)\.md\)", group[2]))
    return f"```{{toctree}}\n:caption: {group[1]}\n:hidden:\n\n{pages}\n```\n"


def docstring(listed):
    """Return the directive that shows the docstring of a public name."""
    module, _, name = f"metadescent.{listed[1]}".rpartition(".")
    if listed[1].startswith("torch.") and not find_spec("torch"):
        return ""
    thing = getattr(import_module(module), name)
    is_error = inspect.isclass(thing) and issubclass(thing, Exception)
    kind = "exception" if is_error else "class" if inspect.isclass(thing) else "function"
    kind = "module" if inspect.ismodule(thing) else kind
    members = "\n   :members:" if listed[2] else ""
    return f"```{{eval-rst}}\n.. auto{kind}:: {module}.{name}{members}\n```"


def fill_in(app, docname, source):
    """Put in what a page names: cards and docstrings as they are now, files, the README."""
    text = source[0].replace("<!-- cards -->", cards.all_cards())
    text = text.replace("<!-- criteria -->", wording.all_criteria())
    text = FILE.sub(lambda file: f"{file[0]}\n\n```{{literalinclude}} {file[1]}\n```", text)
    if docname == "reference":
        text = NAME.sub(docstring, text)
    if docname == "index":
        readme = (
            '```{include} ../README.md\n:start-after: "# metadescent"\n'
            ':end-before: "## Where to go"\n:relative-docs: docs/\n:relative-images:\n```\n\n'
        )
        groups = "\n".join(toctree(group) for group in GROUP.finditer(text))
        text = f"# metadescent\n\n{readme}{groups}"
    source[0] = "```{include} ../SECURITY.md\n```\n" if docname == "security" else text


def keep_bars(app, what, name, thing, options, lines):
    """Show |∇| as it is written; reStructuredText would take it for a substitution."""
    lines[:] = [line if "`" in line else line.replace("|", r"\|") for line in lines]


# A single letter with a subscript or an exponent: θ_{t+1}, ∇_t, e^−p.
SCRIPT = re.compile(
    r"(?<![\w.])(?P<base>[^\W\d_]|∇)(?P<mark>[_^])(?:\{(?P<script>[^{}]+)\}|(?P<sign>[−±]?[^\W_]+))(?!\w)"
)
# In a formula of Markdown a letter that stands alone is a variable; \text{…} and \log are words.
FORMULA = re.compile(
    r"\\text\{(?P<words>[^{}]*)\}|\\(?P<word>[a-z]+)"
    r"|(?P<mark>[_^])(?:\{(?P<script>(?:[^{}]|\{[^{}]*\})+)\}|(?P<sign>.))"
    r"|(?P<letter>(?<![a-z])[A-Za-zα-ω]\u0302?(?![a-z]))"
)
# Numbers in which no line may end: (0.1 – 0.2), 64 × 64, 1.3e-06 ± 2e-07, 95 %, 5 MB.
NUMBER = r"[-−]?\d[\d.,]*(?:e-?\d+)?"
NUMBERS = re.compile(rf"\(?{NUMBER}(?: [–±×] {NUMBER})*(?: (?:[%×]|(?:ms|s|[kMG]i?B)\b))?\)?")


def typeset(text, pattern):
    """Return a text as nodes, with the pattern's subscripts, exponents and variables."""
    children, end = [], 0
    for match in pattern.finditer(text):
        part = match.groupdict()
        children.append(nodes.Text(text[end : match.start()] + (part.get("base") or "")))
        end = match.end()
        if part["mark"]:
            kind = nodes.subscript if part["mark"] == "_" else nodes.superscript
            children.append(kind("", "", *typeset(part["script"] or part["sign"], pattern)))
        elif part.get("letter"):
            children.append(nodes.emphasis("", part["letter"]))
        else:
            children.append(nodes.Text(part["words"] or part["word"]))
    return [*children, nodes.Text(text[end:])]


def visit_formula(translator, node):
    """Write a formula in Unicode, where Sphinx would load MathJax from elsewhere."""
    formula = " ".join(node.astext().split())
    tag = "p" if isinstance(node, nodes.math_block) else "span"
    whole = "" if len(formula) > 24 else " whole"
    translator.body.append(f'<{tag} class="formula{whole}">')
    for child in typeset(formula, FORMULA):
        child.walkabout(translator)
    translator.body.append(f"</{tag}>")
    raise nodes.SkipNode


def whole(text, pattern):
    """Return a text as nodes, where no line ends within what the pattern finds."""
    for number, part in enumerate(re.split(f"({pattern.pattern})", text)):
        yield nodes.inline("", part, classes=["whole"]) if number % 2 else nodes.Text(part)


def polish(app, doctree):
    """Typeset subscripts, and mark names, numbers and sentences for pages.css."""
    skipped = (nodes.literal, nodes.literal_block, nodes.math, nodes.math_block, nodes.raw)
    for text in [
        text for text in doctree.findall(nodes.Text) if not isinstance(text.parent, skipped)
    ]:
        parts = typeset(text.replace("jaxlib._jax.", ""), SCRIPT)
        plain = [[*whole(p, NUMBERS)] if isinstance(p, nodes.Text) else [p] for p in parts]
        text.parent.replace(text, [node for part in plain for node in part])
    for code in doctree.findall(nodes.literal):
        if max(map(len, code.astext().split()), default=0) > 34:
            code["classes"].append("long")
    for cell in doctree.findall(nodes.entry):
        words = cell.astext()
        if len(words) > 40:
            cell["classes"].append("words")
        elif " " not in words and len(words) <= 30:
            cell["classes"].append("whole")


def setup(app):
    """Connect what is above."""
    app.connect("autodoc-process-docstring", keep_bars)
    app.connect("source-read", fill_in)
    app.connect("doctree-read", polish)
    renderers = (visit_formula, None), (visit_formula, None)
    app.add_html_math_renderer("typeset", *renderers)
