"""The promises every attack makes, one function each; a broken one raises `BrokenPromise` and says which.

    from unseen.testing.checks import check_attack
    check_attack(MY_ATTACK)

An attack that needs signals of its own hands in a `world` that has them: `(seed, records, references, leak) -> World`.
"""

import inspect
from collections.abc import Callable, Iterator

import numpy as np
from scipy.stats import rankdata

from unseen.attack import Attack
from unseen.errors import UndefinedScore
from unseen.signal import Array, Bools, Floats
from unseen.testing.control_checks import check_control
from unseen.testing.promise import BrokenPromise
from unseen.testing.reach import reach
from unseen.testing.worlds import World, classifier

__all__ = ["BrokenPromise", "check_attack", "check_control", "checks", "edges"]

MakeWorld = Callable[[int, int, int, float], World]
Arrays = dict[str, Array]

Z = 4.0  # one-sided, a standard normal exceeds it with probability 3.2e-5
WORLDS = 20
LEAK = 2.0


def repeats_itself(attack: Attack, world: MakeWorld = classifier) -> None:
    """The same signals give the same scores, to the last bit."""
    arrays = _arrays(attack, world(0, 200, 4, 1.0))
    _demand(np.array_equal(_scores(attack, arrays), _scores(attack, arrays)), attack, repeats_itself)


def leaves_its_input_alone(attack: Attack, world: MakeWorld = classifier) -> None:
    """No signal that is handed in is changed."""
    given, kept = (_arrays(attack, world(0, 200, 4, 1.0)) for _ in range(2))
    attack.score(*given.values())
    same = all(np.array_equal(given[name], kept[name]) for name in kept)
    _demand(same, attack, leaves_its_input_alone)


def ignores_order(attack: Attack, world: MakeWorld = classifier) -> None:
    """Records, references, population and queries may come in any order: scores follow, within 1e-6; ties stay ties.

    So may models that imitate the target; epochs may not. Every tenth record comes twice, as duplicates do in real
    tables.
    """
    arrays = _taken(attack, _arrays(attack, world(0, 200, 5, 1.0)), "records", np.r_[:200, :200:10])
    before = _scores(attack, arrays)
    for axis in ("records", "references", "population", "queries", "imitations"):
        order = np.random.default_rng(1).permutation(_length(attack, arrays, axis))[::-1]  # never as it was
        after = _scores(attack, _taken(attack, arrays, axis, order))
        expected = before[order] if axis == "records" else before
        close = np.allclose(after, expected, rtol=1e-6, atol=1e-9)
        _demand(close and np.array_equal(rankdata(after), rankdata(expected)), attack, ignores_order)


def finds_nothing_where_nothing_leaks(attack: Attack, world: MakeWorld = classifier) -> None:
    """In 20 worlds without a leak, scores rank members and non-members alike; an honest attack fails 1 in 15,000."""
    _demand(abs(_pooled_z(attack, world, leak=0.0)) < Z, attack, finds_nothing_where_nothing_leaks)


def points_to_members(attack: Attack, world: MakeWorld = classifier) -> None:
    """In 20 worlds that leak much, members score higher; a useless attack passes 1 in 30,000."""
    _demand(_pooled_z(attack, world, leak=LEAK) > Z, attack, points_to_members)


def never_reads_membership(attack: Attack, _world: MakeWorld = classifier) -> None:
    """It is given no membership but that of references, and its source reaches for no trial, file, module or network.

    Reads the source of the function's own file, and what the function closes over; a function without one is refused.
    """
    told = [s.name for s in attack.needs if "member" in s.name and not s.name.startswith("ref_")]
    found = told + reach(attack.score)
    _demand(not found, attack, never_reads_membership, ", ".join(found))


def gives_finite_scores_at_the_edges(attack: Attack, world: MakeWorld = classifier) -> None:
    """Every record gets a finite score, whatever the shape of the data: see `edges`."""
    for name, arrays in edges(attack, world):
        _demand(bool(np.isfinite(_scores(attack, arrays)).all()), attack, gives_finite_scores_at_the_edges, name)


def edges(attack: Attack, world: MakeWorld = classifier) -> Iterator[tuple[str, Arrays]]:
    """Yield the corners of the data by name, each with the attack's signals there."""
    usual = _arrays(attack, world(0, 60, 4, 1.0))
    nats = [signal.name for signal in attack.needs if signal.unit == "nats"]
    members = [name for name in usual if name.startswith("ref_") and usual[name].dtype == np.bool_]
    first = np.arange(60) == 0
    yield "an ordinary world", usual
    yield "two references", _arrays(attack, world(0, 60, 2, 1.0))
    yield "ten records", _arrays(attack, world(0, 10, 4, 1.0))
    yield "answers that are all the same", usual | {n: np.full_like(usual[n], 0.5) for n in usual if _real(usual[n])}
    yield "answers that are all certain", usual | {name: np.zeros_like(usual[name]) for name in nats}
    yield "answers that saturate", usual | {name: usual[name] * 1000 for name in nats}
    yield "answers in float32", {n: usual[n].astype(np.float32) if _real(usual[n]) else usual[n] for n in usual}
    yield "one class", usual | {name: np.zeros_like(usual[name]) for name in usual if name == "label"}
    yield "a record in no reference", usual | {name: usual[name] & ~first for name in members}
    yield "a record in every reference", usual | {name: usual[name] | first for name in members}
    yield "references that saw no record", usual | {name: np.zeros_like(usual[name]) for name in members}
    yield "references that saw every record", usual | {name: np.ones_like(usual[name]) for name in members}


def checks() -> Iterator[tuple[str, Callable[[Attack, MakeWorld], None]]]:
    """Yield every promise by name, with the function that checks it; the cheapest and most telling first."""
    for check in (
        never_reads_membership,
        gives_finite_scores_at_the_edges,
        leaves_its_input_alone,
        repeats_itself,
        ignores_order,
        finds_nothing_where_nothing_leaks,
        points_to_members,
    ):
        yield check.__name__, check


def check_attack(attack: Attack, world: MakeWorld = classifier) -> None:
    """Raise `BrokenPromise`, naming the first promise that `attack` breaks; return nothing where it keeps them all."""
    for _, check in checks():
        check(attack, world)


def _demand(kept: bool, attack: Attack, promise: Callable[..., None], where: str = "") -> None:
    if not kept:
        claim = (inspect.getdoc(promise) or "").split("\n")[0]
        raise BrokenPromise(f"{attack.name} breaks {promise.__name__}{where and f' ({where})'}: {claim}")


def _arrays(attack: Attack, world: World) -> Arrays:
    if attack.missing(world.signals):
        attack(world.signals)  # raises, and says what is missing
    return {signal.name: world.signals[signal.name].copy() for signal in attack.needs}


def _scores(attack: Attack, arrays: Arrays) -> Floats:
    try:
        return attack({name: array.copy() for name, array in arrays.items()}).values.copy()
    except UndefinedScore:
        return np.full(_length(attack, arrays, "records"), np.nan)


def _taken(attack: Attack, arrays: Arrays, axis: str, order: Array) -> Arrays:
    where = {signal.name: signal.axes.index(axis) for signal in attack.needs if axis in signal.axes}
    return arrays | {name: np.take(arrays[name], order, axis=place) for name, place in where.items()}


def _length(attack: Attack, arrays: Arrays, axis: str) -> int:
    lengths = [arrays[s.name].shape[s.axes.index(axis)] for s in attack.needs if axis in s.axes]
    return lengths[0] if lengths else 0


def _real(array: Array) -> bool:
    return bool(np.issubdtype(array.dtype, np.floating))


def _pooled_z(attack: Attack, world: MakeWorld, leak: float) -> float:
    worlds = (world(seed, 400, 4, leak) for seed in range(WORLDS))
    return float(sum(_rank_z(_scores(attack, _arrays(attack, w)), w.member) for w in worlds) / np.sqrt(WORLDS))


def _rank_z(scores: Floats, member: Bools) -> float:
    """Return the members' rank sum, standardised by its mean and spread over all shuffles of membership."""
    ranks = rankdata(scores)
    inside = int(member.sum())
    spread = np.sqrt(inside * (ranks.size - inside) / ranks.size * ranks.var(ddof=1))
    return float((ranks[member].sum() - inside * ranks.mean()) / spread) if spread else 0.0
