"""What a name stands for: in the package by discovery, outside by `module:Name` or `file.py:Name`.

A package is searched for modules with a `NAMED`, {name: what makes the thing}. No JAX.
"""

import hashlib
import importlib
import importlib.util
import inspect
import pkgutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from metadescent._errors import UserError
from metadescent._spec import Call
from metadescent._text import nearest


def discovered(package: str) -> dict[str, Any]:
    """Return what the modules of a package name in `NAMED`, all together."""
    named: dict[str, Any] = {}
    room = importlib.import_module(package)
    for info in pkgutil.walk_packages(room.__path__, f"{package}."):
        named |= getattr(importlib.import_module(info.name), "NAMED", {})
    return named


def look_up(name: str, among: dict[str, Any], noun: str) -> Any:
    """Return what has this name; `noun` says in the error what was looked for."""
    if name not in among:
        raise UserError(f"there is no {noun} named {name!r}; {nearest(name, among)}")
    return among[name]


def build(make: Callable[..., Any], call: Call) -> Any:
    """Return what `make` makes of the options of a call."""
    accepted = [p for p in inspect.signature(make).parameters if p != "key"]
    for option in call.options:
        if option not in accepted:
            choices = [p for p in accepted if p != "data_dir"]
            raise UserError(f"{call.name} has no option {option!r}; {nearest(option, choices)}")
    try:
        return make(**call.options)
    except UserError:
        raise
    except Exception as error:  # What is made may be anyone's code.
        raise UserError(f"cannot make {call.in_full()}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    reason = str(error).partition("\n")[0]
    usual = isinstance(error, TypeError | ValueError | ArithmeticError)
    return reason if usual else f"{type(error).__name__}: {reason}"


def class_outside(name: str, kind: type) -> Callable[..., Any]:
    """Return the class outside the package that has this name; it must extend `kind`."""
    module, value = _named_outside(name)
    if not _extends(value, kind):
        raise _absent(name, kind, [x for x, v in vars(module).items() if _extends(v, kind)])
    return value


def maker_outside(name: str, kind: type) -> Callable[..., Any]:
    """Return what makes a `kind`: a class, any function, or for an instance one that returns it."""
    module, value = _named_outside(name)
    if isinstance(value, kind):
        return lambda: value
    if not (_extends(value, kind) or inspect.isfunction(value)):
        names = [x for x, v in vars(module).items() if _may_make(v, kind, module)]
        raise _absent(name, kind, names)
    return value


def _extends(value: Any, kind: type) -> bool:
    return isinstance(value, type) and issubclass(value, kind) and value is not kind


def _may_make(value: Any, kind: type, module: ModuleType) -> bool:
    """Whether to offer it: an instance, a class of the file, a function that needs no options."""
    if isinstance(value, kind) or getattr(value, "__module__", None) != module.__name__:
        return isinstance(value, kind)
    if not inspect.isfunction(value):
        return _extends(value, kind)
    return all(p.default is not p.empty for p in inspect.signature(value).parameters.values())


def _absent(name: str, kind: type, names: list[str]) -> UserError:
    place, _, attribute = name.rpartition(":")
    hint = nearest(attribute, names) if names else "it has none"
    return UserError(f"{place} has no {kind.__name__} named {attribute!r}; {hint}")


def _named_outside(name: str) -> tuple[ModuleType, Any]:
    """Return a module, by its name or file, and what it has under this name, None if nothing."""
    place, _, attribute = name.rpartition(":")
    module = _import_file(Path(place)) if place.endswith(".py") else _import_module(place)
    return module, getattr(module, attribute, None)


def _import_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except (ImportError, ValueError, TypeError) as error:
        raise UserError(f"cannot import {name!r}: {error}; is it installed?") from error
    except (Exception, SystemExit) as error:
        raise _broken(name, error) from error


def _import_file(path: Path) -> ModuleType:
    # Files of one name in two folders are two modules, and neither is the json of Python.
    name = f"{path.stem}_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise UserError(f"there is no file {path}; give the path of a Python file")
    module = importlib.util.module_from_spec(spec)
    # Equinox resolves the annotations of a class through sys.modules.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise _broken(str(path), error) from error
    return module


def _broken(place: str, error: BaseException) -> UserError:
    """Return the sentence for code of the user's that cannot be run."""
    reason = " ".join(str(error).split())[:200]
    return UserError(
        f"{place} cannot be imported, {type(error).__name__}: {reason}; mend it, --debug shows "
        "where"
    )
