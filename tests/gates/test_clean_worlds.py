"""Where nothing is wrong with an audit, its gates block it one time in twenty at most: all of them together."""

from functools import cache

import joblib
import pytest
from tests.gates.planted import clean

from unseen.gates import GATES

pytestmark = pytest.mark.slow

WORLDS = 120
SIZES, REFERENCES, LEAKS = (300, 500, 900), (3, 4, 8), (0.0, 1.0)


def blocked(seed):
    """The gates that break on a clean world, with or without a leak."""
    case = clean(seed, SIZES[seed % 3], REFERENCES[seed // 3 % 3], LEAKS[seed // 9 % 2])
    return [gate.name for gate in GATES if gate(case).state == "broken"]


@cache
def all_blocked():
    return joblib.Parallel(n_jobs=2)(joblib.delayed(blocked)(seed) for seed in range(WORLDS))


@pytest.mark.parametrize("gate", GATES, ids=lambda gate: gate.name)
def test_a_gate_blocks_a_clean_world_one_time_in_twenty_at_most(gate):
    assert sum(gate.name in names for names in all_blocked()) <= 0.05 * WORLDS


def test_all_gates_together_block_a_clean_world_one_time_in_twenty_at_most():
    assert sum(bool(names) for names in all_blocked()) <= 0.05 * WORLDS
