"""Figure 4: the learned optimizer against tuned hand-designed ones, where it was trained.

What the paper shows, with the levels read off its plots (± 15 %):

    left     ‖Wθ − y‖², 10 dimensions (section 3.1). At step 100: LSTM .04, Adam .05, RMSprop .06,
             NAG .085, SGD .2.
    center   an MLP 784-20-10 on MNIST (section 3.2). At step 100: LSTM .25; Adam, RMSprop and NAG
             .33; SGD .45.
    right    on for another 100 steps. At step 200: LSTM .22; Adam, RMSprop and NAG .28; SGD .33.

The text draws W and y from a Gaussian, but the levels of the left plot are those of the uniform
entries of the authors' code. Panel "left" follows the text, "left-uniform" the code.

To outperform "substantially" or "by a significant margin" is taken to mean at most 0.8 times the
loss of each baseline, as in the plots (.04 to .05, .25 to .33). Panels "decay" and "start" are
controls that are not drawn. They show what "roughly equivalent" depends on: RMSprop's decay, and
the scale of θ₀, which the paper does not give. Baselines are tuned for the horizon that they are
run for.
"""

from metadescent.figures.paper.criteria import CRITERIA
from metadescent.figures.paper.panels import LearningCurves, Setting

SETTINGS = {
    "left": Setting(
        "quadratic", "quadratic-lstm", 100, "functions", "Quadratics, Gaussian W and y", "Loss"
    ),
    "left-uniform": Setting(
        "quadratic-uniform",
        "quadratic-uniform-lstm",
        100,
        "functions",
        "Quadratics, uniform W and y",
        "Loss",
    ),
    "center": Setting("mnist", "mnist-lstm", 100, "networks", "MNIST", "Loss (nats)"),
    "right": Setting(
        "mnist",
        "mnist-lstm",
        200,
        "networks",
        "MNIST, beyond the training horizon",
        "Loss (nats)",
        second_half=True,  # as in the paper
    ),
}
SETTINGS["decay"] = SETTINGS["center"]._replace(
    optimizer="", baselines=("nag", "adam", "rmsprop-0.9"), drawn=False
)
SETTINGS["start"] = SETTINGS["center"]._replace(
    problem="mnist(theta_std=0.1)",
    optimizer="",
    baselines=("nag", "adam", "rmsprop"),
    drawn=False,
)
EXPERIMENTS = [LearningCurves("figure4", SETTINGS, CRITERIA["figure4"])]
