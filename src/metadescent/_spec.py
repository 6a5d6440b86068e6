"""Specifications, "name(option=value, …)": how problems and optimizers are written; no JAX.

Options are literals, so nothing is evaluated. Joined by plus signs they stand side by side,
`mnist + convex`, arrows give optimizers leaves of their own, `conv/* -> lstm + * -> rnnprop`, and
double arrows put rules one behind the other, `lstm >> pace`.
"""

import ast
import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable
from typing import Any

from metadescent._errors import UserError
from metadescent._text import nearest


def parse(spec: str) -> tuple[str, dict[str, Any]]:
    """Split "name(option=value, …)" into the name and its options, which must be literals.

    Example:
        >>> parse("quadratic(dimension=20)")
        ('quadratic', {'dimension': 20})
        >>> parse("mnist")
        ('mnist', {})
    """
    name, bracket, rest = spec.partition("(")
    if not bracket:
        return spec.strip(), {}
    try:
        call = ast.parse(f"f({rest}", mode="eval").body
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)) or call.args:
            raise ValueError
        options = {k.arg: ast.literal_eval(k.value) for k in call.keywords if k.arg}
        if len(options) != len(call.keywords):
            raise ValueError  # **options, or an option given twice
        return name.strip(), options
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
        raise UserError(
            f"cannot read {spec!r}; write options like quadratic(dimension=20), values as literals"
        ) from error


def terms(spec: str) -> list[str]:
    """Split a specification at the plus signs that stand between spaces, outside of brackets.

    Example:
        >>> terms("mnist(hidden=(5, 5)) + convex")
        ['mnist(hidden=(5, 5))', 'convex']
    """
    return _split(spec, "+")


def links(spec: str) -> list[str]:
    """Split the specification of one rule into those that stand one behind the other.

    Example:
        >>> links("lstm(layers=(4,)) >> pace(horizon=50)")
        ['lstm(layers=(4,))', 'pace(horizon=50)']
    """
    return _split(spec, ">>")


def _split(spec: str, sign: str) -> list[str]:
    found, depth = [""], 0
    for piece in re.split(rf"(\s{re.escape(sign)}\s|[()])", spec):
        depth += {"(": 1, ")": -1}.get(piece, 0)
        if piece.strip() == sign and depth == 0:
            found.append("")
        else:
            found[-1] += piece
    return [term.strip() for term in found]


def groups_of(spec: str) -> list[tuple[str, str]]:
    """Split an optimizer's specification into what each group takes and its optimizer.

    Raises:
        UserError: if some of several terms does not say what it takes.

    Example:
        >>> groups_of("conv/* -> lstm + * -> rnnprop")
        [('conv/*', 'lstm'), ('*', 'rnnprop')]
        >>> groups_of("lstm")
        [('*', 'lstm')]
    """
    if "->" not in spec:
        return [("*", spec)]
    found = []
    for term in terms(spec):
        takes, arrow, optimizer = (part.strip() for part in term.partition("->"))
        if not (takes and arrow and optimizer):
            raise UserError(
                f"{term!r} does not say which leaves go to which optimizer; try '* -> lstm'"
            )
        found.append((takes, optimizer))
    return found


def discovered(package: str) -> dict[str, Any]:
    """Return what the modules of a package name in `NAMED`, all together.

    Example:
        >>> "quadratic" in discovered("metadescent.problems")
        True
    """
    found: dict[str, Any] = {}
    room = importlib.import_module(package)
    for info in pkgutil.walk_packages(room.__path__, f"{package}."):
        found.update(getattr(importlib.import_module(info.name), "NAMED", {}))
    return found


def look_up(name: str, among: dict[str, Any], kind: str) -> Any:
    """Return what has a name.

    Raises:
        UserError: if nothing has; `kind` says what was looked for.

    Example:
        >>> look_up("lstm", {"lstm": 1, "rnnprop": 2}, "optimizer")
        1
    """
    if name not in among:
        raise UserError(f"there is no {kind} named {name!r}; {nearest(name, among)}")
    return among[name]


def build(make: Callable[..., Any], name: str, options: dict[str, Any]) -> Any:
    """Return what `make` makes of options.

    Raises:
        UserError: if it has no such option, or an option has no such value.

    Example:
        >>> build(lambda dimension=10: dimension, "quadratic", {"dimension": 20})
        20
    """
    accepted = [p for p in inspect.signature(make).parameters if p != "key"]
    for option in options:
        if option not in accepted:
            choices = [p for p in accepted if p != "data_dir"]
            raise UserError(f"{name} has no option {option!r}; {nearest(option, choices)}")
    try:
        return make(**options)
    except UserError:
        raise
    except Exception as error:  # What is made may be anyone's code.
        raise UserError(f"cannot make {call(name, options)}: {_reason(error)}") from error


def call(name: str, options: dict[str, Any]) -> str:
    """Return what `parse` read, as it may be written.

    Example:
        >>> call("quadratic", {"dimension": 20})
        'quadratic(dimension=20)'
    """
    return f"{name}({', '.join(f'{k}={v!r}' for k, v in options.items())})"


def _reason(error: Exception) -> str:
    reason = str(error).partition("\n")[0]
    usual = isinstance(error, TypeError | ValueError | ArithmeticError)
    return reason if usual else f"{type(error).__name__}: {reason}"
