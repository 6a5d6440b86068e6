"""Figure 8 carried further: larger pictures and more styles than the paper has.

`neural-art-lstm` in the style of The Great Wave at 256 × 256 and 512 × 512, and at 64 × 64 in three
styles that are in no other panel. Photographs are enlarged where a panel's are larger. The claims
are ours: the final loss is at most `MARGIN` times the best baseline's, and the LSTM does not
diverge: at the end f is at most `RISE` times the least that it was on the way.
"""

import numpy as np

from metadescent.descent.comparison import Comparison
from metadescent.figures.paper.claims import Claim, learned_and_baselines, within
from metadescent.figures.paper.experiment import Panels
from metadescent.figures.paper.styling import of_neural_art, setting

MARGIN = 1.1  # times the best baseline's final loss
RISE = 1.1  # times the least loss on the way

SETTINGS = {
    "256": setting("huge_pictures", "great_wave", 256),
    "512": setting("vast_pictures", "great_wave", 512),
    "composition-vii": setting("large_pictures", "composition_vii"),
    "the-scream": setting("large_pictures", "the_scream"),
    "shipwreck": setting("large_pictures", "shipwreck_minotaur"),
}


def _judge(panels: Panels) -> list[Claim]:
    """Return what we claim of transfer."""
    return [
        claim
        for name, setting in SETTINGS.items()
        for claim in (
            within(setting.title, "ours", panels[name], 1, MARGIN),
            _settles(setting.title, panels[name]),
        )
    ]


def _settles(title: str, panel: Comparison) -> Claim:
    """Judge that the learned optimizer's loss does not rise again."""
    learned, _ = learned_and_baselines(panel)
    least = float(np.min(learned.mean))
    return Claim(
        f"{title}, no divergence: the LSTM's loss after step {panel.steps} against the least on "
        f"the way; holds if it is at most {RISE:g} times as much",
        "ours",
        learned.final,
        least,
        bool(np.isfinite(learned.mean).all() and learned.final <= RISE * least),
    )


EXPERIMENTS = [of_neural_art("figure8-transfer", SETTINGS, _judge)]
