"""A specification is read into a tree, and written from it again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metadescent._errors import UserError
from metadescent._spec import Call, Chain, Groups, Spec, Sum, calls, parse

literals = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(), inner, max_size=3)
    ),
    max_leaves=3,
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
        ("~/lines (1).py:lines(size=3)", ("~/lines (1).py:lines", {"size": 3})),
        ("it's :).py:C(x='q')", ("it's :).py:C", {"x": "q"})),
        ("a->b.py:C", ("a->b.py:C", {})),
        ("pes(leaves='a.py:b')", ("pes", {"leaves": "a.py:b"})),
        ("f(x='a -> b')", ("f", {"x": "a -> b"})),
        (
            "f(x='a + b', y=['c >> d', \"e) -> f(\"])",
            ("f", {"x": "a + b", "y": ["c >> d", "e) -> f("]}),
        ),
        ("f(x='it\\'s a + b')", ("f", {"x": "it's a + b"})),
    ],
)
def test_a_specification_is_a_name_and_options(spec: str, expected: Any) -> None:
    assert parse(spec) == expected


def test_signs_within_a_value_are_text() -> None:
    rule = "* -> f(x='a -> b') >> g(y='c >> d')"
    assert str(parse(rule)) == rule
    assert [call.options for call in calls(parse(rule))] == [{"x": "a -> b"}, {"y": "c >> d"}]
    assert parse("f(x='a + b') + g") == Sum((Call("f", {"x": "a + b"}), Call("g", {})))


def test_brackets_of_a_path_hide_no_sign() -> None:
    terms = "a (1.py:C", "b).py:D(x=1)", "mnist"
    assert parse(" + ".join(terms)) == Sum(tuple(parse(term) for term in terms))
    rule = "conv/* -> my (rule.py:R(a=1) >> pace + * -> lstm"
    assert str(parse(rule)) == rule
    assert [call.name for call in calls(parse(rule))] == ["my (rule.py:R", "pace", "lstm"]


SIGNED = "a + b/c >> d -> e.py"


def test_a_file_that_exists_is_a_path_whatever_signs_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = f"{SIGNED}:C(x=1)"
    with pytest.raises(UserError, match="'a' does not say which leaves"):
        parse(spec)  # what does not exist is read as ever
    (tmp_path / SIGNED).parent.mkdir()
    (tmp_path / SIGNED).write_text("")
    assert parse(spec, tmp_path) == Call(f"{SIGNED}:C", {"x": 1})
    monkeypatch.chdir(tmp_path)
    for text in (spec, f"{spec} + mnist", f"mnist + {spec}", f"* -> {spec} >> pace + b/* -> lstm"):
        assert str(parse(text)) == text
        assert Call(f"{SIGNED}:C", {"x": 1}) in calls(parse(text))
    assert len(calls(parse(f"{spec} + {spec} + convex"))) == 3


@pytest.mark.parametrize(
    "folder",
    ["a + b", "a >> b", "a -> b", "a, b", "it's", "a: b", "m(n='o", 'q ("z)', "x.py: y", "="],
)
def test_a_folder_may_have_any_signs(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(folder).mkdir()
    Path(folder, "e.py").touch()
    mine = Call(f"{folder}/e.py:C", {"x": 1})
    assert parse(str(mine)) == mine
    assert parse(f"{mine} >> {mine}") == Chain((mine, mine))
    assert parse(f"mnist + {mine} + {mine}") == Sum((Call("mnist", {}), mine, mine))
    assert parse(f"* -> {mine}") == Groups((("*", mine),))


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


@given(st.text(st.sampled_from("lstm(=',)[]{}*->+:1 \n\0θ"), max_size=12))
def test_no_text_escapes_as_anything_but_a_sentence(text: str) -> None:
    try:
        named = calls(parse(text))
    except UserError:
        return
    for name, options in named:
        assert isinstance(name, str)
        assert all(isinstance(option, str) for option in options)


# Trees


a_call = st.builds(
    Call,
    words,
    st.dictionaries(words, st.integers() | st.tuples(st.integers(), st.integers()), max_size=2),
)
a_rule = a_call | st.builds(Chain, st.lists(a_call, min_size=2, max_size=3).map(tuple))
a_spec = (
    a_rule
    | st.builds(Sum, st.lists(a_rule, min_size=2, max_size=4).map(tuple))
    | st.builds(
        Groups,
        st.lists(st.tuples(words | st.just("conv/*"), a_rule), min_size=1, max_size=3).map(tuple),
    )
)


@given(a_spec)
def test_reading_undoes_writing(spec: Spec) -> None:
    again = parse(str(spec))
    assert type(again) is type(spec)
    assert again == spec


def call(name: str, **options: Any) -> Call:
    return Call(name, options)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("lstm", call("lstm")),
        ("lstm >> pace", Chain((call("lstm"), call("pace")))),
        (
            "lstm(layers=(4,)) >> pace(horizon=50)",
            Chain((call("lstm", layers=(4,)), call("pace", horizon=50))),
        ),
        ("* -> lstm", Groups((("*", call("lstm")),))),
        ("*->lstm", Groups((("*", call("lstm")),))),
        (
            "conv/* -> lstm >> pace + * -> optax.sgd(learning_rate=0.1)",
            Groups(
                (
                    ("conv/*", Chain((call("lstm"), call("pace")))),
                    ("*", call("optax.sgd", learning_rate=0.1)),
                )
            ),
        ),
        ("mnist + convex", Sum((call("mnist"), call("convex")))),
        ("  mnist  +  convex ", Sum((call("mnist"), call("convex")))),
        ("mnist + ", Sum((call("mnist"), call("")))),
        ("f(a=(1, 2)) + g(b=(3)) + h", Sum((call("f", a=(1, 2)), call("g", b=3), call("h")))),
        ("f(a=1 + 2j)", call("f", a=1 + 2j)),
        ("f(a=(1 + 2j)) + g", Sum((call("f", a=1 + 2j), call("g")))),
        ("a+b.py:Mine(x=1+2j)", call("a+b.py:Mine", x=1 + 2j)),
    ],
)
def test_signs_between_spaces_and_outside_of_brackets_make_the_tree(text: str, tree: Spec) -> None:
    assert parse(text) == tree
    assert type(parse(text)) is type(tree)


@pytest.mark.parametrize("text", ["conv/* -> lstm + lstm", "-> lstm", "* ->", "* -> lstm + "])
def test_a_group_says_what_it_takes_and_its_rule(text: str, sentence: Callable) -> None:
    assert "does not say which leaves go to which optimizer; try '* -> lstm'" in sentence(
        parse, text
    )


def test_calls_are_all_of_a_tree_in_order() -> None:
    text = "conv/* -> lstm >> pace(corners=3) + * -> rnnprop"
    assert [str(of) for of in calls(parse(text))] == ["lstm", "pace(corners=3)", "rnnprop"]
    assert [of.name for of in calls(parse("mnist + convex"))] == ["mnist", "convex"]


def test_empty_brackets_are_only_written_in_full() -> None:
    assert str(call("mnist")) == "mnist"
    assert call("mnist").in_full() == "mnist()"
    assert str(call("quadratic", dimension=20)) == "quadratic(dimension=20)"
