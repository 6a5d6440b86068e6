"""What PyTorch's optimizer prints: shapes and dtypes, and no numbers of its tensors."""

import copy
import io
import re

import torch

from metadescent.torch import LearnedOptimizer


def test_no_state_prints_its_tensors_wherever_it_has_been() -> None:
    p = torch.nn.Parameter(torch.full((4, 3), 0.123))
    optimizer = LearnedOptimizer([p], "quadratic-lstm")
    p.square().sum().backward()
    optimizer.step()
    kept = io.BytesIO()
    torch.save(optimizer.state_dict(), kept)
    kept.seek(0)
    again = copy.deepcopy(optimizer)
    # What is saved is of PyTorch's own kinds still.
    again.load_state_dict(torch.load(kept, weights_only=True))
    for each in (optimizer, again, copy.deepcopy(optimizer)):
        text = repr(each.state)
        assert "float32[4, 3]: {" in text
        assert "h0: float32[20, 4, 3]" in text
        assert not re.search(r"\d\.\d|tensor", text)
        assert "tensor" not in repr(each)
