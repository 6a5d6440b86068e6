"""What trains PyTorch's models does so by a learned optimizer, and goes on with the same bits."""

from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")

# Other libraries warn of what does not concern an optimizer.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
START = 2.3
"""log 10, which ten classes begin with."""


def uninterrupted(names: dict[str, Any]) -> Any:
    """The network of the page after 60 steps in a row."""
    from metadescent.torch import LearnedOptimizer

    model = names["network"]()
    optimizer = LearnedOptimizer(model.named_parameters(), "mlp-robust-lstm")
    names["train"](model, optimizer, range(60))
    return model


def assert_same_bits(some: Any, others: Any) -> None:
    pairs = zip(some.state_dict().values(), others.state_dict().values(), strict=True)
    assert all(torch.equal(x, y) for x, y in pairs)


def test_a_loop_of_one_s_own(run_page: Callable) -> None:
    names = run_page("PyTorch", "PyTorch")
    assert names["loss"] < START / 4
    assert_same_bits(names["model"], uninterrupted(names))


def test_torch_compile(run_page: Callable) -> None:
    names = run_page("PyTorch", "torch.compile")
    assert names["loss"] < START / 4
    for p, q in zip(names["model"].parameters(), uninterrupted(names).parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-3, atol=1e-3)


def test_lightning(run_page: Callable) -> None:
    pytest.importorskip("lightning")
    names = run_page("PyTorch", "Lightning")
    assert names["loss"] < START / 4
    model = names["Digits"]()
    names["lightning"].Trainer(max_epochs=4, **names["options"]).fit(model, names["loader"])
    assert_same_bits(names["model"], model)


def test_accelerate(run_page: Callable) -> None:
    pytest.importorskip("accelerate")
    names = run_page("PyTorch", "Accelerate")
    assert names["loss"] < START / 4
    assert_same_bits(names["model"], uninterrupted(names))


def test_the_trainer_of_hugging_face(run_page: Callable) -> None:
    pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    names = run_page("PyTorch", "Hugging Face Trainer")
    assert names["loss"] < 0.35  # log 2 = 0.69 at first
    trainer = names["trainer"](80)
    trainer.train()
    # Dropout, too, goes on where it was.
    assert_same_bits(names["resumed"].model, trainer.model)
