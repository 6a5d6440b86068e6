"""What the optimizer in PyTorch says to what it cannot take, as JSON: the error of each call.

A program of its own, without the type checker that tests have: it would speak first.
"""

import json
import sys
from typing import Any

import torch

from metadescent._errors import UserError
from metadescent.torch import LearnedOptimizer
from metadescent.torch.partitioned import Group, number_of
from metadescent.torch.rules.lstm import LSTMRule

MODEL = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 1))
ZERO = torch.nn.Parameter(torch.zeros(1))
NAN = float("nan")


def make(params: Any = ZERO, optimizer: Any = "mnist-lstm", **options: Any) -> LearnedOptimizer:
    return LearnedOptimizer([ZERO] if params is ZERO else params, optimizer, **options)


def load(state_dict: Any) -> None:
    make().load_state_dict(state_dict)


def state(of_zero: Any = None, **changed: Any) -> dict[str, Any]:
    group = {"params": [0], "lr": 1.0, "weight_decay": 0.0} | changed
    return {"state": {0: of_zero} if of_zero else {}, "param_groups": [group]}


CALLS: dict[str, Any] = {
    "optimizer: a number": lambda: make(optimizer=3),
    "optimizer: in the other's place": lambda: LearnedOptimizer("mnist-lstm", [ZERO]),
    "optimizer: a folder": lambda: make(optimizer=sys.argv[1]),
    "params: a model": lambda: make(MODEL[0]),
    "params: None": lambda: make(None),
    "params: layers": lambda: make(MODEL),
    "params: a tensor": lambda: make(torch.zeros(1)),
    "params: none": lambda: make([]),
    "params: a result": lambda: make([2 * ZERO]),
    "params: a name to some": lambda: make([("zero", ZERO), MODEL[0].weight]),
    "params: twice": lambda: make().add_param_group({"params": [ZERO]}),
    "params: complex": lambda: make([torch.nn.Parameter(torch.zeros(1, dtype=torch.complex64))]),
    "group: no params": lambda: make([{"lr": 0.1}]),
    "group: nothing": lambda: make([{}]),
    "name: a number": lambda: number_of([Group("conv/*", LSTMRule((2,)), {})], 3, (1,)),  # pyright: ignore
    "lr: a text": lambda: make(lr="fast"),
    "lr: a tensor of two": lambda: make(lr=torch.ones(2)),
    "lr: a tensor below 0": lambda: make(lr=torch.tensor(-0.5)),
    "lr: NaN": lambda: make(lr=NAN),
    "lr: of a group": lambda: make([{"params": [ZERO], "lr": None}]),
    "weight_decay: NaN": lambda: make(weight_decay=NAN),
    "weight_decay: of a group": lambda: make([{"params": [ZERO], "weight_decay": -1}]),
    "decay_lr: below 0": lambda: make(decay_lr=-1e-3),
    "decay_lr: of a group": lambda: make([{"params": [ZERO], "decay_lr": "none"}]),
    "steps: a text": lambda: make(steps="many"),
    "steps: of a group": lambda: make([{"params": [ZERO], "steps": 0}]),
    "state_dtype: float16": lambda: make(state_dtype=torch.float16),
    "state_dict: None": lambda: load(None),
    "state_dict: nothing": lambda: load({}),
    "state_dict: a model's": lambda: load(MODEL.state_dict()),
    "state_dict: two groups": lambda: load({"state": {}, "param_groups": [{}, {}]}),
    "state_dict: two parameters": lambda: load(state(params=[0, 1])),
    "state_dict: lr": lambda: load(state(lr=NAN)),
    "state_dict: weight_decay": lambda: load(state(weight_decay=None)),
    "state_dict: a number": lambda: load(state(5)),
    "state_dict: numbers": lambda: load(state(dict.fromkeys(("h0", "c0", "h1", "c1"), 1.0))),
}


def main() -> None:
    errors = {}
    for name, call in CALLS.items():
        try:
            call()
            errors[name] = ["NOTHING", ""]
        except UserError as error:
            errors[name] = ["UserError", str(error).replace(sys.argv[1], "WORK")]
        except Exception as error:
            errors[name] = [type(error).__name__, str(error)]
    print(json.dumps(errors, ensure_ascii=False))


main()
