"""The error of every check suite."""


class BrokenPromise(AssertionError):
    """An attack or a control does not do what every one of its kind must."""
