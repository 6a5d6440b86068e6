"""The convolution of layers of stride 1:  y[n, i, j, o] = Σ x[n, i + a, j + b, c] · w[a, b, c, o].

y is linear in x and in w, so it has two derivatives, which are linear too. The derivatives of all
three functions are again among the three. This file states each of them.

Automatic differentiation would be correct, but slow. On a CPU, XLA (JAX 0.10.2) has a fast routine
for convolutions of one form, and rewrites other convolutions in this form. It does not do so inside
loops, and an unroll is a loop. Neither does it under `vmap` if each call has its own kernel, as in
a `Batch`. Each of the three is therefore written in that form, and `vmap` calls them one by one. On
a CPU with a compiler `native/convolution` computes all three, in float32.
"""

from functools import partial

import jax
from jax.custom_batching import custom_vmap, sequential_vmap
from jaxtyping import Array, Float

from metadescent import _ffi
from metadescent.problems.native import convolution as kernels

# One matrix product of all of a layer's windows was tried too: it is slower and takes more memory.
Maps = Float[Array, "_ _ _ _"]  # images × height × width × channels
Kernel = Float[Array, "_ _ _ _"]  # height × width × channels in × channels out


@jax.custom_vjp
def convolve(x: Maps, kernel: Kernel) -> Maps:
    """Return x convolved with a kernel of odd sides; zeros around x keep its height and width.

    It can be differentiated in reverse mode any number of times, but not in forward mode.
    """
    return _slide(x, kernel)


@jax.custom_vjp
def _pull_x(dy: Maps, kernel: Kernel) -> Maps:
    """Return the cotangent of x, given that of the result."""
    # It is the same convolution with the kernel turned round and its inputs and outputs exchanged.
    return _slide(dy, kernel[::-1, ::-1].swapaxes(2, 3))


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _pull_kernel(x: Maps, dy: Maps, size: tuple[int, int]) -> Kernel:
    """Return the cotangent of the kernel, of height and width `size`, given that of the result."""

    def reference(x: Maps, dy: Maps) -> Kernel:
        # Images become input channels, and the channels of x become images.
        window = dy.transpose(1, 2, 0, 3)
        return _slide_by_xla(x.transpose(3, 1, 2, 0), window, size).transpose(1, 2, 0, 3)

    if not _ffi.can_run(x, dy):
        return reference(x, dy)
    kernel = partial(kernels.pull_window, size=size)
    return jax.lax.platform_dependent(x, dy, cpu=kernel, default=reference)


@custom_vmap
def _slide(x: Maps, window: Kernel) -> Maps:
    """Return the sums over a window that slides over x, with zeros around it."""
    return _slide_one_by_one(x, window)


@_slide.def_vmap
def _slide_several(
    count: int, is_batched: list[bool], x: Array, window: Array
) -> tuple[Array, bool]:
    if is_batched[1]:
        # Each call has its own window. No fast form exists for that, so they run one by one.
        axes = [0 if batched else None for batched in is_batched]
        return jax.vmap(_slide_one_by_one, axes)(x, window), True
    # All calls share one window, so their images become images of one call.
    y = _slide(x.reshape(-1, *x.shape[2:]), window)
    return y.reshape(count, -1, *y.shape[1:]), True


def _slide_one_by_one(x: Maps, window: Kernel) -> Maps:
    reference = partial(_slide_by_xla, size=_size(window))
    if not _ffi.can_run(x, window):
        return reference(x, window)
    return jax.lax.platform_dependent(x, window, cpu=kernels.slide, default=reference)


def _slide_by_xla(x: Maps, window: Kernel, size: tuple[int, int]) -> Maps:
    """Return the sums over a window that slides over x, with size // 2 zeros on either side."""

    def slide(x: Array, window: Array) -> Array:
        # `size` may differ from the window's sides: `_pull_kernel` gives images as the window.
        zeros = [(length // 2, length // 2) for length in size]
        form = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(x, window, (1, 1), zeros, dimension_numbers=form)

    return sequential_vmap(slide)(x, window)


def _size(kernel: Kernel) -> tuple[int, int]:
    return kernel.shape[0], kernel.shape[1]


# y = x ∗ w, dx = dy ∗ turned w, dw = x ∗ dy: the derivatives of each are the two others.
convolve.defvjp(
    lambda x, kernel: (convolve(x, kernel), (x, kernel)),
    lambda kept, dy: (_pull_x(dy, kept[1]), _pull_kernel(kept[0], dy, _size(kept[1]))),
)
_pull_x.defvjp(
    lambda dy, kernel: (_pull_x(dy, kernel), (dy, kernel)),
    lambda kept, dx: (convolve(dx, kept[1]), _pull_kernel(dx, kept[0], _size(kept[1]))),
)
_pull_kernel.defvjp(
    lambda x, dy, size: (_pull_kernel(x, dy, size), (x, dy)),
    lambda size, kept, dkernel: (_pull_x(kept[1], dkernel), convolve(kept[0], dkernel)),
)
