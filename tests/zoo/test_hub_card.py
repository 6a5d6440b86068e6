"""The card on the Hub is read by the Hub's own library, and says what the file says."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metadescent import zoo
from metadescent.zoo.cards import read_card, tables, training_taken
from metadescent.zoo.hub_card import TAGS, Contents, described, header, readme
from metadescent.zoo.hub_names import HubName

CONTENTS = Contents("lstm(layers=(2,))", 12, 345, "ab" * 32, in_pytorch=True)
NAME = HubName("ada/mine")


def data_of(text: str) -> dict[str, Any]:
    """What the Hub's library reads in the header."""
    from huggingface_hub import ModelCard

    return ModelCard(text, ignore_metadata_errors=False).data.to_dict()


@given(st.text(max_size=20), st.booleans())
def test_the_header_is_read_by_the_hub_s_library(licence: str, in_pytorch: bool) -> None:
    data = data_of(header(licence, in_pytorch) + "\n\n# mine\n")
    assert data["library_name"] == "metadescent"
    assert data["tags"] == [*TAGS, *["pytorch"] * in_pytorch]
    name = "".join(filter(str.isprintable, " ".join(licence.split())))
    if name:
        assert data["license"] == "other"
        assert data["license_name"] == name
    else:
        assert "license" not in data


@pytest.mark.parametrize(
    ("licence", "known"), [("Apache-2.0", "apache-2.0"), ("MIT", "mit"), ("mit", "mit")]
)
def test_a_licence_that_the_hub_knows(licence: str, known: str) -> None:
    data = data_of(header(licence, in_pytorch=False) + "\n")
    assert (data["license"], "license_name" in data) == (known, False)


def test_the_whole_text() -> None:
    card = {"trained_on": "quadratic", "recipe": {"steps": 4}, "note": "By hand."}
    text = readme(NAME, CONTENTS, described(card), "MIT")
    assert (
        text
        == f"""---
library_name: metadescent
license: mit
tags:
- learned-optimizer
- meta-learning
- jax
- pytorch
---

# mine

A learned optimizer for metadescent: `lstm(layers=(2,))`, of which φ has 12 numbers.

| | |
|---|---|
| trained on | `quadratic`, 4 steps |

By hand.

## Load it

    pip install 'metadescent[hub]'

```python
optimizer = metadescent.load("hf://ada/mine").as_optax()
```

In PyTorch:

```python
optimizer = metadescent.torch.LearnedOptimizer(model.parameters(), "hf://ada/mine")
```

`hf://ada/mine` is the newest commit. With a commit of this repository behind it, \
`hf://ada/mine@COMMIT`, it is the same file always. Loading it checks the file's own checksum, and \
runs no code from this repository.

The SHA-256 of `optimizer.safetensors`, which has 345 bytes, is

    {"ab" * 32}

`metadescent inspect hf://ada/mine` shows φ, and all that the file says of itself.
"""
    )


@pytest.mark.parametrize("name", zoo.names())
def test_a_budget_is_that_of_the_card(name: str) -> None:
    (summary, *_) = tables(zoo.card(name))
    told = training_taken(read_card(zoo.path(name))), dict(row[:2] for row in summary)["budget"]
    # Older cards have every time in minutes.
    mine, theirs = (re.sub(r", \d+ (seconds|minutes)", "", text) for text in told)
    assert mine == theirs != ""


@pytest.mark.parametrize("name", zoo.names())
def test_what_is_described_is_what_the_file_says(name: str) -> None:
    made = read_card(zoo.path(name))
    (rows,) = tables(described(made))
    told = {fact: text for fact, text in rows if fact}
    assert told["trained on"] == f"`{made['trained_on']}`, {made['recipe']['steps']} steps"
    assert float(told["validation loss"].split(",")[0]) == float(
        f"{made['validation']['loss']:.4g}"
    )
    assert told["seed"] == str(made["seed"])
    assert told["version of metadescent"] == made["version"]


def test_what_was_not_trained_is_not_said_to_be() -> None:
    card = {"chosen_on": "f.py:f", "validation": {"loss": 0.9}, "recipe": {"seed": 0}}
    text = described(card)
    assert "nothing: it is as it begins, chosen on `f.py:f`" in text
    assert "validation" not in text


def test_a_score_by_levels_is_no_loss() -> None:
    card = {"trained_on": "f", "validation": {"loss": 0.9}, "recipe": {"levels": "0.5@10"}}
    assert "validation" not in described(card)


words = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)
KEYS = ("trained_on", "chosen_on", "recipe", "budget", "before", "validation", "seed", "hardware")


@given(st.dictionaries(st.sampled_from(KEYS), words))
def test_whatever_a_file_says_the_text_has_its_header_and_its_rows(card: dict[str, Any]) -> None:
    text = readme(NAME, CONTENTS, described(card), "")
    assert data_of(text)["library_name"] == "metadescent"
    for row in described(card).splitlines():
        assert row == "|---|---|" or (row.startswith("| ") and row.endswith(" |"))
        # The cells are two, whatever stands in them.
        assert len(re.findall(r"(?<!\\)\|", row)) == 3
