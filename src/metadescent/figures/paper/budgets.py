"""Budgets: how many problems, and how many of the paper's steps, an experiment may take."""

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
"""What f is; a budget has its own numbers for each."""


class Seeds(NamedTuple):
    """Fresh problems that results are averaged over, and those, if any, that rates are tuned on."""

    report: int
    tune: int


class Budget(NamedTuple):
    """Seeds for each kind of f, and the part of the paper's number of steps that is run."""

    functions: Seeds  # small and in closed form
    networks: Seeds
    sweeps: Seeds  # many networks, some of them large
    convolutions: Seeds
    pictures: Seeds  # neural art
    large_pictures: Seeds  # a gradient takes some times as long,
    huge_pictures: Seeds  # a dozen times,
    vast_pictures: Seeds  # some dozen times
    horizon: float = 1.0
    judged: bool = True

    def seeds(self, kind: Kind) -> Seeds:
        """Return the seeds for one kind of f."""
        return getattr(self, kind)

    def steps(self, of: int) -> int:
        """Return how many of the paper's steps to run."""
        # An even number, as some panels show the second half of their steps.
        return max(2, 2 * round(of * self.horizon / 2))


# smoke: to see that everything runs, with nothing tuned, so it tells nothing of the paper; cpu:
# minutes; paper: narrow intervals.
BUDGETS = {
    "smoke": Budget(*[Seeds(2, 0)] * 6, *[Seeds(1, 0)] * 2, horizon=0.04, judged=False),
    "cpu": Budget(
        # Baselines are tuned on more functions than they report on: a rate that makes one function
        # in a thousand diverge must be seen to do so before it is chosen.
        functions=Seeds(1024, 4096),
        networks=Seeds(64, 32),
        sweeps=Seeds(32, 16),
        convolutions=Seeds(8, 2),
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
    """Return the budget of a name, or raise a UserError where there is none."""
    return look_up(name, BUDGETS, "budget")
