"""Tasks that a worker, which is another process, finds by their name; no JAX."""

import os
import signal
import time
from pathlib import Path
from typing import Any


def square(task: dict[str, Any]) -> int:
    """Return n², having taken note; one task, once, kills the worker that it runs on."""
    with open(task["log"], "a", encoding="utf-8") as log:
        log.write(f"{task['n']}\n")
    deadly = task.get("deadly")
    if deadly and not Path(deadly).exists():
        Path(deadly).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(task.get("seconds", 0.0))
    return task["n"] ** 2


def always_deadly(task: Any) -> None:
    """Kill the worker."""
    os.kill(os.getpid(), signal.SIGKILL)


def refuse(task: Any) -> None:
    """Raise what a person can put right."""
    from metadescent._errors import UserError

    raise UserError(f"task {task} cannot be; try another")
