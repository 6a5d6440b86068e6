"""Values, names and sizes, as short as a sentence bears."""

import pytest

from metadescent._text import format_bytes, nearest, number, short


def test_a_value_is_on_one_line_and_no_longer_than_a_sentence_bears() -> None:
    assert short("a\nb") == "'a\\nb'"
    assert short("a" * 100) == "'" + "a" * 56 + "…"


def test_the_closest_name_is_offered_or_all_of_them() -> None:
    assert nearest("qadratic", ["quadratic", "mnist"]) == "did you mean 'quadratic'?"
    assert nearest("zzz", ["quadratic", "mnist"]) == "known are mnist, quadratic"
    assert nearest("zzz", []) == "none is known"


@pytest.mark.parametrize(
    ("size", "text"), [(641728512, "612 MiB"), (1000 * 2**20, "0.977 GiB"), (7, "7 B")]
)
def test_a_size_has_three_digits(size: int, text: str) -> None:
    assert format_bytes(size) == text


@pytest.mark.parametrize(("value", "text"), [(0.04912, "0.0491"), (20.96, "21"), (None, "–")])
def test_a_number_has_three_digits_or_is_a_dash(value: float | None, text: str) -> None:
    assert number(value) == text
