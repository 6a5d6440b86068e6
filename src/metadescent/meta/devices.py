"""Problems spread over devices: each device has its part of the batch and the whole of φ.

    dL/dφ = mean over devices of dL/dφ on the part of each

Within `jax.shard_map` a device computes by itself, also in kernels, until the only sum over devices
at the end of a meta-step, whose arrays are as large as φ. (If XLA sharded the computation instead,
the row that `two_phase` makes of all coordinates would be gathered at every step.) Nothing is
differentiated *through* the map, which would add up gradients twice. Types of replication are
therefore not checked.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from metadescent._errors import UserError, require_kind
from metadescent._text import short
from metadescent.meta.estimators.base import Estimator
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.problems.base import Problem
from metadescent.problems.batch import Part, Place

AXIS = "problems"


def mesh_of(devices: Sequence[Any] | None = None) -> Mesh:
    """Return a mesh of devices in a row; by default all devices of all processes.

    Arguments:
        devices: at least one, as from `jax.devices()`.

    Raises:
        UserError: if there is no device, or they are not devices.

    Example:
        >>> mesh_of(jax.devices()[:1]).axis_names
        ('problems',)
    """
    devices = jax.devices() if devices is None else devices
    hint = "a list of devices, at least one; try jax.devices()"
    require_kind("devices", devices, Sequence, hint)
    if not devices or not all(isinstance(device, jax.Device) for device in devices):
        raise UserError(f"devices is {short(devices)} and must be {hint}")
    return Mesh(np.asarray(devices), (AXIS,), axis_types=(AxisType.Auto,))


class Spread(NamedTuple):
    """The devices that a run's problems are spread over.

    Arguments:
        mesh: devices in a row, as from `mesh_of`.
        announce: called with the state before each epoch.

    Example:
        >>> Spread(mesh_of(jax.devices()[:1])).mesh.size
        1
    """

    mesh: Mesh
    announce: Callable[[Any], None] = lambda _: None


def check_spread(spread: Any) -> None:
    """Raise a UserError unless it is a `Spread` over one row of devices."""
    require_kind("spread", spread, Spread, "a metadescent.meta.Spread; try Spread(mesh_of())")
    require_kind("mesh", spread.mesh, Mesh, "one row of devices; try mesh_of()")
    if tuple(spread.mesh.axis_names) != (AXIS,):
        raise UserError(
            f"the axes of a spread's mesh are {', '.join(spread.mesh.axis_names)} and must be "
            f"{AXIS} alone; try mesh_of()"
        )


class OnEach(Estimator):
    """An estimator on every device of a mesh, each with its part of the problems."""

    estimator: Estimator
    mesh: Mesh = eqx.field(static=True)

    @property
    def lasts(self) -> bool:
        """Tell whether the estimator on each device lasts."""
        return self.estimator.lasts

    def begin(self, m: LearnedOptimizer, problem: Problem, key: PRNGKeyArray) -> PyTree:
        """Return the carried state of each device, stacked along a first axis."""

        def begin_part(problem: Problem, _: None, m: LearnedOptimizer, key: PRNGKeyArray) -> PyTree:
            return _boxed(self.estimator.begin(m, problem, key))

        return on_each(self.mesh, begin_part, problem, None, m, key, out=P(AXIS))

    def estimate(
        self,
        m: LearnedOptimizer,
        problem: Problem,
        carry: PyTree,
        key: PRNGKeyArray,
        weights: Float[Array, " unroll"],
    ) -> tuple[PyTree, PyTree, Float[Array, "unroll problems"]]:
        """Return the mean of all devices' estimates, the only thing that they exchange."""

        def estimate_part(problem: Problem, carry: PyTree, m: LearnedOptimizer, *rest: Any) -> Any:
            carry = jax.tree.map(lambda x: x[0], carry)  # this device's own
            gradient, carry, losses = self.estimator.estimate(m, problem, carry, *rest)
            # The gradient is one row, so that there is one exchange.
            row, unravel = ravel_pytree(gradient)
            return unravel(jax.lax.pmean(row, AXIS)), _boxed(carry), losses

        # The gradient is the same everywhere; losses are steps × problems.
        out = (P(), P(AXIS), P(None, AXIS))
        return on_each(self.mesh, estimate_part, problem, carry, m, key, weights, out=out)


def on_each(
    mesh: Mesh,
    function: Callable[..., Any],
    problem: Problem,
    carry: PyTree,
    *arguments: Any,
    out: Any,
) -> Any:
    """Run `function(part of the problem, part of carry, *arguments)` on every device.

    Leaves of `carry` are cut along their first axis; `out` is `jax.shard_map`'s `out_specs`.
    """
    # Static parts are closed over, because `shard_map` takes only arrays.
    whole, static = eqx.partition((problem, arguments), eqx.is_array)

    def on_part(whole: PyTree, carry: PyTree) -> Any:
        problem, arguments = eqx.combine(whole, static)
        part = Part(problem, Place(jax.lax.axis_index(AXIS), mesh.size))
        return function(part, carry, *arguments)

    mapped = jax.shard_map(
        on_part, mesh=mesh, in_specs=(P(), P(AXIS)), out_specs=out, check_vma=False
    )
    return mapped(whole, carry)


def everywhere(tree: PyTree, mesh: Mesh | None) -> PyTree:
    """Return a pytree with its arrays on every device of a mesh; without a mesh, as it is.

    Other processes must have the same numbers, and call this at the same time.
    """
    if mesh is None:
        return tree
    sharding = NamedSharding(mesh, P())

    def put(x: Any) -> Any:
        if not eqx.is_array(x):
            return x
        # A key has no numbers of its own for `np.asarray`.
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(
                put(jax.random.key_data(x)), impl=jax.random.key_impl(x)
            )
        if sharding.is_fully_addressable:
            return jax.device_put(x, sharding)
        # `jax.device_put` would send all of it to every process to compare it.
        host = np.asarray(x)
        return jax.make_array_from_callback(host.shape, sharding, host.__getitem__)

    return jax.tree.map(put, tree)


def gathered(tree: PyTree, mesh: Mesh | None) -> PyTree:
    """Return a pytree that is on every device of a mesh as a pytree of this process alone."""
    if mesh is None:
        return tree
    # The copy is this process's own, and other processes take no part in it.
    return jax.tree.map(lambda x: jnp.asarray(np.asarray(x)) if eqx.is_array(x) else x, tree)


def _boxed(tree: PyTree) -> PyTree:
    """Return a device's own pytree with an axis in front, along which all devices' are stacked."""
    return jax.tree.map(lambda x: x[None], tree)
