"""Names of folders, as every filesystem and shell takes them."""

import re

import numpy as np
import pytest

from metadescent.registry import optimizers, problems
from metadescent.runs.naming import LONGEST, folder_name


def check(name: str) -> None:
    assert 0 < len(name.encode()) <= LONGEST
    assert re.fullmatch(r"[\w.=+-]+", name)
    assert name[0] not in ".-"
    assert name[-1] not in ".-"
    device = re.split(r"\.", name)[0].upper()
    assert device not in {
        "CON",
        "PRN",
        "AUX",
        "NUL",
        *(f"{p}{n}" for p in ("COM", "LPT") for n in "0123456789¹²³"),
    }


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("quadratic(dimension=20)", "quadratic-dimension=20"),
        ("mnist(hidden=(20, 20)) + convex", "mnist-hidden=20-20+convex"),
        ("mnist(activation='relu', rescale=-1)", "mnist-activation=relu-rescale=-1"),
        ("../my work/lines (1).py:lines(seed=1)", "my-work-lines-1-.py-lines-seed=1"),
        ("con", "run-con"),
        ("aux.py:lines", "run-aux.py-lines"),
        ("nul.", "run-nul"),
        ("...", "run"),
        ("", "run"),
        ("ligne é.py:f", "ligne-é.py-f"),
    ],
)
def test_a_folder_has_the_words_of_what_it_is_for(spec: str, name: str) -> None:
    assert folder_name(spec) == name
    check(name)


def test_names_of_the_package_are_as_they_are() -> None:
    for name in [*problems(), *optimizers()]:
        assert folder_name(name) == name


def test_whatever_the_specification_the_name_is_taken_and_stays() -> None:
    random = np.random.default_rng(0)
    signs = "aZ0é²漢\udc80\x00\n \t:*?<>|\"'/\\.-_=+()[]{},~$%&;#!`"
    letters = [*signs, "con", "lpt1", ".."]
    for length in [*range(40), 300, 3000]:
        spec = "".join(random.choice(letters, length))
        check(folder_name(spec))
        assert folder_name(folder_name(spec)) == folder_name(spec)


def test_long_specifications_that_differ_have_folders_that_differ() -> None:
    assert folder_name("x" * 200) != folder_name("x" * 201)
