"""Names are discovered, options are literals, and a name that is wrong gets a hint."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metadescent._spec import parse, terms
from metadescent._text import nearest
from metadescent.descent.fingerprint import fingerprint
from metadescent.meta.estimators.base import Estimator
from metadescent.meta.estimators.imitation import Imitation
from metadescent.meta.estimators.pes import PES
from metadescent.meta.estimators.truncated import Truncated
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.optimizers.lstm import LSTM
from metadescent.problems.base import Named, Problem
from metadescent.problems.classifier import MLPClassification
from metadescent.problems.convex import Convex
from metadescent.problems.fan_in import FanIn
from metadescent.problems.logarithm import Logarithm
from metadescent.problems.quadratic import Quadratic
from metadescent.problems.rescaled import Rescaled
from metadescent.problems.together import Together
from metadescent.registry import (
    make_estimator,
    make_optimizer,
    make_problem,
    optimizers,
    problems,
    recipe_of,
)

KEY = jax.random.key(0)

literals = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
words = st.from_regex(r"[a-z][a-z0-9]{0,8}_", fullmatch=True)


@given(name=words, options=st.dictionaries(words, literals, max_size=3))
def test_parsing_undoes_writing(name: str, options: dict[str, Any]) -> None:
    written = ", ".join(f"{option}={value!r}" for option, value in options.items())
    assert parse(f"{name}({written})") == (name, options)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("mnist", ("mnist", {})),
        (" mnist ", ("mnist", {})),
        ("mnist()", ("mnist", {})),
        ("mnist-40 ( batch_size = 8, )", ("mnist-40", {"batch_size": 8})),
        ("lstm(layers=(20, 20), p=None)", ("lstm", {"layers": (20, 20), "p": None})),
        ("dir/my file.py:Mine(a='(')", ("dir/my file.py:Mine", {"a": "("})),
        ("a.b:C(x=-1.5e-3)", ("a.b:C", {"x": -1.5e-3})),
    ],
)
def test_a_specification_is_a_name_and_options(spec: str, expected: Any) -> None:
    assert parse(spec) == expected


HOSTILE = [
    "quadratic(dimension=__import__('os').getpid())",
    "quadratic(dimension=print)",
    "quadratic(dimension=9**9**9)",
    "quadratic(dimension=(lambda: 3)())",
    "quadratic(dimension=[x for x in (1,)])",
    "quadratic(dimension=f'{1}')",
]
MALFORMED = [
    "quadratic(",
    "quadratic)(",
    "quadratic(3)",
    "quadratic(*[3])",
    "quadratic(**{'dimension': 3})",
    "quadratic(dimension=)",
    "quadratic(dimension=3",
    "quadratic(dimension=3))",
    "quadratic(dimension=3)()",
    "quadratic(dimension=3).sample()",
    "quadratic(dimension=3) or f(dimension=4)",
    "quadratic(dimension=3, dimension=4)",
    "quadratic(dimension=3\0)",
    "quadratic(dimension=" + "-" * 5000 + "1)",
    "quadratic(dimension=" + "(" * 5000 + ")" * 5000 + ")",
]


@pytest.mark.parametrize("spec", [*HOSTILE, *MALFORMED], ids=lambda spec: repr(spec[:45]))
def test_what_is_no_literal_is_refused(spec: str, sentence: Callable) -> None:
    assert sentence(parse, spec) == (
        f"cannot read {spec!r}; write options like quadratic(dimension=20), values as literals"
    )


@given(st.text(st.sampled_from("lstm(=',)[]{}*-:1 \n\0θ"), max_size=12))
def test_no_text_escapes_as_anything_but_a_sentence(text: str) -> None:
    from metadescent._errors import UserError

    try:
        name, options = parse(text)
    except UserError:
        return
    assert isinstance(name, str)
    assert all(isinstance(option, str) for option in options)


def test_problems_are_found_by_discovery() -> None:
    found = problems()
    assert {"quadratic", "quadratic-uniform", "mnist", "digits"} <= found.keys()
    assert all(isinstance(named, Named) for named in found.values())


def test_optimizers_are_found_by_discovery() -> None:
    found = optimizers()
    assert found["lstm"] is LSTM
    assert all(issubclass(kind, LearnedOptimizer) for kind in found.values())


def test_options_reach_the_problem_and_the_optimizer() -> None:
    assert make_problem("quadratic-uniform(dimension=3)").dimension == 3
    m = make_optimizer("lstm(layers=(2,), p=None, scale=0.5)", KEY)
    assert (m.layers, m.p, m.scale) == ((2,), None, 0.5)


def test_phi_is_drawn_from_the_key(assert_same_bits: Callable) -> None:
    make = lambda seed: make_optimizer("lstm(layers=(2,))", jax.random.key(seed))  # noqa: E731
    assert_same_bits(make(0), make(0))
    assert not np.allclose(make(0).output.weight, make(1).output.weight)


def test_a_recipe_is_the_problems_own_whatever_its_options() -> None:
    assert recipe_of("quadratic(dimension=3)") == dict(problems()["quadratic"].recipe)
    assert recipe_of("quadratic") is not problems()["quadratic"].recipe
    assert recipe_of("elsewhere:Problem") == {}


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (
            lambda: make_problem("qudratic"),
            "there is no problem named 'qudratic'; did you mean 'quadratic'?",
        ),
        (
            lambda: make_optimizer("lstn", KEY),
            "there is no optimizer named 'lstn'; did you mean 'lstm'?",
        ),
        (
            lambda: make_problem("quadratic(dimensions=3)"),
            "quadratic has no option 'dimensions'; did you mean 'dimension'?",
        ),
        (
            lambda: make_problem("quadratic(zzz=3)"),
            "quadratic has no option 'zzz'; known are dimension",
        ),
        (
            lambda: make_optimizer("lstm(units=3)", KEY),
            "lstm has no option 'units'; known are layers, p, scale",
        ),
        (
            lambda: make_optimizer("lstm(key=3)", KEY),
            "lstm has no option 'key'; known are layers, p, scale",
        ),
    ],
    ids=["problem", "optimizer", "option", "far option", "optimizer's option", "key"],
)
def test_a_wrong_name_gets_a_hint(
    make: Callable[[], Any], expected: str, sentence: Callable
) -> None:
    assert sentence(make) == expected


def test_an_unknown_problem_lists_the_known_ones(sentence: Callable) -> None:
    found = sentence(make_problem, "zzz")
    assert found == f"there is no problem named 'zzz'; known are {', '.join(sorted(problems()))}"


@pytest.mark.parametrize(
    "make",
    [
        lambda: make_optimizer("lstm(layers=(0,))", KEY),
        lambda: make_optimizer("lstm(layers=(-2,))", KEY),
        lambda: make_optimizer("lstm(layers=2)", KEY),
        lambda: make_optimizer("lstm(layers=('two',))", KEY),
    ],
    ids=["no units", "negative units", "not a sequence", "not a number"],
)
def test_an_option_of_no_sense_is_one_line(make: Callable[[], Any], sentence: Callable) -> None:
    found = sentence(make)
    assert "lstm" in found
    assert "layer" in found
    assert "\n" not in found


def test_nearest_is_the_closest_name_or_all_of_them() -> None:
    assert nearest("adm", ["sgd", "adam"]) == "did you mean 'adam'?"
    assert nearest("zzz", ["sgd", "adam"]) == "known are adam, sgd"


MINE = """
import equinox as eqx
import jax.numpy as jnp
from metadescent.problems.base import Optimizee, Problem

class Bowl(Optimizee):
    size: int = eqx.field(static=True, default=2)

    def init(self, key):
        return jnp.ones(self.size)

    def loss(self, theta, key):
        return jnp.sum(theta**2)

class Bowls(Problem):
    size: int = eqx.field(static=True, default=2)

    def sample(self, key):
        return Bowl(self.size)

number = 3
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "my_bowls.py"
    path.write_text(MINE)
    return path


def test_a_file_outside_the_package_will_do(mine: Path) -> None:
    problem = make_problem(f"{mine}:Bowls(size=4)")
    f = problem.sample(KEY)
    assert float(f.loss(f.init(KEY), KEY)) == 4.0


def test_a_module_outside_the_package_will_do(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(mine.parent))
    assert isinstance(make_problem("my_bowls:Bowls"), Problem)
    monkeypatch.delitem(sys.modules, "my_bowls")


def test_two_files_of_one_name_are_two_modules(mine: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / mine.name
    other.parent.mkdir()
    other.write_text(MINE.replace("theta**2", "2 * theta**2"))
    once, twice = (make_problem(f"{path}:Bowls").sample(KEY) for path in (mine, other))
    assert 2 * float(once.loss(once.init(KEY), KEY)) == float(twice.loss(twice.init(KEY), KEY))
    assert fingerprint(make_problem(f"{mine}:Bowls")) != fingerprint(make_problem(f"{other}:Bowls"))


def test_a_file_may_bear_the_name_of_a_module(tmp_path: Path) -> None:
    path = tmp_path / "json.py"
    path.write_text(MINE)
    problem = make_problem(f"{path}:Bowls")
    assert sys.modules["json"] is not sys.modules[type(problem).__module__]


@pytest.mark.parametrize(
    ("make", "spec", "expected"),
    [
        (make_problem, "{file}:Bowl", "{file} has no Problem named 'Bowl'; did you mean 'Bowls'?"),
        (make_problem, "{file}:Bows", "{file} has no Problem named 'Bows'; did you mean 'Bowls'?"),
        (make_problem, "{file}:zz", "{file} has no Problem named 'zz'; known are Bowls"),
        (make_problem, "{file}:number", "{file} has no Problem named 'number'; known are Bowls"),
        (
            make_problem,
            "{file}:Bowls(sise=3)",
            "{file}:Bowls has no option 'sise'; did you mean 'size'?",
        ),
        (
            make_problem,
            "{file}x.py:Bowls",
            "there is no file {file}x.py; give the path of a Python file",
        ),
        (
            make_problem,
            "no_such_module:Bowls",
            "cannot import 'no_such_module': No module named 'no_such_module'; is it installed?",
        ),
        (
            make_problem,
            "..bowls:Bowls",
            "cannot import '..bowls': the 'package' argument is required to perform a relative "
            "import for '..bowls'; is it installed?",
        ),
        (make_problem, ":Bowls", "cannot import '': Empty module name; is it installed?"),
    ],
    ids=["kind", "near", "far", "no class", "option", "file", "module", "relative", "nothing"],
)
def test_a_wrong_place_is_named(
    make: Callable, spec: str, expected: str, mine: Path, sentence: Callable
) -> None:
    assert sentence(make, spec.format(file=mine)) == expected.format(file=mine)


FUNCTIONS = """
import jax, jax.numpy as jnp
from jax import jit
from metadescent import FromFunction

FACTOR = 3.0

def init(key):
    return jnp.ones(2)

def loss(theta, key):
    return FACTOR * jnp.sum(theta**2)

ready = FromFunction(loss, init)

def scaled(size: float = 1.0):
    return FromFunction(lambda theta, key: size * loss(theta, key), init)

def needs(size: float):
    return scaled(size)

def forgotten():
    pass

def lost():
    return {}["nothing"]
"""


@pytest.fixture
def functions(tmp_path: Path) -> Path:
    path = tmp_path / "my_functions.py"
    path.write_text(FUNCTIONS)
    return path


@pytest.mark.parametrize(
    ("name", "value"),
    [("ready", 6.0), ("scaled", 6.0), ("scaled(size=2.0)", 12.0), ("needs(size=0.5)", 3.0)],
)
def test_an_instance_and_a_function_outside_the_package_will_do(
    name: str, value: float, functions: Path
) -> None:
    f = make_problem(f"{functions}:{name}").sample(KEY)
    assert float(f.loss(f.init(KEY), KEY)) == value


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("redy", "{file} has no Problem named 'redy'; did you mean 'ready'?"),
        (
            "FACTOR",
            "{file} has no Problem named 'FACTOR'; known are forgotten, lost, ready, scaled",
        ),
        ("ready(size=2)", "{file}:ready has no option 'size'; none is known"),
        ("scaled(sice=2)", "{file}:scaled has no option 'sice'; did you mean 'size'?"),
        (
            "forgotten",
            "{file}:forgotten returns NoneType and must return a Problem; "
            "try metadescent.FromFunction(loss, init)",
        ),
        ("lost", "cannot make {file}:lost(): KeyError: 'nothing'"),
        (
            "needs",
            "cannot make {file}:needs(): needs() missing 1 required positional argument: 'size'",
        ),
    ],
)
def test_what_is_no_problem_outside_the_package_is_refused(
    name: str, expected: str, functions: Path, sentence: Callable
) -> None:
    assert sentence(make_problem, f"{functions}:{name}") == expected.format(file=functions)


def test_a_fingerprint_is_of_the_file_that_its_functions_are_in(functions: Path) -> None:
    spec = f"{functions}:scaled"
    once, again = fingerprint(make_problem(spec)), fingerprint(make_problem(spec))
    assert once == again
    assert fingerprint(make_problem(f"{spec}(size=2.0)")) != once
    functions.write_text(f"{FUNCTIONS}# The same program, in another file.")
    assert fingerprint(make_problem(spec)) != once
    functions.write_text(FUNCTIONS.replace("FACTOR = 3.0", "FACTOR = 4.0"))
    assert fingerprint(make_problem(spec)) != once


def test_a_problem_is_no_optimizer(mine: Path, sentence: Callable) -> None:
    assert sentence(make_optimizer, f"{mine}:Bowls", KEY) == (
        f"{mine} has no LearnedOptimizer named 'Bowls'; it has none"
    )


def test_the_data_folder_reaches_problems_that_read_data(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    problem = make_problem("mnist(hidden=(2,))", tmp_path)
    assert problem.sample(KEY).images.shape == (3, 784)
    assert make_problem("quadratic", tmp_path).dimension == 10


def write_mnist(folder: Path) -> None:
    images = bytes([0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 28, 0, 0, 0, 28]) + bytes(3 * 784)
    labels = bytes([0, 0, 8, 1, 0, 0, 0, 3, 0, 1, 2])
    (folder / "train-images-idx3-ubyte").write_bytes(images)
    (folder / "train-labels-idx1-ubyte").write_bytes(labels)


def test_a_fingerprint_tells_options_data_and_code_apart(mine: Path) -> None:
    images, labels = np.zeros((4, 2), np.uint8), np.arange(4) % 2
    other = images.copy()
    other[3, 1] = 1
    prints = [
        fingerprint(problem)
        for problem in (
            make_problem("quadratic"),
            make_problem("quadratic(dimension=3)"),
            make_problem("quadratic-uniform"),
            make_problem(f"{mine}:Bowls"),
            MLPClassification(images, labels),
            MLPClassification(other, labels),
            MLPClassification(images.reshape(2, 4), labels[:2]),
            MLPClassification(images, labels, hidden=(3,)),
        )
    ]
    assert len(set(prints)) == len(prints)
    assert fingerprint(make_problem("quadratic")) == prints[0]
    assert fingerprint(MLPClassification(images.copy(), labels)) == prints[4]


def test_a_fingerprint_is_of_functions_wherever_a_problem_keeps_them(tmp_path: Path) -> None:
    path = tmp_path / "kept.py"
    path.write_text(KEPT)
    written = [f"{path}:{kind}(c={c})" for kind in ("Static", "Leaf", "Listed") for c in (1.0, 2.0)]
    once, again = ([fingerprint(make_problem(spec)) for spec in written] for _ in range(2))
    assert once == again
    assert len(set(once)) == len(once)


KEPT = """
import equinox as eqx, jax, jax.numpy as jnp
from metadescent import Optimizee, Problem

class Bowl(Optimizee):
    height: jax.Array

    def init(self, key):
        return jnp.ones(1)

    def loss(self, theta, key):
        return self.height * jnp.sum(theta**2)

class Static(Problem):
    draw: object = eqx.field(static=True)

    def __init__(self, c=1.0):
        self.draw = lambda key: c * jax.random.uniform(key)

    def sample(self, key):
        return Bowl(self.draw(key))

class Leaf(Problem):
    draw: object

    def __init__(self, c=1.0):
        self.draw = lambda key: c * jax.random.uniform(key)

    def sample(self, key):
        return Bowl(self.draw(key))

class Listed(Problem):
    draw: tuple = eqx.field(static=True)

    def __init__(self, c=1.0):
        self.draw = (lambda key: c * jax.random.uniform(key),)

    def sample(self, key):
        return Bowl(self.draw[0](key))
"""


# Sums of problems


written = st.builds(
    lambda name, options: f"{name}({', '.join(f'{k}={v!r}' for k, v in options.items())})",
    words,
    st.dictionaries(words, st.integers() | st.tuples(st.integers(), st.integers()), max_size=2),
)


@given(st.lists(words | written, min_size=1, max_size=4))
def test_splitting_undoes_joining(specs: list[str]) -> None:
    assert terms(" + ".join(specs)) == specs


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("mnist", ["mnist"]),
        ("  mnist  +  convex ", ["mnist", "convex"]),
        ("f(a=(1 + 2)) + g", ["f(a=(1 + 2))", "g"]),
        ("f(a=(1, 2)) + g(b=(3)) + h", ["f(a=(1, 2))", "g(b=(3))", "h"]),
        ("f(a=1 + 2j)", ["f(a=1 + 2j)"]),
        ("a+b.py:Mine(x=1+2j)", ["a+b.py:Mine(x=1+2j)"]),
        ("mnist + ", ["mnist", ""]),
    ],
)
def test_problems_are_split_at_plus_signs_between_spaces(spec: str, expected: list[str]) -> None:
    assert terms(spec) == expected


def test_a_sum_is_its_problems_side_by_side(mine: Path, tmp_path: Path) -> None:
    write_mnist(tmp_path)
    spec = f"quadratic(dimension=3) + mnist(hidden=(2,)) + {mine}:Bowls(size=4)"
    problem = make_problem(spec, tmp_path)
    assert isinstance(problem, Together)
    quadratic, mlp, bowls = problem.sample(KEY).init(KEY)
    assert quadratic.shape == (3,)
    assert [w.shape for w, _ in mlp] == [(784, 2), (2, 3)]
    assert bowls.shape == (4,)


def test_one_problem_is_no_sum() -> None:
    assert isinstance(make_problem("quadratic(dimension=3)"), Quadratic)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("quadratic + convx", "there is no problem named 'convx'; did you mean 'convex'?"),
        ("qudratic + convex", "there is no problem named 'qudratic'; did you mean 'quadratic'?"),
        (
            "quadratic + convex(dimensoin=3)",
            "convex has no option 'dimensoin'; did you mean 'dimension'?",
        ),
    ],
)
def test_a_wrong_name_in_a_sum_gets_a_hint(spec: str, expected: str, sentence: Callable) -> None:
    assert sentence(make_problem, spec) == expected


@pytest.mark.parametrize("spec", ["quadratic + ", " + convex", "+", "quadratic +  + convex"])
def test_a_sum_of_nothing_is_one_line(spec: str, sentence: Callable) -> None:
    said = sentence(make_problem, spec)
    assert said.startswith("there is no problem named ")
    assert "\n" not in said


def test_the_recipe_of_a_sum_is_the_first_ones() -> None:
    assert recipe_of("convex(dimension=3) + quadratic") == recipe_of("convex") != {}
    assert recipe_of("quadratic(dimension=3) + convex") == recipe_of("quadratic")
    assert recipe_of("elsewhere:Problem + quadratic") == {}


# Estimators


@pytest.mark.parametrize(
    ("spec", "kind"), [("truncated", Truncated), ("pes", PES), ("imitation", Imitation)]
)
def test_estimators_are_found_by_discovery(spec: str, kind: type) -> None:
    assert type(make_estimator(spec)) is kind
    assert make_estimator(f"{spec}(problems=3)").problems == 3


def test_what_is_given_fills_what_the_specification_leaves_open() -> None:
    given = {"problems": 5, "coordinates": 7, "epochs": 3}
    assert make_estimator("truncated", **given) == Truncated(problems=5, coordinates=7)
    assert make_estimator("truncated(problems=2)", **given) == Truncated(2, coordinates=7)
    assert make_estimator("pes(std=0.5)", **given) == PES(problems=5, std=0.5)


MY_ESTIMATOR = """
import equinox as eqx
from metadescent.meta.estimators.pes import PES
from metadescent.meta.estimators.base import Estimator

class Mine(Estimator):
    problems: int = eqx.field(static=True, default=1)
    begin = PES.begin
    estimate = PES.estimate
"""


def test_an_estimator_outside_the_package_will_do(tmp_path: Path, sentence: Callable) -> None:
    path = tmp_path / "mine.py"
    path.write_text(MY_ESTIMATOR)
    found = make_estimator(f"{path}:Mine", problems=4, coordinates=7)
    assert isinstance(found, Estimator)
    assert found.problems == 4
    assert sentence(make_estimator, f"{path}:Min") == (
        f"{path} has no Estimator named 'Min'; did you mean 'Mine'?"
    )


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("pse", "there is no estimator named 'pse'; did you mean 'pes'?"),
        ("pes(sdt=0.1)", "pes has no option 'sdt'; did you mean 'std'?"),
        ("pes(coordinates=3)", "pes has no option 'coordinates'; known are leaves, problems, std"),
        ("pes(std=0.0)", "std is 0.0 and must be at least 1e-12"),
    ],
)
def test_a_wrong_estimator_gets_a_hint(spec: str, expected: str, sentence: Callable) -> None:
    assert sentence(make_estimator, spec, problems=3) == expected


def test_a_fingerprint_is_of_all_parts(mine: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / mine.name
    other.parent.mkdir()
    other.write_text(MINE.replace("theta**2", "2 * theta**2"))
    here, there = (make_problem(f"{path}:Bowls") for path in (mine, other))
    images, labels = np.zeros((4, 2), np.uint8), np.arange(4) % 2
    wraps: list[Callable[[Problem], Problem]] = [
        lambda p: p,
        Logarithm,
        Rescaled,
        lambda p: Rescaled(p, 1.0),
        FanIn,
        lambda p: Logarithm(Rescaled(p)),
        lambda p: Rescaled(Logarithm(p)),
        lambda p: Together([p]),
        lambda p: Together([Convex(), p]),
        lambda p: Together([p, Convex()]),
        lambda p: Together([Convex(), Logarithm(p)]),
    ]
    inner = [here, there, MLPClassification(images, labels), MLPClassification(images + 1, labels)]
    prints = [fingerprint(wrap(problem)) for wrap in wraps for problem in inner]
    assert len(set(prints)) == len(prints)
    again = MLPClassification(images.copy(), labels)
    assert fingerprint(Together([Convex(), Logarithm(again)])) == prints[-2]
