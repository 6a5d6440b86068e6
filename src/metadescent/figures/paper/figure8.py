"""Figure 8: neural art, against hand-designed optimizers.

The LSTM was meta-trained on photographs of 64 × 64 pixels in the style of The Starry Night. It
styles photographs that it was not trained on, beside baselines tuned for each panel: to the left in
the training style at the training resolution, to the right in another at twice the resolution.

The paper's words do not say how much is enough; this is ours:

    left     at most `MARGIN` times the best baseline's final loss, with intervals of the difference
             to each that did not diverge, over the same photographs, above zero; and less than
             every baseline's at each step from `FIRST` on
    right    no more than the best baseline's final loss

f draws no minibatch, so the final loss is that after the last step. L-BFGS is one of the baselines;
the paper has none. `figure8` is about features of SqueezeNet,
`figure8-vgg19` about those of VGG-19, with fewer photographs and an optimizer of its own.
"""

from metadescent.figures.paper.claims import Claim, lower_from, outperforms_in_pairs, within
from metadescent.figures.paper.experiment import Panels
from metadescent.figures.paper.styling import of_neural_art, setting

MARGIN = 0.95  # of the best baseline's final loss, to the left
FIRST = 20  # the step from which on the LSTM is to be below every baseline


def _judge(panels: Panels) -> list[Claim]:
    """Return what the paper claims about figure 8 in section 3.4."""
    left, right = panels["left"], panels["right"]
    outdone = '"the LSTM optimizer outperforms all standard optimizers"'
    well = '"it continues to perform very well when both the resolution and style are changed"'
    return [
        outperforms_in_pairs(outdone, "3.4", left, MARGIN),
        lower_from(outdone, "3.4", left, min(FIRST, left.steps)),
        within(well, "3.4", right, 1, margin=1.0),
    ]


_SQUEEZENET = {"left": setting("pictures"), "right": setting("large_pictures", "great_wave", 128)}
_VGG19 = {
    "left": setting("large_pictures", net="vgg19"),
    "right": setting("huge_pictures", "great_wave", 128, "vgg19"),
}
EXPERIMENTS = [
    of_neural_art("figure8", _SQUEEZENET, _judge),
    of_neural_art("figure8-vgg19", _VGG19, _judge),
]
