"""Names are discovered, options are literals, and a name that is wrong gets a hint."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
import pytest

from metadescent._spec import Spec, calls, parse
from metadescent._text import nearest
from metadescent.meta.estimators.base import Estimator
from metadescent.meta.estimators.imitation import Imitation
from metadescent.meta.estimators.pes import PES
from metadescent.meta.estimators.pool import Pool
from metadescent.meta.estimators.truncated import Truncated
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.optimizers.lstm import LSTM
from metadescent.problems.base import Named, Problem
from metadescent.problems.quadratic import Quadratic
from metadescent.problems.together import Together
from metadescent.registry import (
    make_estimator,
    make_optimizer,
    make_problem,
    optimizers,
    problems,
    recipe_of,
    spec_of,
)

KEY = jax.random.key(0)


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


CALLABLE = """
import functools
from my_functions import scaled

part = functools.partial(scaled, size=2.0)
cached = functools.cache(scaled)

def wrapped(*args, **options):
    return scaled(*args, **options)

class Maker:
    def __call__(self, size=1.0):
        return scaled(size)

    @classmethod
    def of(cls, size=1.0):
        return scaled(size)

maker, of = Maker(), Maker.of

def lazily(size=1.0):
    import sibling
    return scaled(size * sibling.FACTOR)
"""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("part", 12.0),
        ("part(size=1.0)", 6.0),
        ("cached(size=2.0)", 12.0),
        ("wrapped(size=2.0)", 12.0),
        ("maker(size=2.0)", 12.0),
        ("of(size=2.0)", 12.0),
        ("lazily", 18.0),
    ],
)
@pytest.mark.parametrize(
    "spelled", ["{folder}/made (1).py", "~/made (1).py", "link.py", "package.made"]
)
def test_what_can_be_called_and_what_lies_beside_it_are_as_python_has_them(
    name: str,
    value: float,
    spelled: str,
    functions: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "made (1).py").write_text(CALLABLE)
    (tmp_path / "sibling.py").write_text("FACTOR = 3.0")
    here = tmp_path / "here"
    (here / "package").mkdir(parents=True)
    (here / "link.py").symlink_to(tmp_path / "made (1).py")
    (here / "package" / "made.py").write_text(CALLABLE)
    monkeypatch.chdir(here)
    if spelled == "package.made":
        for file in (functions, tmp_path / "sibling.py"):
            (here / file.name).write_text(file.read_text())
    monkeypatch.setenv("HOME", str(tmp_path))
    f = make_problem(f"{spelled.format(folder=tmp_path)}:{name}").sample(KEY)
    assert float(f.loss(f.init(KEY), KEY)) == value


def test_what_lies_beside_a_file_is_its_own_and_as_it_is_now(tmp_path: Path) -> None:
    code = FUNCTIONS.replace("FACTOR = 3.0", "from beside import FACTOR")

    def value(folder: str) -> float:
        f = make_problem(f"{tmp_path / folder}/my_functions.py:ready").sample(KEY)
        return float(f.loss(f.init(KEY), KEY))

    for folder, factor in (("a", 1.0), ("b", 2.0)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "my_functions.py").write_text(code)
        (tmp_path / folder / "beside.py").write_text(f"FACTOR = {factor}")
    assert [value("a"), value("b"), value("a")] == [2.0, 4.0, 2.0]
    (tmp_path / "a" / "beside.py").write_text("FACTOR = 5.0")
    assert value("a") == 10.0


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


# Sums of problems


def test_a_sum_is_its_problems_side_by_side(mine: Path, tmp_path: Path) -> None:
    write_mnist(tmp_path)
    spec = f"quadratic(dimension=3) + mnist(hidden=(2,)) + {mine}:Bowls(size=4)"
    problem = make_problem(spec, tmp_path)
    assert isinstance(problem, Together)
    # Shapes alone, so that nothing is compiled.
    quadratic, mlp, bowls = eqx.filter_eval_shape(lambda key: problem.sample(key).init(key), KEY)
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
    ("spec", "kind"),
    [("truncated", Truncated), ("pes", PES), ("imitation", Imitation), ("pool", Pool)],
)
def test_estimators_are_found_by_discovery(spec: str, kind: type) -> None:
    assert type(make_estimator(spec)) is kind
    assert make_estimator(f"{spec}(problems=3)").problems == 3


def test_what_is_given_fills_what_the_specification_leaves_open() -> None:
    given = {"problems": 5, "coordinates": 7, "epochs": 3}
    assert make_estimator("truncated", **given) == Truncated(problems=5, coordinates=7)
    assert make_estimator("truncated(problems=2)", **given) == Truncated(2, coordinates=7)
    assert make_estimator("pes(std=0.5)", **given) == PES(problems=5, std=0.5)


def test_an_estimator_may_be_one_of_another_estimators() -> None:
    given = {"problems": 5, "coordinates": 7, "steps": 40, "weigh_from": 8}
    paper = Pool(Truncated(coordinates=7), steps=40, problems=5, weigh_from=8)
    assert make_estimator("pool", **given) == make_estimator("truncated >> pool", **given) == paper
    spec = "pes(std=0.5, problems=2) >> pool(steps=20, problems=4)"
    assert make_estimator(spec) == Pool(PES(problems=2, std=0.5), steps=20, problems=4)


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
        (
            "pes(coordinates=3)",
            "pes has no option 'coordinates'; known are floor, leaves, log, problems, reuse, std",
        ),
        ("pes(std=0.0)", "std is 0.0 and must be at least 1e-12"),
        ("pes >> truncated", "truncated does not take an estimator; try 'truncated >> pool'"),
        ("pool(weigh_from=9, steps=9)", "weigh_from is 9 and must be from 0 to 8"),
    ],
)
def test_a_wrong_estimator_gets_a_hint(spec: str, expected: str, sentence: Callable) -> None:
    assert sentence(make_estimator, spec, problems=3) == expected


# Specifications of optimizers that are there


WRITTEN = [
    "lstm",
    "lstm(layers=(3,), p=None, scale=0.5)",
    "lstm(layers=(), scale=0.5)",
    "anytime(layers=(3,), betas=(0.5, 0.9), tau=50.0, clock=20.0, scale=0.2)",
    "modulated(layers=(3,), betas=(0.5, 0.9), clock=10.0, scale=0.2)",
    "rnnprop(layers=(3,), beta=0.9, scale=0.3)",
    "blend(horizon=50.0, hidden=4)",
    "pace(horizon=50.0, corners=4)",
    "warm-up",
    "relative(ceiling=5.0)",
    "proportional(ceiling=0.2)",
    "pictorial(units=4, betas=(0.5,), blurs=(2.0,), tau=10.0, clock=20.0, scale=0.1, memory=3, "
    "window=4.0, fine=2.0, coarse=4.0)",
    "pictorial(memory=0)",
    "tailored(coordinates=3, units=4, betas=(0.5,), memory=3, guard=False, horizon=50.0)",
    "lstm-gac(layers=(4,), averaging=2, p=None, scale=0.3)",
    "ntm-bfgs(layers=(4,), averaging=2, p=5.0, scale=0.2, reads=2, writes=2, gamma=0.5, limit=100)",
    "ntm-bfgs(layers=(4,), averaging=2, secants=0.5)",
    "ntm-l-bfgs(layers=(4,), averaging=2, p=None, reads=2, writes=2, gamma=0.5, history=4)",
    "ntm-l-bfgs(layers=(4,), averaging=2, history=4, secants=1.0)",
    "optax.adam(learning_rate=0.01)",
    "lstm(layers=(3,)) >> pace(corners=3)",
    "lstm(layers=(3,)) >> relative >> warm-up",
    "lstm(layers=(3,)) >> guard",
    "lstm(layers=(3,)) >> relative >> guard(limit=0.2, rate=0.01)",
    "* -> lstm(layers=(3,))",
    "conv/* -> rnnprop >> guard + * -> optax.adam(learning_rate=0.01) >> guard",
    "conv/* -> lstm(layers=(3,)) >> pace + out/* -> rnnprop + * -> optax.sgd(learning_rate=0.1)",
]


def made(spec: str | Spec) -> LearnedOptimizer:
    """An optimizer with shapes where φ is, so that nothing is drawn."""
    return eqx.filter_eval_shape(lambda key: make_optimizer(spec, key), KEY)


@pytest.mark.parametrize("spec", WRITTEN)
def test_an_optimizer_tells_the_specification_that_made_it(spec: str) -> None:
    assert str(spec_of(made(spec))) == spec


def test_every_kind_of_optimizer_is_among_those() -> None:
    assert {call.name for spec in WRITTEN for call in calls(parse(spec))} >= optimizers().keys()


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("modulated(layers=(3,), power=0.5)", "modulated(layers=(3,))"),
        ("pace(linear=True, corners=3)", "pace(corners=3)"),
        ("proportional(rate=0.5, floor=0.1, power=0.5, ceiling=0.2)", "proportional(ceiling=0.2)"),
        ("relative(rate=0.1, floor=0.2)", "relative"),
        ("warm-up(steps=5.0)", "warm-up"),
    ],
)
def test_what_says_where_phi_begins_is_left_to_phi(spec: str, expected: str) -> None:
    m = made(spec)
    assert str(spec_of(m)) == expected
    again = made(spec_of(m))
    assert jax.tree.structure(again) == jax.tree.structure(m)
    assert jax.tree.leaves(again) == jax.tree.leaves(m)


def test_numbers_of_numpy_are_written_as_python_writes_them() -> None:
    with pytest.warns(UserWarning, match="static"):  # Equinox's, of any array in such a field
        m = LSTM((2,), scale=np.float64(0.05), key=KEY)
    assert str(spec_of(m)) == "lstm(layers=(2,), scale=0.05)"


def test_a_rule_of_ones_own_has_no_specification(sentence: Callable) -> None:
    class Mine(LearnedOptimizer):
        init = update = lambda self, *_: None

    assert sentence(spec_of, Mine()) == (
        "what makes this Mine is not known; name it, such as optimizer='my_rule.py:Mine'"
    )
