"""What lives outside the package, by `module:Name` or `path/to/file.py:Name`."""

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from metadescent._errors import UserError
from metadescent._text import nearest
from metadescent.problems.base import Problem


def class_of(name: str, kind: type) -> Callable[..., Any]:
    """Return the class of a kind that has this name.

    Raises:
        UserError: if there is no such file, module or class.

    Example:
        >>> class_of("metadescent.problems.quadratic:Quadratic", Problem).__name__
        'Quadratic'
    """
    module, where, attribute = _open(name)
    found: Any = getattr(module, attribute, None)
    if not _is_class(found, kind):
        raise _absent(where, kind, attribute, module, lambda value: _is_class(value, kind))
    return found


def problem(name: str) -> Callable[..., Any]:
    """Return what makes the problem of this name: a class, a function, or an instance's own.

    Raises:
        UserError: if there is no such file, module, class, function or instance.

    Example:
        >>> problem("metadescent.problems.mnist:mnist").__name__
        'mnist'
    """
    module, where, attribute = _open(name)
    found: Any = getattr(module, attribute, None)
    if isinstance(found, Problem):
        return lambda: found
    if not (_is_class(found, Problem) or inspect.isfunction(found)):
        raise _absent(where, Problem, attribute, module, lambda x: _may_be_problem(x, module))
    return found


def _is_class(found: Any, kind: type) -> bool:
    return isinstance(found, type) and issubclass(found, kind) and found is not kind


def _may_be_problem(found: Any, module: ModuleType) -> bool:
    """Whether to offer it: an instance, a class of the file, a function that needs no options."""
    if isinstance(found, Problem) or getattr(found, "__module__", None) != module.__name__:
        return isinstance(found, Problem)
    if not inspect.isfunction(found):
        return _is_class(found, Problem)
    return all(p.default is not p.empty for p in inspect.signature(found).parameters.values())


def _absent(
    where: str, kind: type, attribute: str, module: ModuleType, fits: Callable[[Any], bool]
) -> UserError:
    names = [name for name, value in vars(module).items() if fits(value)]
    hint = nearest(attribute, names) if names else "it has none"
    return UserError(f"{where} has no {kind.__name__} named {attribute!r}; {hint}")


def _open(name: str) -> tuple[ModuleType, str, str]:
    where, _, attribute = name.rpartition(":")
    module = _import_file(Path(where)) if where.endswith(".py") else _import_module(where)
    return module, where, attribute


def _import_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except (ImportError, ValueError, TypeError) as error:
        raise UserError(f"cannot import {name!r}: {error}; is it installed?") from error
    except (Exception, SystemExit) as error:
        raise _broken(name, error) from error


def _import_file(path: Path) -> ModuleType:
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


def _broken(where: str, error: BaseException) -> UserError:
    """Return the sentence for code of the user's that cannot be run."""
    reason = " ".join(str(error).split())[:200]
    return UserError(
        f"{where} cannot be imported, {type(error).__name__}: {reason}; mend it, --debug shows "
        "where"
    )
