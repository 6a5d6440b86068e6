"""What each command of the command line does, one idea a file; found by discovery."""

import importlib
import pkgutil

from metadescent.cli.commands.dispatch import run

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["run"]
