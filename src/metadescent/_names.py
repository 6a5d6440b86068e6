"""What a name stands for: in the package by discovery, outside by `module:Name` or `file.py:Name`.

A package is searched for modules with a `NAMED`, {name: what makes the thing}. No JAX.
"""

import hashlib
import importlib
import importlib.util
import inspect
import os
import pkgutil
import sys
from collections import ChainMap
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
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


def build(make: Callable[..., Any], call: Call, **given: Any) -> Any:
    """Return what `make` makes from the options of a call, and from those given that it takes."""
    parameters = parameters_of(make)
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        given = {name: value for name, value in given.items() if name in parameters}
        accepted = [n for n, p in parameters.items() if n != "key" and p.kind not in _UNNAMED]
        for option in call.options:
            if option not in accepted:
                choices = [p for p in accepted if p != "data_dir"]
                raise UserError(f"{call.name} has no option {option!r}; {nearest(option, choices)}")
    try:
        return make(**given, **call.options)
    except UserError as error:
        if ":" not in call.name:
            raise
        raise UserError(f"{call.name}: {error}") from error
    except Exception as error:  # `make` may be anyone's code
        raise UserError(f"cannot make {call.in_full()}: {_reason(error)}") from error


_UNNAMED = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL)


def parameters_of(make: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return the parameters of a callable by name; if it has no signature, it takes any."""
    with suppress(ValueError, TypeError):
        return dict(inspect.signature(make).parameters)
    return {"options": inspect.Parameter("options", inspect.Parameter.VAR_KEYWORD)}


def _reason(error: Exception) -> str:
    reason = str(error).partition("\n")[0]
    usual = isinstance(error, TypeError | ValueError | ArithmeticError)
    return reason if usual else f"{type(error).__name__}: {reason}"


def maker_outside(name: str, kind: type) -> Callable[..., Any]:
    """Return what makes a `kind`: a class, a callable, or what returns the named instance."""
    module, value = _named_outside(name)
    if isinstance(value, kind):
        return lambda: value
    if not (_extends(value, kind) or (callable(value) and not isinstance(value, type))):
        place, _, attribute = name.rpartition(":")
        names = [x for x, v in vars(module).items() if _may_make(v, kind, module)]
        hint = nearest(attribute, names) if names else "it has none"
        raise UserError(f"{place} has no {kind.__name__} named {attribute!r}; {hint}")
    return value


def _extends(value: Any, kind: type) -> bool:
    return isinstance(value, type) and issubclass(value, kind) and value is not kind


def _may_make(value: Any, kind: type, module: ModuleType) -> bool:
    """Tell whether to suggest a value: an instance, a class, or a function without options."""
    if isinstance(value, kind | partial):
        return True
    if getattr(value, "__module__", None) != module.__name__:
        return False
    if isinstance(value, type) or not callable(value):
        return _extends(value, kind)
    return all(p.default is not p.empty for p in parameters_of(value).values())


def located(name: str, home: Path) -> str:
    """Return a name with the whole path of its file, if that is found from `home`, or in ~.

    A module of `home` is imported from there, unless another place has it.
    """
    place, _, attribute = name.rpartition(":")
    if place.endswith(".py"):
        path = home / os.path.expanduser(place)
        return f"{path.resolve()}:{attribute}" if os.path.isfile(path) else name
    if place and str(home) not in sys.path:
        sys.path.append(str(home))
    return name


def is_outside(file: str) -> bool:
    """Tell whether a Python file was imported for a name."""
    modules = ChainMap(_NAMED, _SIBLINGS).values()
    return file in {getattr(module, "__file__", None) for module in modules}


_NAMED: dict[str, ModuleType] = {}
"""The modules that were imported for names."""
_SIBLINGS: dict[str, ModuleType] = {}
"""The modules that these have imported from their own folders."""
_PLACES: set[str] = set()
"""The folders of these modules that were not on Python's path."""


def _named_outside(name: str) -> tuple[ModuleType, Any]:
    """Return a module, by its name or file, and what it has under this name, None if nothing."""
    place, _, attribute = name.rpartition(":")
    module = _import_file(Path(place)) if place.endswith(".py") else _import_module(place)
    _NAMED[module.__name__] = module
    return module, getattr(module, attribute, None)


@contextmanager
def _beside(folder: Path) -> Iterator[None]:
    """Let modules be imported from a folder, afresh, as by a program that is started there."""
    # Another file may have its own `helpers`, and `helpers` may have changed since.
    for name, module in _SIBLINGS.items():
        if sys.modules.get(name) is module:
            del sys.modules[name]
    place, known = str(folder), {name.partition(".")[0] for name in sys.modules}
    if place not in sys.path:
        _PLACES.add(place)
    importlib.invalidate_caches()
    sys.path.insert(0, place)
    # To Python's cache a file is unchanged if it changes within a second and keeps its length.
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = writes
        sys.path.remove(place)
        if place not in sys.path:
            sys.path.append(place)  # last, so that it hides nothing that is imported later
        if place in _PLACES:
            for name, module in list(sys.modules.items()):
                top = folder / name.partition(".")[0]
                if top.name not in known and _lies_in(module, top):
                    _SIBLINGS[name] = module


def _lies_in(module: Any, top: Path) -> bool:
    """Tell whether a module is the file of a path, or lies in the package of a path."""
    # A package without an __init__.py has a folder but no file.
    file = Path(getattr(module, "__file__", None) or [*getattr(module, "__path__", ()), "."][0])
    return file == top.with_suffix(".py") or top in (file, *file.parents)


def _import_module(name: str) -> ModuleType:
    try:
        with _beside(Path.cwd()):
            return importlib.import_module(name)
    except (ImportError, ValueError, TypeError) as error:
        raise UserError(f"cannot import {name!r}: {error}; is it installed?") from error
    except (Exception, SystemExit) as error:
        raise _broken(name, error) from error


def _import_file(path: Path) -> ModuleType:
    path = Path(os.path.expanduser(path))
    # Two files of one name are two modules, and a json.py is not Python's json.
    name = f"{path.stem}_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise UserError(f"there is no file {path}; give the path of a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        with _beside(path.resolve().parent):
            # Equinox resolves the annotations of a class through sys.modules.
            sys.modules[name] = module
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
