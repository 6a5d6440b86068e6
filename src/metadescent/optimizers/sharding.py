"""The sharding of h over devices: the same as that of θ, coordinate by coordinate.

Each device holds some coordinates of a sharded θ. A coordinatewise rule needs nothing from other
devices but φ's gradient, as long as h, which is many times as large as θ, is sharded as θ is.
"""

import math

import jax
import jax.core
import jax.numpy as jnp
from jax.experimental.shard_alike import shard_alike
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, PyTree, Shaped

from metadescent._ffi import is_on_one_device


def spread_like(h: Shaped[Array, "*features"], leaf: Array) -> Shaped[Array, "..."]:
    """Return one coordinate's h for every coordinate of a leaf of θ, on the devices of these."""
    shape = (*h.shape, *jnp.shape(leaf))

    def spread() -> Array:
        return jnp.broadcast_to(h.reshape(h.shape + (1,) * jnp.ndim(leaf)), shape)

    if is_on_one_device() or not isinstance(leaf, jax.Array):
        return spread()
    whole = (None,) * h.ndim
    # An array has a sharding, a tracer only on a mesh with explicit axes.
    if not isinstance(leaf, jax.core.Tracer):
        sharding = leaf.sharding
        if not isinstance(sharding, NamedSharding):
            return spread()
        # h is made in its place, and is never whole on one device.
        place = NamedSharding(sharding.mesh, P(*whole, *sharding.spec))
        return jax.jit(spread, out_shardings=place)()
    sharding = jax.typeof(leaf).sharding
    if AxisType.Explicit in sharding.mesh.axis_types:
        place = NamedSharding(sharding.mesh, P(*whole, *sharding.spec))
        return jax.sharding.reshard(spread(), place)
    # Otherwise XLA decides, and gives h the same sharding as θ.
    return shard_alike(spread(), jnp.broadcast_to(leaf, shape).astype(h.dtype))[0]


def rows_like(rows: PyTree[Array], params: PyTree[Array]) -> PyTree[Array]:
    """Return the state of a row of all coordinates, its last axis over the devices that θ is on."""
    shardings = [
        leaf.sharding
        for leaf in jax.tree.leaves(params)
        if isinstance(leaf, jax.Array) and not isinstance(leaf, jax.core.Tracer)
    ]
    shardings = [s for s in shardings if isinstance(s, NamedSharding) and not s.is_fully_replicated]
    if not shardings:
        return rows
    mesh, spec = shardings[0].mesh, shardings[0].spec
    # An axis of θ may lie over several axes of the mesh; the row's lies over all of them.
    names = [n for part in spec if part for n in (part if isinstance(part, tuple) else (part,))]
    n = sum(jnp.size(leaf) for leaf in jax.tree.leaves(params))
    # Where the devices cannot share the row evenly, each has all of it.
    over = tuple(names) if n % math.prod(mesh.shape[name] for name in names) == 0 else None

    def lay_out(row: Array) -> Array:
        is_long = row.ndim > 0 and row.shape[-1] == n
        spec = P(*(None,) * (row.ndim - 1), over) if is_long else P()
        return jax.device_put(row, NamedSharding(mesh, spec))

    return jax.tree.map(lay_out, rows)


def on_its_mesh(state: PyTree, params: PyTree) -> PyTree:
    """Return h with a copy on each device of θ's mesh of what is on one device, such as a count.

    A step moves such an array by itself, but not once a checkpoint has been restored in its place.
    """
    shardings = [leaf.sharding for leaf in jax.tree.leaves(params) if _is_placed(leaf)]
    meshes = [s.mesh for s in shardings if isinstance(s, NamedSharding) and s.num_devices > 1]
    if not meshes:
        return state
    everywhere = NamedSharding(meshes[0], P())

    def spread(x: Array) -> Array:
        is_alone = _is_placed(x) and x.sharding.num_devices == 1
        return jax.device_put(x, everywhere) if is_alone else x

    return jax.tree.map(spread, state)


def _is_placed(x: object) -> bool:
    """Tell whether it is an array, and not a tracer, which has no place."""
    return isinstance(x, jax.Array) and not isinstance(x, jax.core.Tracer)
