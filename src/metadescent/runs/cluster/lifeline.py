"""A launched process ends with its launcher; imported at every start, so no JAX."""

import os
import threading
from contextlib import suppress

from metadescent._errors import LostError

LIFELINE = "METADESCENT_LIFELINE"


def hang_on() -> None:
    """End this process when its launcher ends, if it has one."""
    if os.environ.pop(LIFELINE, None):
        threading.Thread(target=_until_closed, daemon=True).start()


def _until_closed() -> None:
    # The launcher holds the other end of standard input, which closes when the launcher ends.
    with suppress(OSError):
        while os.read(0, 1024):
            pass
    os._exit(LostError.status)
