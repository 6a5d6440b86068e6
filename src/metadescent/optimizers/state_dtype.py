"""The h of LSTMs in fewer bits: kept in bfloat16, with arithmetic in φ's dtype.

    g, h′ = m(∇, h),    h ← round(h′)

Moments and counts stay as they are: a mean of slow decay would stop in bfloat16, and a count would
end at 256.
"""

import copy
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from metadescent._errors import UserError, require_kind
from metadescent._text import short
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.optimizers.lstm import LSTM

Rule = TypeVar("Rule", bound=LearnedOptimizer)


def with_state_dtype(m: Rule, dtype: Any) -> Rule:
    """Return an optimizer whose LSTMs keep their h and c in bfloat16, or in float32 again.

    The result is for use: its state has half the memory. φ and the arithmetic are unchanged. To
    train or save an optimizer take m itself.

    Arguments:
        m: the optimizer; its LSTMs may be inside other rules.
        dtype: jnp.bfloat16 or jnp.float32.

    Raises:
        UserError: if m is not a learned optimizer or has no LSTM, or if the dtype is a different
            one.

    Example:
        >>> import jax.numpy as jnp
        >>> import metadescent
        >>> m = with_state_dtype(metadescent.load("mnist-lstm"), jnp.bfloat16)
        >>> h, c = m.init(jnp.zeros(3))[0]
        >>> h.dtype, h.shape
        (dtype(bfloat16), (20, 3))

    Source: none; `metadescent.torch` has the same as `state_dtype`.
    """
    require_kind("m", m, LearnedOptimizer, "a learned optimizer; try metadescent.load")
    if dtype not in (jnp.bfloat16, jnp.float32):
        raise UserError(f"dtype is {short(dtype)} and must be jnp.bfloat16 or jnp.float32")
    parts, treedef = jax.tree.flatten(m, is_leaf=_is_lstm)
    if not any(map(_is_lstm, parts)):
        raise UserError(
            f"{type(m).__name__} has no LSTM, whose state might be smaller; use it as it is"
        )
    kept = None if dtype == jnp.float32 else jnp.dtype(dtype)
    return treedef.unflatten(_with(part, kept) if _is_lstm(part) else part for part in parts)


def _is_lstm(x: Any) -> bool:
    return isinstance(x, LSTM)


def _with(lstm: LSTM, dtype: Any) -> LSTM:
    """Return an LSTM of the same φ and another dtype of h."""
    lstm = copy.copy(lstm)
    # A module is frozen, so that the field of the copy can only be set in this way.
    object.__setattr__(lstm, "state_dtype", dtype)
    return lstm
