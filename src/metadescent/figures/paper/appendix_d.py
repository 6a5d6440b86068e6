"""Appendix D: optimizers whose coordinates communicate, beside the LSTM whose do not.

The paper describes LSTM+GAC, NTM-BFGS and NTM-L-BFGS and gives no figures, so these are the first:

    quadratic       ‖Wθ − y‖² with Gaussian W and y, 10 dimensions (section 3.1)
    rotated-10, -20 quadratics of condition number 1000 in 10 and 20 dimensions, at random angles,
                    where no rule that treats the coordinates alone can undo it
    logistic        logistic regression on the 8×8 digits, all of them in each gradient; with the
                    optimizers that were meta-trained on rotated quadratics in 10 dimensions
    mnist           the MLP of section 3.2, whose 15,910 coordinates NTM-BFGS refuses

*Broyden* is NTM-BFGS on secants before it has learned anything, with `secants=1.0` and no output of
its LSTM: Broyden's second method with the same safeguards, written down by hand. What the learned
one has below it was learned.

Baselines are tuned for each panel's own problem and horizon. L-BFGS is charged for every gradient
that its line search takes, and left out where minibatches make a line search pointless; it is no
rival in the claims on first-order baselines. On 20 dimensions nothing was meta-trained: the
optimizers are those of 10.

The claims are ours. They are judged by the loss after the last step: that of the best of the three
is to be at most a tenth of the LSTM's, and of the best first-order baseline's, on rotated
quadratics, and at most three tenths of the LSTM's on Gaussian ones, with 95 % intervals that do not
touch. What a step costs stands in each panel's table.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import jax

from metadescent.descent.baselines import STANDARD
from metadescent.descent.comparison import Comparison, problem_keys
from metadescent.descent.tuning_cache import Progress
from metadescent.figures.curves import Panel, draw_curves
from metadescent.figures.paper import Claim, Load, Reproduction, budget_of
from metadescent.figures.paper.costs import with_costs
from metadescent.figures.paper.judge import Score, ahead, score, what
from metadescent.figures.paper.panels import BASELINES, Setting, run
from metadescent.optimizers.appendix_d.ntm_bfgs import NTMBFGS
from metadescent.registry import make_problem

if TYPE_CHECKING:
    import matplotlib.figure

FIGURE = "appendix-d"
KINDS = {"lstm": "LSTM", "gac": "LSTM+GAC", "ntm-bfgs": "NTM-BFGS", "ntm-l-bfgs": "NTM-L-BFGS"}
SEARCHING = (*BASELINES, "lbfgs")
BROYDEN = "broyden"
GAMMA = {"quadratic": 0.0125}
"""M_0 = γ I of the optimizers with a memory, in the panels where γ is not 1."""

ROTATED, GAUSSIAN = 0.1, 0.3
"""Margins of the claims on rotated and on Gaussian quadratics."""


def _setting(
    problem: str,
    trained_on: str,
    title: str,
    *,
    kinds: tuple[str, ...] = tuple(KINDS),
    networks: bool = False,
    exact: bool = True,
) -> Setting:
    """Return the setting of optimizers that were trained on one problem; the LSTM leads.

    Where f is not exact, a minibatch at a time, neither Broyden's method nor L-BFGS is run.
    """
    lstm, *beside = (f"{trained_on}-{kind}" for kind in kinds)
    seeds, label = ("sweeps", "Loss (nats)") if networks else ("functions", "Loss")
    by_hand = [BROYDEN] if exact else []
    baselines = SEARCHING if exact else BASELINES
    return Setting(problem, lstm, 100, seeds, title, label, baselines, (*beside, *by_hand))


SETTINGS = {
    "quadratic": _setting("quadratic", "quadratic", "Quadratics, Gaussian W and y"),
    "rotated-10": _setting(
        "ill-conditioned(condition=1000.0)",
        "ill-conditioned",
        "Rotated quadratics, 10 dimensions",
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
        "mnist",
        "mnist",
        "MNIST",
        kinds=("lstm", "gac", "ntm-l-bfgs"),
        networks=True,
        exact=False,
    ),
}

OPTIMIZERS = tuple(
    dict.fromkeys(
        name
        for setting in SETTINGS.values()
        for name in (setting.optimizer, *setting.beside)
        if name != BROYDEN
    )
)
UNITS = sum(setting.reports + 1 for setting in SETTINGS.values())


def reproduce(
    budget: str = "cpu",
    *,
    load: Load,
    data_dir: str | Path | None = None,
    seed: int = 0,
    cache: Path | None = None,
    progress: Progress = lambda _: None,
) -> Reproduction:
    """Run every panel, time its optimizers, and judge our claims.

    Arguments:
        budget: "smoke", "cpu" or "paper".
        load: returns an optimizer by name; it is asked for each of `OPTIMIZERS` once.
        data_dir: the folder that holds MNIST, if not the usual one.
        seed: draws the problems, and those that baselines are tuned on.
        cache: folder where the tuned rates are kept and looked up; none if not given.
        progress: is told what is going on.

    Raises:
        UserError: if there is no such budget, or data is missing.

    Source: appendix D.
    """
    effort = budget_of(budget)
    learned = {name: load(name) for name in OPTIMIZERS}
    panels: dict[str, Comparison] = {}
    for name, setting in SETTINGS.items():
        rules = learned | {BROYDEN: broyden(GAMMA.get(name, 1.0))}
        found = run(
            {name: setting},
            rules,
            effort,
            data_dir=data_dir,
            seed=seed,
            cache=cache,
            progress=progress,
        )
        problem, (_, key) = make_problem(setting.problem, data_dir), problem_keys(seed)
        panels[name] = with_costs(found[name], rules, problem, key)
        progress(f"{name}: timed")
        # As in figure 6: all programs together have more memory maps than Linux gives a process.
        jax.clear_caches()
    return Reproduction(FIGURE, panels, judge(panels), lambda: plot(panels))


def broyden(gamma: float) -> NTMBFGS:
    """Return Broyden's second method: NTM-BFGS on secants whose LSTM has no say.

    Example:
        >>> import jax.numpy as jnp
        >>> m = broyden(0.5)
        >>> g, _ = m.update(jnp.asarray([1.0, 2.0]), m.init(jnp.zeros(2)))
        >>> g.tolist()
        [-0.5, -1.0]
    """
    key = jax.random.key(0)
    return NTMBFGS((1,), 0, 16.0, 0.0, writes=1, gamma=gamma, secants=1.0, key=key)


def judge(panels: Mapping[str, Comparison]) -> list[Claim]:
    """Return what we claim of appendix D, judged on measured panels.

    The final loss is that of the last step, as f is exact. Curves that are not finite never support
    a claim.
    """
    over = "rotated quadratics of condition number 1000 in"
    return [
        *_claims(f"{over} 10 dimensions", panels["rotated-10"], SETTINGS["rotated-10"]),
        *_claims(f"{over} 20 dimensions", panels["rotated-20"], SETTINGS["rotated-20"]),
        _beside_the_lstm(
            "Gaussian quadratics", panels["quadratic"], SETTINGS["quadratic"], GAUSSIAN
        ),
    ]


def plot(panels: Mapping[str, Comparison]) -> "matplotlib.figure.Figure":
    """Draw all panels."""
    return draw_curves(
        [
            Panel(
                panels[name].curves,
                title=setting.title,
                y_label=setting.y_label,
                labels={
                    learned: KINDS[kind]
                    for learned in (setting.optimizer, *setting.beside)
                    for kind in KINDS
                    if learned.endswith(f"-{kind}")
                }
                | {BROYDEN: "Broyden, not learned"},
            )
            for name, setting in SETTINGS.items()
        ]
    )


def _claims(where: str, panel: Comparison, setting: Setting) -> list[Claim]:
    rival, reference = _best(panel, STANDARD)
    against = f"that of the best first-order baseline, {rival}"
    return [
        _beside_the_lstm(where, panel, setting, ROTATED),
        _claim(where, panel, setting, against, reference, ROTATED),
    ]


def _beside_the_lstm(where: str, panel: Comparison, setting: Setting, margin: float) -> Claim:
    reference = score(panel.curves[setting.optimizer], 1)
    return _claim(where, panel, setting, "the LSTM's", reference, margin)


def _claim(
    where: str, panel: Comparison, setting: Setting, against: str, reference: Score, margin: float
) -> Claim:
    three = tuple(name for name in setting.beside if name != BROYDEN)
    best, measured = _best(panel, three)
    return Claim(
        f"{where}: {what(panel.steps, 1)}, that of the best of the three, {best}, against "
        f"{against}; holds if it is at most {margin:g} times as much and the 95 % intervals are "
        "apart",
        "ours",
        measured.value,
        reference.value,
        ahead(measured, reference, margin),
    )


def _best(panel: Comparison, names: tuple[str, ...]) -> tuple[str, Score]:
    """Return who has the least loss after the last step, among those for whom it is finite."""
    scores = {name: score(panel.curves[name], 1) for name in names}
    return min(
        scores.items(), key=lambda pair: pair[1].value if math.isfinite(pair[1].value) else math.inf
    )
