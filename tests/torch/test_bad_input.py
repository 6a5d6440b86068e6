"""What cannot be is refused in one sentence: ours, or PyTorch's where it looks after that."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from metadescent import zoo

PROGRAM = Path(__file__).with_name("bad_input.py")
PLACE = "where state and param_groups are expected; try optimizer.state_dict()"
SENTENCES = {
    "optimizer: a number": (
        "optimizer is 3 and must be a name in the zoo or a path; try 'mnist-lstm'"
    ),
    "optimizer: in the other's place": (
        "optimizer is [Parameter containing: tensor([0.], requires_grad=True)] and must be a name "
        "in the zoo or a path; try 'mnist-lstm'"
    ),
    "optimizer: a folder": (
        f"there is no pretrained optimizer and no file 'WORK'; known are {', '.join(zoo.names())}"
    ),
    "params: a model": (
        "params is Linear(in_features=2, out_features=3, bias=True) and must be parameters; try "
        "model.parameters()"
    ),
    "params: None": "params is None and must be parameters; try model.parameters()",
    "params: complex": (
        "a parameter of shape (1,) is torch.complex64 and must be real; split it into real and "
        "imaginary parts"
    ),
    "group: no params": "a group has lr and no params; try {'params': model.parameters()}",
    "group: nothing": "a group has nothing and no params; try {'params': model.parameters()}",
    "name: a number": (
        "the name of a parameter is 3 and must be a text; try model.named_parameters()"
    ),
    "lr: a text": "lr is 'fast' and must be a number, at least 0",
    "lr: a tensor of two": "lr is tensor([1., 1.]) and must be a number, at least 0",
    "lr: a tensor below 0": "lr is -0.5 and must be at least 0",
    "lr: NaN": "lr is nan and must be at least 0",
    "lr: of a group": "lr is None and must be a number, at least 0",
    "weight_decay: NaN": "weight_decay is nan and must be at least 0",
    "weight_decay: of a group": "weight_decay is -1 and must be at least 0",
    "decay_lr: below 0": "decay_lr is -0.001 and must be at least 0",
    "decay_lr: of a group": "decay_lr is 'none' and must be a number, at least 0",
    "steps: a text": "steps is 'many' and must be a number, at least 1",
    "steps: of a group": "steps is 0 and must be at least 1",
    "state_dtype: float16": (
        "state_dtype is torch.float16 and must be torch.float32 or torch.bfloat16; leave it out "
        "for float32"
    ),
    "state_dict: None": "state_dict is None and must be a dict; try optimizer.state_dict()",
    "state_dict: nothing": f"state_dict has nothing {PLACE}",
    "state_dict: a model's": f"state_dict has 0.weight, 0.bias, 1.weight {PLACE}",
    "state_dict: lr": "lr is nan and must be at least 0",
    "state_dict: weight_decay": "weight_decay is None and must be a number, at least 0",
    "state_dict: a number": (
        "the state of a parameter of shape (1,) is 5 and must be a dict of tensors"
    ),
    "state_dict: numbers": "h0 of a parameter of shape (1,) is 1.0 and must be a tensor",
}
# Of each, its kind and a word of it, since the rest is PyTorch's to change.
OF_PYTORCH = {
    "params: layers": ("TypeError", "Linear"),
    "params: a tensor": ("TypeError", "iterable of Tensors"),
    "params: none": ("ValueError", "empty"),
    "params: a result": ("ValueError", "non-leaf"),
    "params: a name to some": ("ValueError", "names"),
    "params: twice": ("ValueError", "more than one"),
    "state_dict: two groups": ("ValueError", "number of parameter groups"),
    "state_dict: two parameters": ("ValueError", "size"),
}


@pytest.fixture(scope="module")
def errors(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    words = [sys.executable, str(PROGRAM), str(tmp_path_factory.mktemp("bad-input"))]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("call", SENTENCES)
def test_what_cannot_be_is_refused_in_a_sentence(call: str, errors: dict[str, list[str]]) -> None:
    assert errors[call] == ["UserError", SENTENCES[call]]


@pytest.mark.parametrize("call", OF_PYTORCH)
def test_what_pytorch_refuses_it_refuses_here(call: str, errors: dict[str, list[str]]) -> None:
    kind, word = OF_PYTORCH[call]
    assert errors[call][0] == kind
    assert word in errors[call][1]


def test_every_call_is_looked_at(errors: dict[str, list[str]]) -> None:
    assert errors.keys() == SENTENCES.keys() | OF_PYTORCH.keys()
