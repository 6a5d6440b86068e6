"""Figure 8 carried further: larger pictures and more styles than the paper has.

`neural-art-lstm` runs in the style of The Great Wave at 256 × 256 and 512 × 512, and at 64 × 64 in
three styles that are in no other panel. Photographs are enlarged for larger panels. The claims are
ours: the final loss is at most 1.1 times each baseline's, and the LSTM does not diverge. It does
not diverge if, on each photograph, f at the end is at most 1.1 times its lowest value in the run.
"""

from metadescent.figures.paper.criteria import CRITERIA
from metadescent.figures.paper.styling import of_neural_art, setting

SETTINGS = {
    "256": setting("huge_pictures", "great_wave", 256),
    "512": setting("vast_pictures", "great_wave", 512),
    "composition-vii": setting("large_pictures", "composition_vii"),
    "the-scream": setting("large_pictures", "the_scream"),
    "shipwreck": setting("large_pictures", "shipwreck_minotaur"),
}
EXPERIMENTS = [of_neural_art("figure8-transfer", SETTINGS, CRITERIA["figure8-transfer"])]
