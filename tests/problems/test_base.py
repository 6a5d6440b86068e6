"""The interfaces themselves: what is drawn from them, and that they are interfaces."""

from collections.abc import Callable

import jax
import pytest

from metadescent.problems.base import Optimizee, Problem


class Wrong(Problem):
    """Draws a number, where an optimizee is wanted."""

    def sample(self, key: jax.Array) -> int:
        return 3


@pytest.mark.parametrize("interface", [Optimizee, Problem])
def test_an_interface_is_never_instantiated(interface: type) -> None:
    with pytest.raises(TypeError, match="abstract"):
        interface()


def test_a_sample_that_is_not_an_optimizee_is_named(sentence: Callable) -> None:
    key = jax.random.key(0)
    assert sentence(Wrong().numbered, key, jax.numpy.asarray(0)) == (
        "what Wrong.sample returns is 3 and must be a metadescent.Optimizee; "
        "try metadescent.FromFunction(loss, init)"
    )
