"""`inspect`: φ, and what the file says."""

import json
from collections.abc import Callable
from pathlib import Path

import jax

from metadescent.optimizers.lstm import LSTM
from metadescent.zoo.cards import read_card


def test_inspect_shows_phi_and_what_the_file_says(
    save: Callable, metadescent: Callable, tmp_path: Path
) -> None:
    path = save(tmp_path / "m.safetensors", trained_on="quadratic", seed=17)
    status, out, _ = metadescent("inspect", str(path))
    assert status == 0
    count = sum(leaf.size for leaf in jax.tree.leaves(LSTM((4,), p=None, key=jax.random.key(0))))
    assert f"{count:,} parameters" in out
    card = json.loads(out[out.index("{") :])
    assert card == read_card(path)
    assert card["seed"] == 17
