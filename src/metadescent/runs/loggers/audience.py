"""Several loggers as one, which none of them can stop."""

import copy
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from metadescent._errors import require_kind
from metadescent.runs.loggers.base import Logger, Metrics, Outcome


class Audience(Logger):
    """Loggers that are told in turn; one that fails is left out from then on, with a warning.

    Each has a copy of what it is told, so that none changes what others are told, or the run.
    """

    def __init__(
        self, loggers: Sequence[Logger], warn: Callable[[str], object] = warnings.warn
    ) -> None:
        """Take loggers; raise a UserError if one of them is something else."""
        kind, make = "metadescent.runs.Logger", "metadescent.runs.make_logger('csv')"
        require_kind("loggers", loggers, (list, tuple), f"a list of {kind}; try [{make}]")
        for logger in loggers:
            require_kind("a logger", logger, Logger, f"a {kind}; try {make}")
        self._loggers, self._warn = [*loggers], warn

    def begin(self, folder: Path, config: Mapping[str, Any], earlier: Sequence[Metrics]) -> None:
        """Tell all of them that a session begins."""
        self._tell("begin", folder, config, earlier)

    def log(self, metrics: Metrics) -> None:
        """Tell all of them of an epoch."""
        self._tell("log", metrics)

    def end(self, outcome: Outcome) -> None:
        """Tell all of them that the session ends."""
        self._tell("end", outcome)

    @contextmanager
    def session(
        self,
        folder: Path,
        config: Mapping[str, Any],
        earlier: Sequence[Metrics],
        is_over: Callable[[], bool],
    ) -> Iterator[None]:
        """Tell all of them of a session, whose outcome depends on how the context ends."""
        failed = False
        self.begin(folder, config, earlier)
        try:
            yield
        except Exception:
            failed = True
            raise
        finally:
            self.end("failed" if failed else "finished" if is_over() else "stopped")

    def _tell(self, call: str, *words: Any) -> None:
        for logger in [*self._loggers]:
            try:
                getattr(logger, call)(*copy.deepcopy(words))
            except Exception as error:  # It may be anyone's code, or a network that is down.
                self._loggers = [other for other in self._loggers if other is not logger]
                reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
                self._warn(
                    f"the logger {type(logger).__name__} failed in its {call}, and the run goes on "
                    f"without it ({reason})"
                )
