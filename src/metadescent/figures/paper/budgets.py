"""Budgets: how many problems, and how many of the paper's steps, an experiment takes."""

from typing import Literal, NamedTuple

from metadescent._names import look_up

Kind = Literal[
    "functions",
    "networks",
    "sweeps",
    "convolutions",
    "pictures",
    "large_pictures",
    "huge_pictures",
    "vast_pictures",
]
"""Kinds of f; a budget has numbers for each."""


class Seeds(NamedTuple):
    """The numbers of fresh problems for results, and for tuning rates, if rates are tuned."""

    report: int
    tune: int


class Budget(NamedTuple):
    """Seeds for each kind of f, and the share of the paper's steps that is run."""

    functions: Seeds  # small and in closed form
    networks: Seeds
    sweeps: Seeds  # many networks, some of which are large
    convolutions: Seeds
    pictures: Seeds  # neural art
    large_pictures: Seeds  # a gradient takes several times as long,
    huge_pictures: Seeds  # a dozen times,
    vast_pictures: Seeds  # some dozen times
    horizon: float = 1.0
    judged: bool = True

    def seeds(self, kind: Kind) -> Seeds:
        """Return the seeds for a kind of f."""
        return getattr(self, kind)

    def steps(self, of: int) -> int:
        """Return how many steps to run, given the paper's number."""
        # An even number, because some panels show the second half of their steps.
        return max(2, 2 * round(of * self.horizon / 2))


# smoke shows that everything runs; nothing is tuned, so it says nothing about the paper. cpu takes
# minutes. paper has narrow intervals.
BUDGETS = {
    "smoke": Budget(*[Seeds(2, 0)] * 6, *[Seeds(1, 0)] * 2, horizon=0.04, judged=False),
    "cpu": Budget(
        # Baselines are tuned on more functions than they report on, so that no rate is chosen that
        # makes one function in a thousand diverge.
        functions=Seeds(1024, 4096),
        networks=Seeds(64, 32),
        sweeps=Seeds(32, 16),
        convolutions=Seeds(16, 2),
        pictures=Seeds(100, 20),
        large_pictures=Seeds(16, 8),
        huge_pictures=Seeds(4, 2),
        vast_pictures=Seeds(2, 1),
    ),
    "paper": Budget(
        functions=Seeds(4096, 16384),
        networks=Seeds(256, 64),
        sweeps=Seeds(96, 64),
        convolutions=Seeds(32, 8),
        pictures=Seeds(100, 20),
        large_pictures=Seeds(100, 20),
        huge_pictures=Seeds(20, 8),
        vast_pictures=Seeds(8, 4),
    ),
}


def budget_of(name: str) -> Budget:
    """Return the budget of a name; raise a UserError if there is none."""
    return look_up(name, BUDGETS, "budget")
