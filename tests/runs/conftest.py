"""What several tests of runs share; nothing here may import metadescent before a test does."""

import pytest

QUADRATIC = "quadratic(dimension=2)"


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Return a recipe's finished run on a small quadratic: its folder, and what it yielded.

    It is trained the first time that it is asked for, which compiles the programs of all runs of
    that recipe. Nobody may write to its folder.
    """
    from metadescent.registry import make_problem
    from metadescent.runs.plan import plan_of
    from metadescent.runs.training import train

    runs = {}

    def of(recipe):
        if recipe not in runs:
            folder = tmp_path_factory.mktemp("trained")
            run = train(folder, make_problem(QUADRATIC), QUADRATIC, plan_of(recipe))
            runs[recipe] = folder, list(run)
        return runs[recipe]

    return of


@pytest.fixture(scope="session")
def flags_of():
    """Return the flags with which `train` makes a recipe out of a problem's own."""
    from dataclasses import asdict, replace

    from metadescent.registry import recipe_of
    from metadescent.runs.recipe import Recipe

    def of(recipe, problem=QUADRATIC):
        own = asdict(replace(Recipe(), **recipe_of(problem)))
        return [
            f"--{name.replace('_', '-')}={value}"
            for name, value in asdict(recipe).items()
            if value != own[name]
        ]

    return of
