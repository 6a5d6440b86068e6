"""All figures' criteria, fixed before anything is measured; `criterion` says how to read them.

docs/criteria.md has what changed since a criterion was first written down, and why.
"""

from metadescent.descent.baselines import STANDARD
from metadescent.descent.beginnings import as_begun
from metadescent.figures.paper.criterion import (
    BEGUN,
    LEADER,
    ONE,
    OURS,
    SCHEDULED,
    Criterion,
    Kind,
)
from metadescent.figures.paper.networks import (
    CARRIED,
    CASES,
    HIDDEN,
    LAYERS,
    LONG,
    SEEN,
    SIMILAR,
    UNSEEN,
    layers_of,
    panel_name,
)

SUBSTANTIAL = 0.8  # "substantially", "by a significant margin": as the paper's plots show
MUCH = {"cifar10": 0.95, "cifar5": 0.9, "cifar2": 0.9}  # "much more quickly"
PICTURES = 0.95  # "outperforms", where all are close
NO_WORSE = 1.05  # by more than a twentieth
ROUGHLY = 1.25  # "roughly equivalent": less than what sets SGD apart in the paper's figure 4
A_TENTH, A_FIFTH = 1.1, 1.2  # ours, of transfer
ROTATED, GAUSSIAN = 0.1, 0.3  # ours, of a memory on quadratics
OFTEN, SOMETIMES = 0.5, 0.01  # parts of the curves of figures 11 to 13
ADDED, A_LITTLE = 0.923, 0.97  # ours, of figure 7: exp(−0.08), and what a reader sees
BORDER, STYLE, CONTENT = 0.05, 0.25, 1.0  # ours, of every styled picture


def _learned(panels: tuple[str, ...], quantity: str = "tenth", mine: str = "") -> Criterion:
    """Return that training, and not the form of a rule, is behind what is seen in all panels.

    SGD is a second rival, as a rule behind SGD has not learned much.
    """
    says, who = "meta-training made the difference", (mine,) if mine else LEADER
    return Criterion("learned", says, OURS, panels, quantity, mine=who, others=(*BEGUN, "sgd"))


ALL = ("all",)  # the panel of a figure that has one
LEFT, UNIFORM, CENTER, RIGHT = ("left",), ("left-uniform",), ("center",), ("right",)
THREE = ("nag", "adam", "rmsprop")
_SUBSTANTIALLY = '"the learned optimizers substantially outperform the baselines"'
_SIGNIFICANT = '"the LSTM optimizer outperforms them by a significant margin"'
_EQUIVALENT = '"NAG, ADAM, and RMSprop exhibit roughly equivalent performance"'
_STANDARD = '"the LSTM optimizer outperforms standard methods training the base network on MNIST"'
_ON = '"the LSTM optimizer continues to outperform the baseline optimizers"'


def _equivalent(id: str, says: str, section: str, panel: str, three: tuple[str, ...]) -> Criterion:
    return Criterion(id, says, section, (panel,), "tenth", "equivalent", ROUGHLY, others=three)


def _substantially(entries: str, panel: tuple[str, ...]) -> Criterion:
    says = f"{_SUBSTANTIALLY} ({entries} W and y)"
    return Criterion(entries.lower(), says, "3.1", panel, "last", margin=SUBSTANTIAL)


_DECAY = "the same, where RMSprop's decay is 0.9"
_START = "the same, where θ₀ is drawn from N(0, 0.1²)"

FIGURE4 = (
    _substantially("Gaussian", LEFT),
    _substantially("uniform", UNIFORM),
    _equivalent("equivalent", _EQUIVALENT, "3.2", "center", THREE),
    _equivalent("equivalent-decay", _DECAY, OURS, "decay", ("nag", "adam", "rmsprop-0.9")),
    _equivalent("equivalent-start", _START, OURS, "start", THREE),
    Criterion("final", _SIGNIFICANT, "3.2", CENTER, "tenth", margin=SUBSTANTIAL),
    Criterion("sum", _SIGNIFICANT, "3.2", CENTER, "sum", margin=SUBSTANTIAL),
    Criterion("standard", _STANDARD, "figure 4", CENTER, "tenth"),
    Criterion("continues", _ON, "3.2", RIGHT, "second half"),
    _learned(LEFT + UNIFORM + CENTER + RIGHT),
)

_CONTINUES = (
    '"the LSTM optimizer generalizes well, and continues to outperform the hand-designed baselines '
    'despite operating outside of its training regime"'
)
_RELU = (
    '"changing the activation function to ReLU makes the dynamics of the learning procedure '
    'sufficiently different that the learned optimizer is no longer able to generalize"'
)

FIGURE5 = (
    *(
        Criterion(panel, f"{_CONTINUES} ({title})", "3.2", (panel,), "tenth")
        for panel, title in CARRIED.items()
    ),
    # "No longer": a rule that is behind in every panel never generalized.
    Criterion("relu", _RELU, "3.2", ("relu",), "tenth", "above one", given=("40-units",)),
    _learned(tuple(CARRIED)),
)

_BETTER = (
    '"in this setting where the test-set problems are similar enough to those in the training set '
    'we see even better generalization than the baseline optimizers"'
)


def _similar(id: str, layers: int, hidden: tuple[int, ...]) -> Criterion:
    *few, most = hidden
    where = f"{layers_of(layers)} of {', '.join(map(str, few))} and {most} units"
    panels = tuple(panel_name(layers, n) for n in hidden)
    return Criterion(id, f"{_BETTER} ({where})", "3.2", panels, "tenth")


# The paper does not say what is similar enough: within a factor of two, or all.
FIGURE6 = (
    _similar("similar", 1, SIMILAR),
    *(_similar(layers_of(layers).replace(" hidden ", "-"), layers, HIDDEN) for layers in LAYERS),
    _learned(tuple(panel_name(layers, n) for layers in LAYERS for n in HIDDEN)),
)

CIFAR10, SUB, PLAIN = "cifar10-blend", "cifar10-blend-sub", "cifar10-plain-lstm"
BLEND = (CIFAR10,)  # by its name, as it has no LSTM
TEN = ("cifar10",)
CIFAR = {"cifar10": "CIFAR-10", "cifar5": "CIFAR-5", "cifar2": "CIFAR-2"}
_QUICKLY = '"the LSTM optimizer learns much more quickly than the baseline optimizers"'
_BOOST = '"with significant boosts in performance for the CIFAR-5 and especially CIFAR-2 datasets"'
_TRANSFERS = '"transfers well to the additional dataset"'
_HARDLY = (
    '"the optimizers trained only on a disjoint subset of the data is hardly effected by this '
    'difference"'
)


def _quickly(name: str) -> tuple[Criterion, ...]:
    panel, title = (name,), CIFAR[name]
    way, unseen = f"{title}, all the way", f"{title}, held-out images, all the way"
    return (
        Criterion(
            *(name, f"{_QUICKLY} ({title})", "3.3", panel, "tenth", "below each", MUCH[name], BLEND)
        ),
        Criterion(f"{name}-sum", f"{_QUICKLY} ({way})", "3.3", panel, "sum", mine=BLEND),
        Criterion(
            f"{name}-held-out", f"{_QUICKLY} ({unseen})", "3.3", panel, "held out", mine=BLEND
        ),
    )


def _boost(small: str, large: str) -> Criterion:
    says, panels = f"{_BOOST} ({CIFAR[small]} beside {CIFAR[large]})", (small, large)
    # A boost is one of a lead.
    name, given = f"boost-{small}", (small,)
    return Criterion(name, says, "3.3", panels, "tenth", "larger lead", mine=BLEND, given=given)


def _sub(name: str) -> tuple[Criterion, ...]:
    """Return the claims about LSTM-sub, which begins with the leader's φ."""
    panel, title, mine = (name,), f"({CIFAR[name]}, LSTM-sub)", (SUB,)
    needs = f"{name}-sub-transfers", f"{name}-sub-learned"
    says = f"meta-training made the difference {title}"
    begun = (as_begun(CIFAR10), "sgd")
    return (
        Criterion(needs[0], f"{_TRANSFERS} {title}", "3.3", panel, "tenth", mine=mine),
        Criterion(needs[1], says, OURS, panel, "tenth", mine=mine, others=begun),
        Criterion(
            *(f"{name}-sub", f"{_HARDLY} {title}", "3.3", panel, "tenth", "below each", NO_WORSE),
            *(mine, BLEND, needs),
        ),
    )


_COSINE = "ahead of NAG and AdamW, each with a tuned rate that goes down by a cosine"
_ALL_THE_WAY = "meta-training made the difference, all the way"
_PLAIN = "the paper's recipe, two LSTMs learned by unrolls of 20 steps, is ahead of tuned rates"

FIGURE7 = (
    *_quickly("cifar10"),
    *_quickly("cifar5"),
    *_quickly("cifar2"),
    _boost("cifar5", "cifar10"),
    _boost("cifar2", "cifar5"),
    *_sub("cifar5"),
    *_sub("cifar2"),
    _learned(tuple(CIFAR), mine=CIFAR10),
    Criterion(
        *("adds", _ALL_THE_WAY, OURS, TEN, "log", "below each", ADDED, BLEND, (*BEGUN, "sgd"))
    ),
    Criterion(*("cosine", _COSINE, OURS, TEN, "tenth", "below each", A_LITTLE, BLEND, SCHEDULED)),
    Criterion("plain", _PLAIN, OURS, TEN, "tenth", mine=(PLAIN,)),
)

_OUTDONE = '"the LSTM optimizer outperforms all standard optimizers"'
_WELL = '"it continues to perform very well when both the resolution and style are changed"'

FIGURE8 = (
    Criterion("left", _OUTDONE, "3.4", LEFT, "last", margin=PICTURES),
    Criterion("left-from-20", _OUTDONE, "3.4", LEFT, "from 20"),
    Criterion("right", _WELL, "3.4", RIGHT, "last", margin=NO_WORSE),
    _learned(LEFT + RIGHT, "last"),
)

FURTHER = {
    "256": "The Great Wave, 256 × 256",
    "512": "The Great Wave, 512 × 512",
    "composition-vii": "Composition VII, 64 × 64",
    "the-scream": "The Scream, 64 × 64",
    "shipwreck": "Shipwreck, 64 × 64",
}


def _further(name: str, title: str) -> tuple[Criterion, ...]:
    panel, says, id = (name,), f"{title}, no divergence", f"{name}-settles"
    return (
        Criterion(name, title, OURS, panel, "last", margin=A_TENTH),
        Criterion(id, says, OURS, panel, "last", "settles", A_TENTH),
    )


FIGURE8_TRANSFER = (
    *(criterion for item in FURTHER.items() for criterion in _further(*item)),
    _learned(tuple(FURTHER), "last"),
)

SIZES = (64, 128)
FINITE, AT_THE_BORDER = "share of finite values", "share of values beyond black and white at border"
STYLE_LEFT, CONTENT_LEFT = "L_style ÷ the photograph's", "L_content"
F = "f after the last step"


def _styled(size: int) -> tuple[Criterion, ...]:
    panel, what = (str(size),), f"styled pictures of {size} × {size}"

    def criterion(id: str, says: str, quantity: str, kind: Kind, margin: float) -> Criterion:
        text = f"{what} {says}"
        return Criterion(f"{size}-{id}", text, OURS, panel, quantity, kind, margin, others=ONE)

    return (
        criterion("finite", "have no NaN", FINITE, "all at least", 1.0),
        criterion("border", "have no saturated borders", AT_THE_BORDER, "below each", BORDER),
        criterion("style", "show the style", STYLE_LEFT, "all below", STYLE),
        # 1 is where the network sees nothing.
        criterion("content", "show the content", CONTENT_LEFT, "all below", CONTENT),
        # Nothing hand-designed paints here.
        _learned(panel, F)._replace(
            id=f"{size}-learned", says=f"{what}: training paid", others=BEGUN
        ),
    )


FIGURE9 = tuple(criterion for size in SIZES for criterion in _styled(size))

SIZE, CARRY = "mean of |g|", "share of updates against the gradient before"
TIME_SCALE = "steps in which the autocorrelation of updates falls to 1/e"
_BIGGER = '"the trained optimizer makes bigger updates than SGD and ADAM"'
_MOMENTUM = '"it uses some kind of momentum"'
_SHORTER = (
    '"its updates are more noisy than those proposed by ADAM which may be interpreted as having a '
    'shorter time-scale momentum"'
)

FIGURE10 = (
    _learned(ALL),
    # Updates that lead nowhere may be of any size: "the trained optimizer" is meant.
    Criterion(
        *("bigger", _BIGGER, "B", ALL, SIZE, "above each", 1.0, LEADER, ("sgd", "adam")),
        given=("learned",),
    ),
    # SGD has no momentum: its share is that of gradients that keep their sign.
    Criterion("momentum", _MOMENTUM, "B", ALL, CARRY, "above each", others=("sgd",)),
    Criterion("shorter", _SHORTER, "B", ALL, TIME_SCALE, others=("adam",), given=("momentum",)),
)

STEPS, OWN_WAY = "share of curves that are steps", "share of curves that are steps against Adam's"
_OFTEN = '"the shape of this function for the LSTM optimizer is often step-like"'
_ALSO = '"which is also the case for ADAM"'
_WAY = '"surprisingly the step is sometimes in the opposite direction as for ADAM"'

FIGURES_11_TO_13 = (
    Criterion("step-like", _OFTEN, "B", ALL, STEPS, "above each", OFTEN, others=ONE),
    Criterion("adam", _ALSO, "B", ALL, STEPS, "above each", OFTEN, ("adam",), ONE),
    Criterion(
        *("opposite", _WAY, "B", ALL, OWN_WAY, "above each", SOMETIMES, LEADER, ONE),
        given=("step-like",),
    ),
)


def _carries(problem: str, steps: int) -> Criterion:
    panel = f"{problem}-{steps}"
    says = f"mlp-robust-lstm, {(SEEN | UNSEEN)[problem]}, {steps:,} steps"
    margin = A_FIFTH if (problem, steps) == LONG else NO_WORSE if problem in SEEN else A_TENTH
    return Criterion(panel, says, OURS, (panel,), "tenth", margin=margin)


TRANSFER = (
    *(_carries(*case) for case in CASES),
    _learned(tuple(f"{problem}-{steps}" for problem, steps in CASES)),
)

_BEST = "the best of LSTM+GAC, NTM-BFGS and NTM-L-BFGS"


def _memory(
    panel: str, where: str, trained_on: str, margin: float, others: tuple[str, ...] = ()
) -> Criterion:
    lstm, beside = (f"{trained_on}-lstm",), "first-order baselines" if others else "the LSTM"
    mine = tuple(f"{trained_on}-{memory}" for memory in ("gac", "ntm-bfgs", "ntm-l-bfgs"))
    return Criterion(
        *(f"{panel}-{'baselines' if others else 'lstm'}", f"{where}: {_BEST} beside {beside}"),
        *(OURS, (panel,), "last", "below each", margin, mine, others or lstm),
    )


_10, _20 = (f"rotated quadratics of condition number 1000 in {n} dimensions" for n in (10, 20))

APPENDIX_D = (
    _memory("rotated-10", _10, "ill-conditioned", ROTATED),
    _memory("rotated-10", _10, "ill-conditioned", ROTATED, STANDARD),
    _memory("rotated-20", _20, "ill-conditioned", ROTATED),
    _memory("rotated-20", _20, "ill-conditioned", ROTATED, STANDARD),
    _memory("quadratic", "Gaussian quadratics", "quadratic", GAUSSIAN),
    _learned(("rotated-10", "rotated-20"), "last", "ill-conditioned-ntm-bfgs"),
)

CRITERIA = {
    **{"figure4": FIGURE4, "figure5": FIGURE5, "figure6": FIGURE6, "figure7": FIGURE7},
    **dict.fromkeys(("figure8", "figure8-vgg19"), FIGURE8),
    "figure8-transfer": FIGURE8_TRANSFER,
    **dict.fromkeys(("figure9", "figure9-vgg19"), FIGURE9),
    "figure10": FIGURE10,
    **dict.fromkeys(("figure11", "figure12", "figure13"), FIGURES_11_TO_13),
    "transfer": TRANSFER,
    "appendix-d": APPENDIX_D,
}
