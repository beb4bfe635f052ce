"""Self-null: does the audit find nothing where there is nothing?"""

from collections.abc import Mapping

import numpy as np
from scipy.stats import hypergeom
from threadpoolctl import threadpool_limits

from unseen.case import Case
from unseen.estimating import Questions, estimate
from unseen.gate import GATE_LEVEL, Finding, Gate, broken, held
from unseen.gates.some_units import some_units
from unseen.policy import DEFAULT_FPRS
from unseen.signal import Array, Bools, Floats, Ints, Signals
from unseen.signals import SIGNALS
from unseen.stats.multiplicity import holm
from unseen.stats.roc import auc
from unseen.trial import Trial

AXES = {signal.name: signal.axes for signal in SIGNALS}
STREAM = 0x5E1F
ON_A_REFERENCE = "on a reference that knows nothing of who is a member"
DEALT_ANEW = "on answers dealt anew"


OF_THE_RECORD = ("label", "features", "leverage")  # whoever asks
OF_THE_TARGET = ("gradient_norm", "trajectory", "imitation_margin")  # no reference has them


def self_null(case: Case) -> Finding:
    """The whole pipeline finds nothing where nothing can be found, and the references' coins carry no membership.

    Three questions at 0.5 % each. A reference takes the target's place, with the other references against it: its coins
    never knew the members. Then its answers (the target's own, where there are no references) are dealt anew among the
    units, which makes members of coin tosses: who still finds members knows them by place or content. And the number of
    references that had each record, and each reference's own list, must not tell members from others, as they do where
    a balanced design holds the target.
    """
    units, rows = some_units(case, case.seed)
    trial = _part(case, units, rows)
    signals = _rows_of(case.signals, rows)
    alarms, counts = _coins(case), {"members": trial.members, "non_members": trial.non_members}
    stand_in = without_target(signals)
    own = {name: signals[name] for name in OF_THE_TARGET if name in signals}
    worlds = {DEALT_ANEW: dealt_anew(Signals(**stand_in, **own) if stand_in else signals, trial, case.seed)}
    if stand_in is not None:
        worlds[ON_A_REFERENCE] = stand_in
    for where, arrays in worlds.items():
        found, tests = _found(case, arrays, trial)
        counts[f"tests {where}"] = tests
        alarms += [f"{name} tells members from others {where}" for name in found]
    if alarms:
        more = f" (and {len(alarms) - 2} more)" if len(alarms) > 2 else ""
        return broken("; ".join(alarms[:2]) + more, counts=counts)
    return held(f"nothing was found {' nor '.join(worlds)}", counts=counts)


def without_target(signals: Mapping[str, Array]) -> Signals | None:
    """Return the signals of an audit of the last reference by the others; None with fewer than three references."""
    if "ref_margin" not in signals or signals["ref_margin"].shape[0] < 3:
        return None
    arrays = {name: signals[name] for name in (*OF_THE_RECORD, "population_label") if name in signals}
    arrays |= {name: signals[name][:-1] for name in signals if name.startswith("ref_")}
    for own in ("margin", "loss", "population_margin", "population_loss", "query_margin", "query_loss"):
        if f"ref_{own}" in signals:
            arrays[own] = signals[f"ref_{own}"][-1]
    arrays["correct"] = (arrays["margin"] > 0).astype(np.float64)
    return Signals(**arrays)


def dealt_anew(signals: Mapping[str, Array], trial: Trial, seed: int) -> Signals:
    """Return the signals with the answers of each unit given to another one of as many records, drawn by the seed.

    Features and labels stay where they are: who knows a member by its content still does.
    """
    rng = np.random.default_rng([seed, STREAM])
    stay = {name: signals[name] for name in OF_THE_RECORD if name in signals}
    return Signals(**(dict(_rows_of(signals, _exchanged(trial, rng))) | stay))


def _exchanged(trial: Trial, rng: np.random.Generator) -> Ints:
    """Return for each record the record whose answers it gets: units of as many records change places, whole."""
    if trial.unit_of is None:
        return rng.permutation(trial.member.size)
    by_unit = np.argsort(trial.unit_of, kind="stable")
    size = np.bincount(trial.unit_of, minlength=trial.member.size)
    start = np.cumsum(size) - size
    order = np.empty(trial.unit_of.size, dtype=np.intp)
    for records in np.unique(size[size > 0]):
        units = np.flatnonzero(size == records)
        others = rng.permutation(units)
        for place in range(records):
            order[by_unit[start[units] + place]] = by_unit[start[others] + place]
    return order


def _rows_of(signals: Mapping[str, Array], rows: Ints) -> Signals:
    taken = {}
    for name, array in signals.items():
        axes = AXES.get(name, ("records",))
        taken[name] = np.take(array, rows, axis=axes.index("records")) if "records" in axes else array
    return Signals(**taken)


def _part(case: Case, units: Ints, rows: Ints) -> Trial:
    whole = case.trial
    unit_of = None if whole.unit_of is None else np.searchsorted(units, whole.unit_of[rows])
    return Trial(whole.member[units], whole.ids[units], whole.unit, unit_of, whole.rule)


def _found(case: Case, signals: Signals, trial: Trial) -> tuple[list[str], int]:
    """Return the attacks that find a leak, by Holm's procedure over all their tests, and how many tests there were."""
    names, p_values = list[str](), list[float]()
    questions = Questions(fprs=case.fprs or DEFAULT_FPRS)
    for attack in case.attacks:
        if attack.name not in case.scores or attack.missing(signals):
            continue
        try:
            with threadpool_limits(1):
                scores = trial.per_unit(attack(signals).values)
        except Exception:  # noqa: BLE001, S112 - an attack that cannot score a part tells nothing of it
            continue
        for one in estimate(scores, trial.member, questions, attack.name)[0]:
            if one.p_value is not None:
                names.append(attack.name)
                p_values.append(one.p_value)
    if not p_values:
        return [], 0
    alarming = holm(np.array(p_values)) <= GATE_LEVEL
    return list(dict.fromkeys(np.array(names)[alarming].tolist())), len(p_values)


def _coins(case: Case) -> list[str]:
    """Return what the references' own lists say of membership, in words; nothing where they say nothing."""
    if "ref_member" not in case.signals:
        return []
    had = _per_unit(case.signals["ref_member"], case)
    count = had.sum(axis=0).astype(np.float64)
    alarms = []
    if min(_p(count, case.member), _p(-count, case.member)) <= GATE_LEVEL / 4:
        alarms.append("the number of references that had a record tells members from others")
    if had.shape[0] and min(_overlap_p(one, case.member) for one in had) <= GATE_LEVEL / 2 / had.shape[0]:
        alarms.append("a reference was trained on more, or fewer, of the members than coins would choose")
    return alarms


def _per_unit(ref_member: Bools, case: Case) -> Bools:
    """Return which units each reference had, by their first record: a unit's records share their coin."""
    if case.trial.unit_of is None:
        return ref_member
    return ref_member[:, np.unique(case.trial.unit_of, return_index=True)[1]]


def _p(scores: Floats, member: Bools) -> float:
    return auc(scores, member).p_value or 0.0


def _overlap_p(had: Bools, member: Bools) -> float:
    """Return the two-sided p-value of how many members a reference had, given how many records it had in all."""
    law = hypergeom(member.size, int(member.sum()), int(had.sum()))
    both = int((had & member).sum())
    return min(2 * float(min(law.cdf(both), law.sf(both - 1))), 1.0)


SELF_NULL = Gate(
    check=self_null,
    advice="Draw each reference's records by coins of their own, without the target among the references; and see that "
    "no attack of yours knows the members.",
    cites="permutation null, Holm 1979; hypergeometric, Bonferroni over the references",
)
