"""A self-contained page of HTML on a run: no network, no other file, no script.

The page holds its pictures as data: as SVG if that is small, else as PNG. It is readable on a
phone: it has one column, tables scroll on their own, and pictures are as wide as the screen.
"""

import base64
import re
from collections.abc import Sequence
from html import escape
from string import Template
from typing import TYPE_CHECKING, NamedTuple

from metadescent.figures.output import Style, render
from metadescent.runs.doctor import LEARNED, LEARNING, NOT_YET
from metadescent.runs.finding import Finding

if TYPE_CHECKING:
    import matplotlib.figure

SMALL = 120_000
"""The most bytes of an SVG; a larger picture becomes a PNG."""
WORDS = 30
"""The most characters of a cell that is not broken."""
PIXELS = 144
"""Pixels for an inch of a figure, so that its 8 points are the page's 16 pixels."""


class Table(NamedTuple):
    """A table: its first column has names, the others have figures."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


class Image(NamedTuple):
    """A picture, and its caption."""

    figure: "matplotlib.figure.Figure"
    caption: str
    style: Style = "transparent"


class Picture(NamedTuple):
    """A PNG file, and its caption."""

    content: bytes
    caption: str


Part = Table | Image | Picture | Finding | str


class Section(NamedTuple):
    """A heading, and the parts below it in order."""

    heading: str
    parts: Sequence[Part]


def render_page(title: str, lead: str, sections: Sequence[Section]) -> str:
    """Return the page; texts are escaped and never read as markup."""
    body = "\n".join(_section(section) for section in sections)
    return _PAGE.substitute(title=escape(title), lead=escape(lead), body=body)


def _section(section: Section) -> str:
    parts = "\n".join(render_part(part) for part in section.parts)
    return f"<section>\n<h2>{escape(section.heading)}</h2>\n{parts}\n</section>"


def render_part(part: Part) -> str:
    """Return a part of a page; texts are escaped and never read as markup."""
    if isinstance(part, Table):
        return _table(part)
    if isinstance(part, Image):
        return _image(part)
    if isinstance(part, Picture):
        data = base64.b64encode(part.content).decode()
        return _embedded(f'class="wide" src="data:image/png;base64,{data}"', part.caption)
    if isinstance(part, Finding):
        return _finding(part)
    return f"<p>{_prose(part)}</p>"


def _prose(text: str) -> str:
    """Return text that browsers do not break after the hyphens of a flag."""
    return re.sub(r"--[\w-]+", r'<span style="white-space: nowrap">\g<0></span>', escape(text))


def _table(table: Table) -> str:
    head = "".join(_cell("th", column, ' scope="col"') for column in table.columns)
    rows = "\n".join(
        "<tr>"
        + _cell("th", row[0], ' scope="row"')
        + "".join(_cell("td", cell) for cell in row[1:])
        + "</tr>"
        for row in table.rows
    )
    return (
        '<div class="scroll"><table>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table></div>"
    )


def _cell(tag: str, text: str, scope: str = "") -> str:
    """Return a cell; names and figures are not broken, and sentences are."""
    whole = ' class="whole"' if len(text) <= WORDS else ""
    return f"<{tag}{scope}{whole}>{escape(text)}</{tag}>"


def _image(image: Image) -> str:
    style = image.style
    content, kind = render(image.figure, ".svg", style=style), "image/svg+xml"
    # The SVG of a grid of many panels has megabytes.
    if len(content) > SMALL:
        content, kind = render(image.figure, ".png", 130, style), "image/png"
    data = base64.b64encode(content).decode()
    # This makes the text of the figure as large as the page's, if there is room.
    width, height = (round(PIXELS * inches) for inches in image.figure.get_size_inches())
    wide = 'class="wide" ' if width > 600 else ""
    attributes = f'{wide}width="{width}" height="{height}" src="data:{kind};base64,{data}"'
    return _embedded(attributes, image.caption)


def _embedded(attributes: str, caption: str) -> str:
    text = escape(caption)
    below = f"\n<figcaption>{text}</figcaption>" if text else ""
    return f'<figure><div class="scroll"><img {attributes} alt="{text}"></div>{below}</figure>'


def _finding(finding: Finding) -> str:
    verdict = finding.verdict.partition(",")[0]
    kind = {LEARNED: "well", LEARNING: "well", NOT_YET: "not-yet"}.get(verdict, "ill")
    remedy = f'\n<p class="remedy">{_prose(_sentence(finding.remedy))}</p>'
    return (
        f'<div class="finding {kind}">\n<h3>{escape(_capital(finding.verdict))}</h3>\n'
        f"<p>{escape(_sentence(finding.numbers))}</p>{remedy if finding.remedy else ''}\n</div>"
    )


def _sentence(text: str) -> str:
    return f"{_capital(text)}."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


_PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>$title</title>
<style>
:root { color-scheme: light dark; --ink: #1a1a1a; --soft: #555; --line: #ddd; --ground: #fff; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #ececec; --soft: #b0b0b0; --line: #3a3d44; --ground: #171a1f; }
  img { filter: invert(1) hue-rotate(180deg); }
}
body { margin: 0 auto; max-width: 62rem; padding: 1rem; color: var(--ink);
  background: var(--ground); font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.2; margin: .5rem 0; }
h2 { font-size: 1.2rem; margin: 2rem 0 .5rem; }
h3 { font-size: 1rem; margin: 0; }
p, figcaption { max-width: 46rem; }
.finding { border-left: .3rem solid #d55e00; padding: .1rem 0 .1rem .8rem; margin: .8rem 0; }
.finding.well { border-color: #009e73; }
.finding.not-yet { border-color: #e69f00; }
.finding p { margin: .2rem 0; }
.remedy, figcaption { color: var(--soft); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
th, td { padding: .25rem .8rem .25rem 0; text-align: right; vertical-align: top; }
th:first-child { text-align: left; }
th { font-weight: 600; }
tbody th { font-weight: 400; }
tbody tr { border-top: 1px solid var(--line); }
th:first-child + :last-child { text-align: left; }
.whole { white-space: nowrap; }
figure { margin: 1rem 0; }
figcaption { margin-top: .3rem; }
img { display: block; max-width: 100%; height: auto; }
img.wide { min-width: 44rem; }
</style>
</head>
<body>
<h1>$title</h1>
<p>$lead</p>
$body
</body>
</html>
""")
