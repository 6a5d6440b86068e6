"""What is said of an epoch whose meta-steps were not all finite."""

import pytest

from metadescent.runs.metrics import nonfinite_note


@pytest.mark.parametrize(
    ("nonfinite", "restarted", "note"),
    [
        (0, 0, ""),
        (1, 0, ", 1 meta-step not finite and left out"),
        (2, 0, ", 2 meta-steps not finite and left out"),
        (2, 1, ", 2 meta-steps not finite; φ goes back to the best"),
    ],
)
def test_meta_steps_that_were_not_finite_are_told(
    nonfinite: int, restarted: int, note: str
) -> None:
    assert nonfinite_note({"nonfinite": nonfinite, "restarted": restarted}) == note
