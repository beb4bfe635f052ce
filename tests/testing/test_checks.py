"""The checks pass every attack of the catalogue, and each broken specimen fails the check it was made for."""

import importlib.util
from dataclasses import replace

import numpy as np
import pytest

from unseen.attack import Attack
from unseen.attacks import ATTACKS
from unseen.errors import MissingSignal
from unseen.signal import Signals
from unseen.signals import CORRECT, LOSS
from unseen.testing import specimens
from unseen.testing.checks import BrokenPromise, check_attack, checks, edges
from unseen.testing.worlds import classifier, gaussian_logits

CHECKS = dict(checks())
CAUGHT_BY = {
    specimens.READS_MEMBERSHIP: "never_reads_membership",
    specimens.peeking(classifier(0, 400, 4, 1.0).member): "never_reads_membership",
    specimens.ONE_NAN: "gives_finite_scores_at_the_edges",
    specimens.BREAKS_WHERE_ANSWERS_AGREE: "gives_finite_scores_at_the_edges",
    specimens.CHANGES_ITS_INPUT: "leaves_its_input_alone",
    specimens.FRESH_NOISE: "repeats_itself",
    specimens.DEPENDS_ON_THE_FIRST: "ignores_order",
    specimens.BREAKS_TIES_BY_ROW: "ignores_order",
    specimens.REVERSED_SIGN: "points_to_members",
    specimens.NULL: "points_to_members",
}


def telling_world(seed, records, references, leak):
    """The classifier's world, with membership itself and an oracle that is allowed to know it, among the signals."""
    world = classifier(seed, records, references, leak)
    noise = np.random.default_rng(seed).normal(size=records)
    return replace(world, signals=Signals(**world.signals, member=world.member, oracle=leak * world.member + noise))


def with_oracle(seed, records, references, leak):
    world = gaussian_logits(seed, records, references, leak)
    oracle = np.zeros(records) if world.oracle is None else world.oracle
    return replace(world, signals=Signals(**world.signals, oracle=oracle))


@pytest.mark.parametrize("name", CHECKS)
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_every_attack_keeps_every_promise(attack, name):
    # fixed seeds; an honest attack would fail the two pooled checks under 1 seed in 15,000 and in practice never
    CHECKS[name](attack, classifier)


@pytest.mark.parametrize("attack", CAUGHT_BY, ids=lambda attack: attack.name)
def test_each_broken_specimen_is_caught_by_the_check_made_for_it(attack):
    with pytest.raises(BrokenPromise, match=f"{attack.name} breaks {CAUGHT_BY[attack]}"):
        check_attack(attack)


@pytest.mark.parametrize("name", CHECKS)
def test_every_check_has_a_specimen_that_fails_it(name):
    leaking = {"finds_nothing_where_nothing_leaks": specimens.READS_MEMBERSHIP}
    specimen = next((a for a, caught in CAUGHT_BY.items() if caught == name), leaking.get(name))
    with pytest.raises(BrokenPromise, match=name):
        CHECKS[name](specimen, telling_world)


def test_the_null_specimen_keeps_every_promise_but_to_point_to_members():
    for name, check in CHECKS.items():
        if name != "points_to_members":
            check(specimens.NULL, classifier)


def test_the_perfect_specimen_keeps_every_promise_where_the_oracle_is_known():
    check_attack(specimens.PERFECT, with_oracle)


def test_saturation_breaks_no_promise_and_shows_in_the_share_of_ties():
    check_attack(specimens.SATURATES)
    margin = np.linspace(9, 40, 500)
    ref_margin = np.array([[-1.0], [1.0]]) * np.ones(500)
    scores = specimens.SATURATES(
        {"margin": margin, "ref_margin": ref_margin, "ref_member": np.zeros((2, 500), dtype=bool)}
    )
    assert scores.tie_share == 1.0


def test_a_signal_the_world_lacks_is_named_and_not_called_a_broken_promise():
    with pytest.raises(MissingSignal, match=r"perfect needs \['oracle'\]"):
        check_attack(specimens.PERFECT)


@pytest.mark.parametrize(
    "line",
    [
        "from unseen.trial import Trial",
        "from unseen import trial",
        "import unseen.stats.roc as r",
        "from unseen.testing import worlds",
        "import os",
        "import os.path",
        "from pathlib import Path",
        "import torch",
        "numbers = open('members.csv')",
        "numbers = __import__('os')",
    ],
)
def test_an_attack_whose_file_reaches_further_than_signals_is_caught(tmp_path, line):
    lazily = f"def elsewhere():\n    {line}\n\n\n"
    with pytest.raises(BrokenPromise, match="never_reads_membership"):
        CHECKS["never_reads_membership"](_attack_from(tmp_path, lazily), classifier)


def test_an_attack_whose_file_imports_only_numbers_and_signals_is_not_caught(tmp_path):
    lines = (
        "import numpy as np\nfrom scipy import stats\nfrom unseen.signal import Floats\nfrom unseen import moments\n"
    )
    CHECKS["never_reads_membership"](_attack_from(tmp_path, lines), classifier)


def test_an_attack_without_a_source_is_refused():
    names: dict = {}
    exec("def loss(loss):\n    return -loss", names)
    with pytest.raises(BrokenPromise, match="a source that cannot be read"):
        check_attack(Attack(score=names["loss"], needs=(LOSS,), row="S1", cites="specimen"))


def test_an_attack_that_holds_an_array_by_default_argument_is_caught():
    flags = np.zeros(3)

    def correct(correct, known=flags):
        return correct

    attack = Attack(score=correct, needs=(CORRECT,), row="S3", cites="specimen")
    with pytest.raises(BrokenPromise, match=r"\(.*known\)"):
        check_attack(attack)


def test_a_broken_promise_names_no_number_of_any_record():
    with pytest.raises(BrokenPromise) as caught:
        check_attack(specimens.FRESH_NOISE)
    assert "repeats_itself" in str(caught.value)
    assert "." not in str(caught.value)[:-1]


def test_the_edges_are_named_apart():
    names = [name for name, _ in edges(specimens.SATURATES, classifier)]
    assert len(set(names)) == len(names) >= 10


def _attack_from(folder, lines):
    path = folder / "their_attack.py"
    path.write_text(f"{lines}\ndef theirs(loss):\n    return -loss\n")
    spec = importlib.util.spec_from_file_location("their_attack", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return Attack(score=module.theirs, needs=(LOSS,), row="S1", cites="specimen")
