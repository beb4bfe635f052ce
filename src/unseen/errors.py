"""Every error raised on purpose, in one tree.

    UnseenError                  catches all of them
    ├── InputError               what was handed in cannot be used            exit 2
    │   ├── PlanError            a key, value or combination in the plan
    │   ├── PolicyError          a key, value or combination in a guard's policy
    │   ├── DataError            a table, column, label or identifier
    │   ├── ModelError           a model file or an answer the model gave
    │   ├── FolderError          the run folder or the disk
    │   ├── MissingExtra         an optional dependency is not installed
    │   └── TooFewRecords        a rate that the counts cannot resolve
    ├── TargetFailed             the user's model raised                      exit 3
    ├── TargetStopped            an endpoint answers no more for now          exit 3
    ├── MissingSignal            an attack was called without what it needs   exit 3
    └── UndefinedScore           an attack produced no finite score           exit 3

A message is one sentence with facts: who, needed what, got what, and the fix. It holds names, counts and shapes,
never a record's content, a query or a score.
"""

import difflib
from collections.abc import Iterable
from importlib.util import find_spec


class UnseenError(Exception):
    """Anything that `unseen` raises on purpose."""

    exit_code = 3


class InputError(UnseenError):
    """What was handed in cannot be used."""

    exit_code = 2


class PlanError(InputError):
    """A key, a value or a combination in the plan."""


class PolicyError(InputError):
    """A key, a value or a combination in a guard's policy, or a secret that it names."""


class DataError(InputError):
    """A table, column, label or identifier."""


class ModelError(InputError):
    """A model file, or an answer that no model should give."""


class FolderError(InputError):
    """The run folder, or the disk under it."""


class MissingExtra(InputError):
    """An optional dependency is needed and not installed."""

    def __init__(self, what: str, package: str, extra: str) -> None:
        alone = find_spec("unseen.auditing") is None  # where the guard is a distribution of its own
        where = f"unseen-guard[{extra.removeprefix('guard-')}]" if alone else f"unseen[{extra}]"
        super().__init__(f"{what} needs {package}, which is not installed: pip install '{where}'.")


class TooFewRecords(InputError):
    """A rate that the counts cannot resolve; `needed` says how many non-members would."""

    def __init__(self, message: str, needed: int) -> None:
        super().__init__(message)
        self.needed = needed


class TargetFailed(UnseenError):
    """The user's model raised; its own message is withheld, because it may quote a record."""


class TargetStopped(UnseenError):
    """An endpoint gave no more answers for now: a budget, a refused key, a network; the same command goes on later."""


class MissingSignal(UnseenError):
    """An attack was called without a signal that it needs."""


class UndefinedScore(UnseenError):
    """An attack gave a score that is not finite, or not one a record."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` where a known name is near, else nothing.

    >>> did_you_mean("lira-onlin", ["lira-online", "gap"])
    "; did you mean 'lira-online'?"
    """
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
