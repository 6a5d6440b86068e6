"""What values show of themselves in a notebook, and that no state prints its arrays."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.figure import Figure

from metadescent import zoo
from metadescent.descent.comparison import Comparison
from metadescent.descent.curves import Curve
from metadescent.descent.tuning import Tuned
from metadescent.meta.state import MetaState
from metadescent.optimizers.lstm import LSTM
from metadescent.runs.finding import Finding, Findings
from metadescent.runs.recipe import Recipe
from metadescent.runs.report import LEARNED, made_by
from metadescent.runs.run import Run
from metadescent.runs.views import html
from metadescent.zoo.catalogue import Card

MARKUP = "<script>alert('&')</script>"
MEAN = np.exp(-np.arange(10.0))
CURVE = Curve(MEAN, 0.9 * MEAN, 1.1 * MEAN, 0.1)
TUNED = Tuned(0.1, [0.01, 0.1, 1.0], [2.0, 1.0, np.inf], f"least {MARKUP}")
LEARNED_CURVE = CURVE._replace(mean=MEAN**2, rate=None)
COMPARISON = Comparison(
    MARKUP, 10, 4, {LEARNED: LEARNED_CURVE, "adam": CURVE}, {"adam": TUNED}, minutes=1.0
)
FINDINGS = Findings([Finding("learned", MARKUP), Finding("diverged", "x", MARKUP)])


class Reader(HTMLParser):
    """Text and tags; fails where tags are not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    from metadescent.problems.quadratic import Quadratic
    from metadescent.runs.plan import plan_of
    from metadescent.runs.training import train

    folder = tmp_path_factory.mktemp("runs") / "a<b>"
    recipe = Recipe(optimizer="lstm(layers=(2,))", steps=4, unroll=2, epochs=2, episodes=2)
    for _ in train(folder, Quadratic(), "quadratic", plan_of(recipe)):
        pass
    return Run(folder)


@pytest.mark.parametrize("kind", ["curve", "comparison", "tuned", "card", "run"])
def test_a_value_shows_a_table_and_a_picture(kind: str, run: Run) -> None:
    values = {
        "curve": CURVE,
        "comparison": COMPARISON,
        "tuned": TUNED,
        "card": zoo.card("mnist-lstm"),
        "run": run,
    }
    shown = Reader(values[kind]._repr_html_())
    assert shown.tags[0] == "div"
    assert {"table", "img"} <= set(shown.tags)
    assert "script" not in shown.tags
    assert isinstance(values[kind].plot(), Figure)


def test_every_text_is_escaped(run: Run) -> None:
    for value in (COMPARISON, TUNED, FINDINGS, FINDINGS[0]):
        shown = Reader(value._repr_html_())
        assert MARKUP in shown.text
        assert "script" not in shown.tags
    assert str(run.folder) in Reader(run._repr_html_()).text


def test_verdicts_show_in_order_and_have_no_picture() -> None:
    shown = Reader(FINDINGS._repr_html_())
    assert shown.text.index("Learned") < shown.text.index("Diverged")
    assert "img" not in shown.tags


def test_a_card_is_its_text_and_shows_all_its_tables() -> None:
    card = zoo.card("mnist-lstm")
    assert card == (Path(zoo.path("mnist-lstm")).with_suffix(".md")).read_text()
    assert card.name == "mnist-lstm"
    shown = Reader(card._repr_html_())
    rows = [line for line in card.splitlines() if line.startswith("|") and "---" not in line]
    assert shown.tags.count("tr") == len(rows)


def test_a_rate_that_diverged_is_marked_and_the_best_one_named() -> None:
    crosses = [line for line in TUNED.plot().axes[0].lines if line.get_marker() == "x"]
    assert crosses[0].get_xdata()[0] == 1.0
    assert re.findall(r"<tr>(?:(?!</tr>).)*best</td></tr>", TUNED._repr_html_())


def test_what_has_no_view_is_refused_and_a_card_of_nobody_s() -> None:
    with pytest.raises(TypeError, match="int has no view"):
        html(3)
    assert Card("# a\n").name == "a"


def test_a_run_is_read_from_its_folder(run: Run) -> None:
    assert [line["epoch"] for line in run.metrics] == [1, 2]
    assert isinstance(run.best(), LSTM)
    assert run.findings()[-1].numbers


def test_a_page_says_how_it_was_made() -> None:
    rows = dict(made_by("metadescent report r", {"origin": {"versions": {"jax": "0.0.1"}}}))
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", rows["date"])
    assert rows["command"] == "metadescent report r"
    assert "jax " in rows["versions"]
    assert rows["run begun by"] == "jax 0.0.1"
    assert "run begun by" not in dict(made_by("x", {}))


NUMBERS = re.compile(r"\d\.\d|\d\.\s|\d\.\]|\[\[|-\d")


def test_no_state_prints_its_arrays() -> None:
    m = LSTM((3,), key=jax.random.key(0))
    nu = {"w": jnp.full(7, 0.123)}
    run = MetaState(m, m, nu, m, jnp.asarray(0.5), jnp.asarray(1), jnp.asarray(2))
    for text, shape in ((repr(m), "[12,2]"), (repr(run), "[7]")):
        assert re.search(rf"f(32|64){re.escape(shape)}", text)
        assert not NUMBERS.search(text.replace("p=10.0", "").replace("scale=0.1", ""))
