"""What the caller can put right is one sentence."""

from collections.abc import Callable

from metadescent._errors import (
    LostError,
    UserError,
    require,
    require_choice,
    require_kind,
    require_sizes,
)


def test_a_number_out_of_bounds_or_of_another_kind_is_named(sentence: Callable) -> None:
    assert sentence(require, "epochs", 0, 1) == "epochs is 0 and must be at least 1"
    assert sentence(require, "epochs", True, 1).endswith("must be a whole number, at least 1")
    assert (
        sentence(require, "rate", float("nan"), 0.0, 1.0) == "rate is nan and must be from 0 to 1"
    )
    require("epochs", 1, 1)


def test_what_is_of_another_kind_is_named_with_what_to_try(sentence: Callable) -> None:
    hint = "a text; try 'mean'"
    assert sentence(require_kind, "loss", 3, str, hint) == f"loss is 3 and must be {hint}"
    assert sentence(require_choice, "decay", "linear", ["cosine", "constant"]) == (
        "there is no decay 'linear'; known are cosine, constant"
    )
    assert sentence(require_sizes, "hidden", 20) == (
        "hidden is 20 and must be a list or tuple of sizes; try (20,)"
    )


def test_the_command_line_tells_what_may_work_next_time_by_its_status() -> None:
    assert (UserError.status, LostError.status) == (2, 75)
    assert issubclass(LostError, UserError)
