"""The page of pretrained optimizers is what the cards say, now and after the next one is made."""

import importlib.util
import re
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metadescent import zoo
from metadescent.zoo import cards, catalogue

DOCS = Path(__file__).parents[2] / "docs"

cells = st.text(st.characters(codec="utf-8", categories=["L", "N"]), max_size=4)
written = st.lists(
    st.integers(1, 4).flatmap(
        lambda width: st.lists(
            st.lists(cells, min_size=width, max_size=width), min_size=1, max_size=3
        )
    ),
    max_size=3,
)


@given(written)
def test_tables_are_read_as_they_are_written(tables: list[list[list[str]]]) -> None:
    text = ["# Words"]
    for heading, *rows in tables:
        rule = ["---"] * len(heading)
        text += ["| " + " | ".join(row) + " |" for row in (heading, rule, *rows)] + ["", "Words"]
    assert cards.tables("\n".join(text)) == tables


@pytest.mark.parametrize("name", zoo.names())
def test_its_facts_are_those_of_its_card_and_of_its_file(name: str) -> None:
    facts, text = cards.facts(name), zoo.card(name)
    made = cards.read_card(zoo.path(name))
    assert (facts.name, facts.optimizer) == (name, made["optimizer"])
    assert f"| made again by | `{facts.command}` |" in text
    assert f"| licence | {facts.licence} |" in text
    assert f"| trained on | `{facts.trained_on}`, horizon {facts.horizon} |" in text
    assert f"## On {facts.seeds} fresh problems, {facts.horizon}" in text
    final, low, high = numbers(facts.loss)
    assert final == float(f"{made['test']['final']:.4g}")
    assert low < final < high
    assert f"| {name} | learned | {final:.4g} | {low:.4g} – {high:.4g} |" in text
    value, baseline = numbers(facts.baseline)[0], facts.baseline.split()[-1]
    losses = {row[0]: row[2] for row in cards.tables(text)[1] if row[0] not in ("", name)}
    finite = {name: float(loss) for name, loss in losses.items() if loss != "diverged"}
    assert finite[baseline] == value == min(finite.values())
    assert facts.size.startswith(f"{parameters(name):,} parameters, ")


def numbers(text: str) -> list[float]:
    """Every number of "0.3 (0.2 – 0.4), adam"."""
    return [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?(?:e[-+]\d+)?", text)]


def parameters(name: str) -> int:
    import jax

    return sum(leaf.size for leaf in jax.tree.leaves(zoo.load(name)))


def page() -> str:
    """The page's Markdown, as Sphinx reads it."""
    pytest.importorskip("docutils")
    spec = importlib.util.spec_from_file_location("docs_conf", DOCS / "conf.py")
    assert spec is not None
    assert spec.loader is not None
    conf = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(conf)
    source = [(DOCS / "zoo.md").read_text()]
    conf.fill_in(None, "zoo", source)
    return source[0]


def test_the_page_has_every_card_and_follows_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = page()
    for name in zoo.names():
        for line in zoo.card(name).splitlines():
            assert line in text
        for value in cards.facts(name):
            assert value in text
    assert "theirs" not in text
    for suffix in ("md", "safetensors"):
        shutil.copy(catalogue.FOLDER / f"mnist-lstm.{suffix}", tmp_path / f"theirs.{suffix}")
    card = (tmp_path / "theirs.md").read_text().replace("mnist-lstm", "theirs")
    (tmp_path / "theirs.md").write_text(card.replace("0.2398", "0.1234"))
    monkeypatch.setattr(catalogue, "FOLDER", tmp_path)
    text = page()
    assert text.count("0.1234") == 2
    assert "](#quadratic-lstm)" not in text
