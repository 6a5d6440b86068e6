"""The page: it needs nothing but itself, and no console has a word to say of it."""

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from metadescent.figures.proposals import FunctionPanel, draw_functions
from metadescent.figures.run import draw_run
from metadescent.runs import doctor
from metadescent.runs.finding import Finding
from metadescent.runs.page import Image, Section, Table, render_page

VOID = {"meta", "link", "img", "br"}
X = np.linspace(-1, 1, 101)


def log(epochs: int = 5) -> list[dict]:
    return [
        {
            "epoch": epoch,
            "validation_loss": 1.0 / epoch,
            "meta_loss": 2.0 / epoch,
            "start": 3.0,
            "gradient_norm": 0.1,
            "gradient_norm_max": 0.4,
        }
        for epoch in range(1, epochs + 1)
    ]


def grid() -> Image:
    """A picture whose SVG is large."""
    rng = np.random.default_rng(0)
    curves = {name: rng.normal(size=101) for name in ("mine", "sgd", "adam")}
    panel = FunctionPanel(X, curves, dict.fromkeys(curves, (0.0, 0.0)), ["mine"], "Step 1")
    return Image(draw_functions([panel] * 32), "A large picture")


@pytest.fixture(scope="module")
def text() -> str:
    return render_page(
        "Meta-training on <quadratic>",
        'lstm(layers=(4,), p=None) & "more"',
        [
            Section("The doctor says", [Finding(doctor.LEARNED, "0.1 < 0.2")]),
            Section("And", [Finding(doctor.DEAD, "0 of it", "draw φ anew")]),
            Section("Flags", [Finding(doctor.DEAD, "0 of it", "try --meta-rate 0.1"), "or --clip"]),
            Section("Pictures", [Image(draw_run(log(), 20.0), "Losses & norms"), grid()]),
            Section(
                "Numbers", [Table(["", "measured"], [["a<b", "1"], ["c", "2"]]), "Text <here>"]
            ),
        ],
    )


class Elements(HTMLParser):
    """Every element with its attributes; fails where tags are not closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def elements(text: str) -> Elements:
    found = Elements()
    found.feed(text)
    found.close()
    assert found.open == []
    return found


def test_the_page_is_well_formed_and_made_for_any_screen(text: str) -> None:
    assert text.startswith("<!doctype html>")
    found = elements(text)
    tags = [tag for tag, _ in found.found]
    assert tags.count("h1") == tags.count("title") == 1
    assert tags.count("section") == tags.count("h2") == 5
    metas = [attributes for tag, attributes in found.found if tag == "meta"]
    assert {"charset": "utf-8"} in metas
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in metas
    assert "script" not in tags
    for tag in ("table", "figure"):
        assert tag in tags
    assert text.count('<div class="scroll"><table>') == text.count("<table>")


def test_it_needs_nothing_but_itself(text: str) -> None:
    for tag, attributes in elements(text).found:
        for name in ("src", "href", "srcset", "data", "action", "poster"):
            assert attributes.get(name, "data:").startswith("data:"), (tag, attributes)
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert "http" not in re.sub(r"base64,[A-Za-z0-9+/=]*", "", text)


def test_what_is_said_is_text_and_not_markup(text: str) -> None:
    assert "Meta-training on <quadratic>" in (read := elements(text).text)
    for words in ('p=None) & "more"', "0.1 < 0.2.", "Draw φ anew.", "a<b", "Text <here>"):
        assert words in read
    assert "<quadratic>" not in text


def test_names_and_figures_are_whole_and_sentences_are_not() -> None:
    words = "the share of the first update that turns round"
    text = render_page("t", "l", [Section("h", [Table(["", "95 %"], [[words, "[-8e-12, 1]"]])])])
    for cell in ('<th scope="col" class="whole">95 %<', '<td class="whole">[-8e-12, 1]<'):
        assert cell in text
    assert f'<th scope="row">{words}<' in text


def test_flags_are_whole(text: str) -> None:
    for words in ("Try {}--meta-rate</span> 0.1.", "or {}--clip</span>"):
        assert ">" + words.format('<span style="white-space: nowrap">') + "</p>" in text


def test_verdicts_have_the_colour_of_their_kind(text: str) -> None:
    classes = [a["class"] for tag, a in elements(text).found if tag == "div" and "class" in a]
    assert classes[:2] == ["finding well", "finding ill"]


def test_pictures_have_words_and_the_smaller_form(text: str) -> None:
    images = [attributes for tag, attributes in elements(text).found if tag == "img"]
    assert [image["alt"] for image in images] == ["Losses & norms", "A large picture"]
    kinds = [re.match(r"data:image/([a-z+]+);base64,", image["src"] or "") for image in images]
    assert [kind and kind[1] for kind in kinds] == ["svg+xml", "png"]
    assert len(text.encode()) < 1_000_000


def test_text_has_one_size_and_pages_have_a_dark_side(text: str) -> None:
    style = text[text.index("<style>") : text.index("</style>")]
    assert "prefers-color-scheme: dark" in style
    rules = re.findall(r"([\w., ]+) \{[^}]*font-size: ([\d.]+rem)", style)
    # Headings are larger; nothing is smaller.
    assert dict(rules) == {"h1": "1.5rem", "h2": "1.2rem", "h3": "1rem"}
    # A point of a figure is two pixels: its text is as large as the page's.
    (first, _) = [a for tag, a in elements(text).found if tag == "img"]
    assert first["width"] == str(round(144 * 6.8))


def test_the_same_page_is_the_same_bytes(text: str) -> None:
    again = render_page("t", "l", [Section("h", [Image(draw_run(log(), 20.0), "c")])])
    assert again == render_page("t", "l", [Section("h", [Image(draw_run(log(), 20.0), "c")])])


def test_a_run_of_one_epoch_or_of_strange_numbers_is_drawn() -> None:
    for metrics in (log(1), [log()[0] | {"validation_loss": float("nan"), "start": None}]):
        assert len(draw_run(metrics, 20.0).axes) == 2
    negative = [line | {"validation_loss": -1.0} for line in log()]
    assert draw_run(negative, 20.0).axes[0].get_yscale() == "linear"
    assert draw_run(log(), 20.0).axes[0].get_yscale() == "log"


@pytest.mark.slow
def test_a_browser_shows_it_without_a_word(text: str, browse: Callable, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(text)
    seen, said = browse(path)
    assert said == []
    heading = "Meta-training on <quadratic>"
    layout = {"fits": True, "images": True, "dark": False, "width": 390}
    assert seen == layout | {"heading": heading}


@pytest.mark.slow
def test_an_error_in_the_console_would_be_seen(browse: Callable, tmp_path: Path) -> None:
    path = tmp_path / "broken.html"
    path.write_text("<!doctype html><title>x</title><script>nothing.there()</script>")
    assert browse(path)[1]
