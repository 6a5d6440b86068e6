"""Appendix D: optimizers whose coordinates communicate, beside the LSTM whose do not.

The paper describes LSTM+GAC, NTM-BFGS and NTM-L-BFGS and gives no figures, so these are the first:

    quadratic       ‖Wθ − y‖² with Gaussian W and y, 10 dimensions (section 3.1)
    rotated-10, -20 quadratics of condition number 1000 at random angles, where no rule that treats
                    the coordinates alone can undo it; meta-trained in 10 dimensions
    logistic        logistic regression on all the 8×8 digits, by the optimizers of rotated-10
    mnist           the MLP of section 3.2, whose 15,910 coordinates NTM-BFGS refuses

*Broyden* is NTM-BFGS on secants, written by hand and untrained: if the learned rule ends lower,
training made the difference. For L-BFGS every gradient of its line search counts. It is left out of
the claims on first-order baselines.

The claims are ours. As f is exact, they are judged by the loss after the last step. On rotated
quadratics one of the three has at most a tenth of the LSTM's loss, and of each first-order
baseline's. On Gaussian quadratics one has at most three tenths of the LSTM's.
"""

from functools import partial

import jax

from metadescent.descent.baselines import STANDARD
from metadescent.figures.paper.criteria import CRITERIA
from metadescent.figures.paper.panels import LearningCurves, Setting
from metadescent.optimizers.appendix_d.ntm_bfgs import NTMBFGS

KINDS = {"lstm": "LSTM", "gac": "LSTM+GAC", "ntm-bfgs": "NTM-BFGS", "ntm-l-bfgs": "NTM-L-BFGS"}
BROYDEN = "broyden"


def broyden(gamma: float) -> NTMBFGS:
    """Return Broyden's second method: NTM-BFGS on secants without its LSTM's part; M_0 = γ I."""
    key = jax.random.key(0)
    return NTMBFGS((1,), 0, 16.0, 0.0, writes=1, gamma=gamma, secants=1.0, key=key)


def _setting(
    problem: str,
    trained_on: str,
    title: str,
    *,
    kinds: tuple[str, ...] = tuple(KINDS),
    networks: bool = False,
    exact: bool = True,
    gamma: float = 1.0,
) -> Setting:
    """Return the setting of optimizers that were trained on one problem; the LSTM leads."""
    lstm, *beside = (f"{trained_on}-{kind}" for kind in kinds)
    seeds, label = ("sweeps", "Loss (nats)") if networks else ("functions", "Loss")
    return Setting(
        problem,
        lstm,
        100,
        seeds,
        title,
        label,
        # With minibatches neither a line search nor Broyden's method works.
        (*STANDARD, "lbfgs") if exact else STANDARD,
        tuple(beside),
        by_hand={BROYDEN: partial(broyden, gamma)} if exact else {},
        timed=True,
    )


SETTINGS = {
    "quadratic": _setting("quadratic", "quadratic", "Quadratics, Gaussian W and y", gamma=0.0125),
    "rotated-10": _setting(
        "ill-conditioned(condition=1000.0)", "ill-conditioned", "Rotated quadratics, 10 dimensions"
    ),
    "rotated-20": _setting(
        "ill-conditioned(condition=1000.0, dimension=20)",
        "ill-conditioned",
        "Rotated quadratics, 20 dimensions",
    ),
    "logistic": _setting(
        "digits-logistic(batch_size=0)",
        "ill-conditioned",
        "Logistic regression on digits",
        networks=True,
    ),
    "mnist": _setting(
        "mnist", "mnist", "MNIST", kinds=("lstm", "gac", "ntm-l-bfgs"), networks=True, exact=False
    ),
}


LABELS = {
    name: KINDS[kind]
    for setting in SETTINGS.values()
    for name in setting.learned
    for kind in KINDS
    if name.endswith(f"-{kind}")
} | {BROYDEN: "Broyden, not learned"}
EXPERIMENTS = [
    LearningCurves("appendix-d", SETTINGS, CRITERIA["appendix-d"], labels=LABELS, one_by_one=True)
]
