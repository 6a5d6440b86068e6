"""The one exception whose message is meant for a person."""


class UserError(Exception):
    """Something that the caller can put right; its message says what, and how.

    The message is one sentence that names the thing, the value found and the value expected, and
    what to try. The command line prints it without a traceback and exits with status 2.

    Example:
        >>> raise UserError("horizon 90 is not a multiple of unroll 20; try 80 or 100")
        Traceback (most recent call last):
        metadescent.errors.UserError: horizon 90 is not a multiple of unroll 20; try 80 or 100
    """
