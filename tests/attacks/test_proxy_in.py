"""Proxy-in: it keeps every promise, borrows what is there, and uses no reference that was trained on the record."""

import numpy as np
import pytest

from unseen.attacks.moderated_t_offline import MODERATED_T_OFFLINE, moderated_t_offline
from unseen.attacks.proxy_in import PROXY_IN, proxy_in
from unseen.moments.proxies import borrow
from unseen.moments.sides import Side, sides
from unseen.stats.roc import auc
from unseen.testing.checks import checks
from unseen.testing.worlds import classifier, gaussian_logits

PROMISES = [pytest.param(check, id=name) for name, check in checks()]


def halved(seed, leak=1.0, references=8, records=10_000):
    """`gaussian_logits`, its first half audited and its second half the population."""
    world = gaussian_logits(seed, records, references, leak)
    own, other = slice(None, records // 2), slice(records // 2, None)
    ref, member = world.signals["ref_margin"], world.signals["ref_member"]
    margin = world.signals["margin"][own]
    return (margin, ref[:, own], member[:, own], ref[:, other], member[:, other]), world.member[own]


@pytest.mark.parametrize("check", PROMISES)
def test_it_keeps_every_promise(check):
    check(PROXY_IN)


def test_where_nothing_leaks_the_area_is_a_half_on_average():
    areas = []
    for seed in range(20):
        world = classifier(seed, 500, 6, leak=0.0)
        areas.append(auc(PROXY_IN(world.signals).values, world.member).value)
    assert abs(np.mean(areas) - 0.5) < 4 * 0.026 / np.sqrt(20)  # 0.026: one area of 500 records


def test_where_hard_records_gain_more_it_finds_more_than_the_one_sided_test_that_knows_no_in_moments():
    for seed in range(4):
        world = classifier(seed, 5000, 8)
        found = auc(PROXY_IN(world.signals).values, world.member).value
        assert found > auc(MODERATED_T_OFFLINE(world.signals).values, world.member).value + 0.002


def test_where_gains_do_not_depend_on_the_out_mean_it_finds_less_but_no_less_than_two_hundredths():
    for seed in range(4):
        given, member = halved(seed)
        lost = auc(moderated_t_offline(*given[:3]), member).value - auc(proxy_in(*given), member).value
        assert 0 < lost < 0.02


def test_references_that_were_trained_on_a_record_do_not_touch_its_score():
    given, _ = halved(0, references=4, records=400)
    margin, ref, member, others, others_member = given
    changed = np.where(member, ref + 7.0, ref)
    assert np.allclose(proxy_in(*given), proxy_in(margin, changed, member, others, others_member), rtol=1e-9)


def test_without_proxies_on_both_sides_it_is_the_one_sided_test():
    given, _ = halved(0, references=4, records=400)
    none = np.zeros_like(given[4])
    assert np.array_equal(proxy_in(*given[:4], none), moderated_t_offline(*given[:3]))


def test_a_record_without_out_references_scores_zero():
    margin, ref, member, others, others_member = halved(0, references=4, records=400)[0]
    assert proxy_in(margin, ref, member | (np.arange(200) == 3), others, others_member)[3] == 0


def test_borrowed_moments_are_those_of_the_world():
    rng = np.random.default_rng(0)
    centre = rng.normal(0, 3, 40_000)
    member = rng.random((16, centre.size)) < 0.5
    margin = centre + member * 2.0 + np.where(member, 0.5, 1.0) * rng.normal(size=member.shape)
    inside, outside = sides(margin, member)
    found = borrow(Side(np.full(3, 8.0), np.array([-2.0, 0.0, 2.0]), np.ones(3)), inside, outside)
    # given an out mean with noise 1/8 or so, the record's centre has variance 0.13 on top of the margin's 0.25
    assert np.allclose(found.mean, [0.0, 2.0, 4.0], atol=0.1)
    assert np.allclose(found.variance, 0.25 + 0.13, atol=0.06)
    assert np.allclose(found.out_variance, 1.0, atol=0.05)
