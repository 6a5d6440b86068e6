"""Figure 8: neural art, against hand-designed optimizers.

The LSTM was meta-trained on photographs of 64 × 64 pixels in the style of The Starry Night. It
styles other photographs, and is compared with baselines tuned for each panel: on the left in the
training style at the training resolution, on the right in another style at twice the resolution.

The paper does not say how much is enough; these margins are ours, on the same photographs:

    left     at most 0.95 times each baseline's final loss, and less than each baseline's loss at
             each step from 20 on
    right    no worse than each baseline: at most 1.05 times its final loss

f draws no minibatch, so the final loss is that after the last step. L-BFGS is one of the baselines,
unlike in the paper. `figure8` is about features of SqueezeNet, `figure8-vgg19` about those of
VGG-19, with fewer photographs and an optimizer of its own.
"""

from metadescent.figures.paper.criteria import CRITERIA
from metadescent.figures.paper.styling import of_neural_art, setting

_SQUEEZENET = {"left": setting("pictures"), "right": setting("large_pictures", "great_wave", 128)}
_VGG19 = {
    "left": setting("large_pictures", net="vgg19"),
    "right": setting("huge_pictures", "great_wave", 128, "vgg19"),
}
EXPERIMENTS = [
    of_neural_art("figure8", _SQUEEZENET, CRITERIA["figure8"]),
    of_neural_art("figure8-vgg19", _VGG19, CRITERIA["figure8-vgg19"]),
]
