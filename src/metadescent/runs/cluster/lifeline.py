"""A launched process ends with the one that launched it; imported at every start, so no JAX."""

import os
import threading
from contextlib import suppress

from metadescent._errors import LostError

LIFELINE = "METADESCENT_LIFELINE"


def hang_on() -> None:
    """End this process when the one that launched it ends, if it was launched."""
    if os.environ.pop(LIFELINE, None):
        threading.Thread(target=_until_closed, daemon=True).start()


def _until_closed() -> None:
    # The other end of standard input is held by the launcher: it closes as that one ends.
    with suppress(OSError):
        while os.read(0, 1024):
            pass
    os._exit(LostError.status)
