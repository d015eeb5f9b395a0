"""The one kind of error a user is meant to read."""


class InputError(ValueError):
    """What came, what was wanted, and what to do about it; the command line prints it without a traceback."""
