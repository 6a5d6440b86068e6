"""Pictures that come with other packages, or that do not because those are not there."""

from collections.abc import Callable
from importlib.util import find_spec

import pytest

from metadescent.problems.data import embedded
from metadescent.problems.data.embedded import EMBEDDED, embedded_names, embedded_path
from metadescent.problems.data.pictures import read_picture


def test_the_names_are_those_of_pictures_that_are_there() -> None:
    assert embedded_names() == sorted(
        name for name, picture in EMBEDDED.items() if find_spec(picture.package)
    )
    for name in embedded_names():
        assert read_picture(embedded_path(name), 16).std() > 20


@pytest.mark.parametrize("place", ["no/such/place.jpg", None])
def test_without_the_package_or_its_file_the_sentence_says_what_to_install(
    place: str | None, monkeypatch: pytest.MonkeyPatch, sentence: Callable
) -> None:
    real = EMBEDDED["china"]
    package = real.package if place is None else "metadescent"
    place = place or real.place
    if package == real.package:
        monkeypatch.setattr(embedded, "find_spec", lambda name: None)
    monkeypatch.setitem(EMBEDDED, "china", real._replace(package=package, place=place))
    assert "china" not in embedded_names()
    assert sentence(embedded_path, "china") == (
        f"the picture 'china' comes with {package}, which has no {place} here; "
        "try pip install scikit-learn"
    )
