"""The same meta-step in eager PyTorch, as the well-known reproductions do it, at its best.

All coordinates go through two `torch.nn.LSTMCell` and a `Linear` as one batch of n rows. The
optimizee is eager too. ∇_t comes from `torch.autograd.grad` and is detached (first order); the
meta-loss is the sum of the losses, and one `backward()` runs through all steps. φ, θ₀, f and the
minibatches are JAX's, so that both compute the same numbers, which `run.py` checks. It is timed
with as many threads as PyTorch takes by itself, and with one, which a busy machine may prefer.

Drawing f and the minibatches is not timed here; in the JAX forms it is.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import torch
from cases import Case, make
from jax.flatten_util import ravel_pytree

from metadescent.descent.episode import draw, start_batch
from metadescent.optimizers.lstm import LSTM
from metadescent.problems.classifier import MLPClassification
from metadescent.problems.quadratic import Quadratic

DEFAULT_THREADS = torch.get_num_threads()


class Eager(torch.nn.Module):
    """The LSTM optimizer, one row a coordinate."""

    def __init__(self, m: LSTM):
        """Copy φ: equinox has PyTorch's order of gates, and one bias where PyTorch has two."""
        super().__init__()
        self.p, self.scale = m.p, m.scale
        self.cells = torch.nn.ModuleList()
        for cell in m.cells:
            copy = torch.nn.LSTMCell(cell.input_size, cell.hidden_size)
            with torch.no_grad():
                copy.weight_ih.copy_(tensor(cell.weight_ih))
                copy.weight_hh.copy_(tensor(cell.weight_hh))
                copy.bias_ih.copy_(tensor(cell.bias))
                copy.bias_hh.zero_()
            self.cells.append(copy)
        self.output = torch.nn.Linear(m.layers[-1], 1)
        with torch.no_grad():
            self.output.weight.copy_(tensor(m.output.weight))
            self.output.bias.copy_(tensor(m.output.bias))

    def forward(self, gradient: torch.Tensor, state: list[Any]) -> tuple[torch.Tensor, list[Any]]:
        """Map ∇ (n) and h to g (n) and the next h."""
        x = gradient[:, None] if self.p is None else self.log_and_sign(gradient)
        new = []
        for cell, h_and_c in zip(self.cells, state, strict=True):
            x, c = cell(x, h_and_c)
            new.append((x, c))
        return self.scale * self.output(x)[:, 0], new

    def log_and_sign(self, gradient: torch.Tensor) -> torch.Tensor:
        """Apply appendix A."""
        threshold = float(np.exp(np.float32(-self.p)))
        logarithm = gradient.abs().clamp_min(threshold).log() / self.p
        return torch.stack([logarithm, (gradient / threshold).clamp(-1.0, 1.0)], dim=1)

    def init(self, n: int) -> list[Any]:
        """Return h₀ of n coordinates."""
        sizes = [cell.hidden_size for cell in self.cells]
        return [(torch.zeros(n, size), torch.zeros(n, size)) for size in sizes]


class Segment(NamedTuple):
    """Where a segment begins: θ as one vector, h and t."""

    theta: torch.Tensor
    state: list[Any]
    step: int


class EagerStep:
    """A meta-step and its inputs; called, it returns ((L, end), dL/dφ in φ's order of leaves)."""

    def __init__(self, case: Case, threads: int | None = None):
        self.case, self.m = case, Eager(case.m)
        self.threads = threads or DEFAULT_THREADS
        begin = start_batch(case.m, case.problem, case.key, case.num_problems)
        theta = tensor(ravel_pytree(begin.theta)[0])
        self.begin = Segment(theta, self.m.init(len(theta)), 0)
        self.losses = _optimizee(case)

    def __call__(self) -> Any:
        """Return one meta-step from the start of the episode."""
        return self.segment(self.begin)

    def episode(self) -> list[Any]:
        """Return L and dL/dφ of every segment of an episode."""
        end, segments = self.begin, []
        for _ in range(self.case.segments):
            (value, end), gradient = self.segment(end)
            segments.append((value, gradient))
        return segments

    def segment(self, begin: Segment) -> Any:
        """Unroll, sum the losses and go backward."""
        torch.set_num_threads(self.threads)
        self.m.zero_grad(set_to_none=True)
        theta, state, first = begin
        theta = theta.detach().requires_grad_()
        state = [(h.detach(), c.detach()) for h, c in state]
        total = torch.zeros(())
        for t in range(first, first + self.case.steps):
            losses = self.losses(theta, t)
            if t > first:
                total = total + losses.mean()
            (gradient,) = torch.autograd.grad(losses.sum(), theta, retain_graph=t > first)
            g, state = self.m(gradient, state)
            theta = theta + g
        total = total + self.losses(theta, first + self.case.steps).mean()
        total.backward()
        gradient = [p.grad for p in self.m.parameters()]
        return (total.detach(), Segment(theta, state, first + self.case.steps)), gradient

    def flat(self, gradient: list[torch.Tensor]) -> np.ndarray:
        """Return a meta-gradient as one vector in the order of `meta_step.flat`."""
        named = dict(zip(dict(self.m.named_parameters()), gradient, strict=True))
        # The two biases of a torch cell have the same gradient.
        parts = [named[name] for name in named if not name.endswith("bias_hh")]
        return np.concatenate([part.numpy().ravel() for part in parts])


def predicted_bytes(case: Case) -> int:
    """Return what a meta-step keeps for its backward pass, from that of a small `million`."""
    small, large = 16_384, case.problem.dimension
    return int(saved_bytes(make(case.name, dimension=small)) * large / small)


def saved_bytes(case: Case) -> int:
    """Return what autograd saves in one meta-step, each storage once."""
    step, storages = EagerStep(case), {}

    def keep(saved: torch.Tensor) -> torch.Tensor:
        storage = saved.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return saved

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda saved: saved):
        step()
    return sum(storages.values())


def tensor(x: Any) -> torch.Tensor:
    """Return a JAX array as a tensor of its own."""
    return torch.from_numpy(np.array(x))


def _optimizee(case: Case) -> Callable[[torch.Tensor, int], torch.Tensor]:
    """Return the losses of all optimizees at θ, a vector, in step t of the episode."""
    fs, keys = draw(case.problem, case.key, case.num_problems)
    if isinstance(case.problem, Quadratic):
        W, y = tensor(fs.own.W), tensor(fs.own.y)
        return lambda theta, t: ((W @ theta.view(*y.shape, 1))[..., 0] - y).square().sum(1)
    if isinstance(case.problem, MLPClassification):
        return _classifiers(case, keys.minibatch)
    d, y = tensor(fs.own.d), tensor(fs.own.y)
    return lambda theta, t: (d * (theta.view(y.shape) - y).square()).sum(1)


def _classifiers(case: Case, key: Any) -> Callable[[torch.Tensor, int], torch.Tensor]:
    f, size = case.problem.f, case.num_problems
    images, labels = tensor(f.images), tensor(f.labels).long()
    inputs, hidden, outputs = f.widths
    shapes = [(inputs, hidden), (hidden,), (hidden, outputs), (outputs,)]
    sizes = [size * int(np.prod(shape)) for shape in shapes]

    def minibatch(t: int) -> torch.Tensor:
        step_keys = jax.random.split(jax.random.fold_in(key, t), size)
        draws = [jax.random.randint(k, (f.batch_size,), 0, len(labels)) for k in step_keys]
        return torch.stack([tensor(x).long() for x in draws])

    chosen = [minibatch(t) for t in range(case.segments * case.steps + 1)]

    def losses(theta: torch.Tensor, t: int) -> torch.Tensor:
        parts = theta.split(sizes)
        w1, b1, w2, b2 = (p.view(size, *s) for p, s in zip(parts, shapes, strict=True))
        x = images[chosen[t]].float() / f.white
        x = torch.sigmoid(torch.baddbmm(b1[:, None], x, w1))
        logits = torch.baddbmm(b2[:, None], x, w2)
        wanted = labels[chosen[t]]
        found = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), wanted.flatten(), reduction="none"
        )
        return found.view(size, -1).mean(1)

    return losses
