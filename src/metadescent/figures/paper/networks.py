"""The networks on MNIST for figures 5, 6 and `transfer`, by their panels."""

CARRIED = {
    "40-units": "40 hidden units",
    "40-units-200": "40 hidden units, twice the steps",
    "2-layers": "2 hidden layers",
}
"""The networks of figure 5 to which the paper's optimizer generalizes."""

LAYERS, HIDDEN = (1, 2, 3), (5, 10, 20, 40, 80, 160)
TRAINED_ON = 20  # hidden units, in one layer
SIMILAR = tuple(n for n in HIDDEN if TRAINED_ON <= 2 * n <= 4 * TRAINED_ON)

SEEN = {
    "mnist": "20 sigmoid units",
    "mnist-40": "40 sigmoid units",
    "mnist-2-layers": "2 layers",
    "mnist-relu": "20 ReLU units",
}
UNSEEN = {
    "mnist-tanh": "20 tanh units",
    "mnist-elu": "20 ELU units",
    "mnist-3-layers": "3 layers",
    "mnist-160": "160 sigmoid units",
}
HORIZONS, LONG = (100, 1000), ("mnist", 10_000)
# The problem and the horizon of every panel.
CASES = (*((problem, steps) for steps in HORIZONS for problem in SEEN | UNSEEN), LONG)


def layers_of(count: int) -> str:
    """Return a number of hidden layers in words."""
    return f"{count} hidden layer{'s' if count > 1 else ''}"


def panel_name(layers: int, hidden: int) -> str:
    """Return the name of the panel of figure 6 with these layers and units."""
    return f"{layers_of(layers).replace(' hidden ', '-')}-{hidden}-units"
