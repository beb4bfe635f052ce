"""Cases made by hand, for factors: as little in them as a factor looks at."""

import numpy as np

from unseen.case import Case
from unseen.report import ReferenceFacts, TargetFacts
from unseen.signal import Signals
from unseen.stats.records import record_p_values
from unseen.trial import Trial


def halves(units):
    """Every second unit is a member."""
    return np.arange(units) % 2 == 0


def made(member, classes=2, queries=0, scores=None, unit_of=None, signals=None, attacks=(), **rest):
    """A case of these members; `scores` are those of an attack called "planted", which is then recommended."""
    ids = np.array([f"u{place}" for place in range(member.size)])
    trial = Trial(member, ids) if unit_of is None else Trial(member, ids, "person", unit_of)
    known = {} if scores is None else {"planted": np.asarray(scores, dtype=np.float64)}
    return Case(
        trial=trial,
        signals=Signals(**(signals or {})),
        attacks=attacks,
        results=[],
        scores=known,
        p_values={name: record_p_values(values, member) for name, values in known.items()},
        recommended="planted" if known else "",
        target=TargetFacts("planted", classes, [], None, None, 0, queries),
        references=ReferenceFacts(0, 0, {}, None),
        **rest,
    )


def named(result, quantity):
    """The estimates of one quantity in a factor's result."""
    return [one for one in result.estimates if one.quantity == quantity]


def covered(intervals, truth):
    """The share of intervals that hold the truth."""
    return np.mean([one.low <= truth <= one.high for one in intervals])
