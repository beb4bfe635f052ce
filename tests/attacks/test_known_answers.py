"""Attacks reach what can be reached where the answer is known, exceed it nowhere, and equal their slow forms."""

from functools import cache

import numpy as np
import pytest
from scipy.stats import norm, rankdata, t

from unseen.attacks import catalogue
from unseen.attacks.rmia_offline import rmia_offline
from unseen.attacks.rmia_online import rmia_online
from unseen.moments.likelihood import mean_likelihood, mean_out_likelihood
from unseen.moments.prior import MOST_FREEDOM, fit_prior, moderated_variance
from unseen.moments.sides import Side, sides
from unseen.moments.student import log_tail
from unseen.signal import Signals
from unseen.signals.entropy import entropy, modified_entropy
from unseen.signals.margin import decision_margin, margin
from unseen.stats.roc import auc, tpr_at_fpr
from unseen.testing.worlds import World, classifier, gaussian_logits, mean_release, mean_release_auc, mean_release_tpr

CATALOGUE = catalogue()
LIRA = ("lira-online", "lira-online-shared")
TRUE_AUC, TRUE_TPR = 0.7687, 0.1091  # of the oracle of gaussian_logits: our first measurement, 4 seeds of 50,000
ON_MARGINS = tuple(
    name
    for name, attack in CATALOGUE.items()
    if {s.name for s in attack.needs} == {"margin", "ref_margin", "ref_member"}
)


# Per-record normal margins: 4 seeds of 50,000; standard errors of the means 0.001 (AUC) and 0.002 (TPR at 0.1 %).


@cache
def on_gaussian_logits(references):
    """The mean AUC and TPR at 0.1 % of every attack on margins, and of the oracle."""
    found = {name: [] for name in (*ON_MARGINS, "oracle")}
    for seed in range(4):
        world = gaussian_logits(seed, references=references)
        scores = {name: CATALOGUE[name](world.signals).values for name in ON_MARGINS} | {"oracle": world.oracle}
        for name, values in scores.items():
            found[name].append((auc(values, world.member).value, tpr_at_fpr(values, world.member, 0.001).value))
    return {name: np.mean(pairs, axis=0) for name, pairs in found.items()}


@pytest.mark.slow
def test_the_oracle_is_where_theory_has_it():
    area, rate = on_gaussian_logits(16)["oracle"]
    assert area == pytest.approx(TRUE_AUC, abs=0.004)
    assert rate == pytest.approx(TRUE_TPR, abs=0.01)


@pytest.mark.slow
def test_moderated_t_with_16_references_finds_three_fifths_of_what_the_oracle_finds():
    assert on_gaussian_logits(16)["moderated-t-online"][1] >= 0.06


@pytest.mark.slow
@pytest.mark.parametrize("references", [4, 8, 16])
@pytest.mark.parametrize("better", ["moderated-t-online", "moderated-t-gap", "moderated-t-trend"])
def test_a_moderated_t_beats_both_forms_of_lira_with_few_references(better, references):
    found = on_gaussian_logits(references)
    for lira in LIRA:
        assert (found[better] > found[lira]).all()


@pytest.mark.slow
@pytest.mark.parametrize("references", [4, 8, 16])
def test_the_offline_moderated_t_beats_both_offline_forms_of_lira(references):
    found = on_gaussian_logits(references)
    for lira in ("lira-offline", "lira-offline-shared"):
        assert (found["moderated-t-offline"] > found[lira]).all()


@pytest.mark.slow
@pytest.mark.parametrize("references", [4, 8, 16])
def test_no_attack_on_margins_exceeds_the_oracle(references):
    found = on_gaussian_logits(references)
    for name in ON_MARGINS:
        assert (found[name] <= found["oracle"] + [0.003, 0.008]).all(), name  # four standard errors


# The published mean. References that were trained on *other* records know nothing of this pool, and the closed form
# is their limit; references drawn from the same pool of N records know the others, and the noise that is left is
# that of which n of N were drawn: n (1 - n / N) in place of n.


def pool_references(seed, references, records=400, dimension=200):
    """`mean_release`, with references on coin-tossed halves of the audited pool itself."""
    world = mean_release(seed, records, dimension, references=2)
    x = np.random.default_rng(seed).normal(size=(records, dimension))
    ref_member = np.random.default_rng([seed, 1]).random((references, records)) < 0.5
    ref_margin = (ref_member.astype(float) @ x) @ x.T / np.linalg.norm(x, axis=1)
    signals = Signals(margin=world.signals["margin"], ref_margin=ref_margin, ref_member=ref_member)
    return World(signals, world.member)


def pool_oracle(seed, world, dimension=200):
    """The best score of a margin when every record of the pool is known: normal in and out, moments by hand."""
    x = np.random.default_rng(seed).normal(size=(world.member.size, dimension))
    length = np.linalg.norm(x, axis=1)
    pull = x @ x.T / length[:, None]
    np.fill_diagonal(pull, 0.0)
    mean, deviation = pull.sum(axis=1) / 2, np.sqrt((pull**2).sum(axis=1)) / 2
    value = world.signals["margin"]
    return norm.logpdf(value, mean + length, deviation) - norm.logpdf(value, mean, deviation)


def rates(pairs):
    return np.array([(auc(*pair).value, tpr_at_fpr(*pair, 0.1).value) for pair in pairs])


def test_the_inner_product_with_the_published_mean_reaches_the_closed_form():
    worlds = [mean_release(seed, references=2) for seed in range(60)]
    found = rates((world.oracle, world.member) for world in worlds)
    limit = [mean_release_auc(200, 200), mean_release_tpr(np.array(0.1), 200, 200)]
    assert np.abs(found.mean(axis=0) - limit).max() < 0.025  # standard errors 0.003 and 0.007


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lira-online", "lira-offline", "moderated-t-online", "moderated-t-offline"])
def test_with_many_fresh_references_attacks_reach_the_closed_form_and_do_not_exceed_it(name):
    worlds = [mean_release(seed, references=512) for seed in range(30)]
    found = rates((CATALOGUE[name](world.signals).values, world.member) for world in worlds)
    limit = [mean_release_auc(200, 200), mean_release_tpr(np.array(0.1), 200, 200)]
    error = found.std(axis=0, ddof=1) / np.sqrt(30)
    assert (np.abs(found.mean(axis=0) - limit) < 4 * error + [0.005, 0.01]).all()  # the rest: 512 are not infinite


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lira-online", "lira-offline", "moderated-t-online", "moderated-t-offline"])
def test_references_from_the_same_pool_know_more_and_attacks_reach_that_limit_too(name):
    worlds = [pool_references(seed, references=512) for seed in range(15)]
    found = rates((CATALOGUE[name](world.signals).values, world.member) for world in worlds)
    best = rates((pool_oracle(seed, world), world.member) for seed, world in enumerate(worlds))
    assert (np.abs((found - best).mean(axis=0)) < [0.004, 0.025]).all()  # paired over worlds: errors 0.0005 and 0.005
    assert best[:, 0].mean() == pytest.approx(norm.cdf(np.sqrt(2 * 200 / 200 / 2)), abs=0.02)


# Fast forms and slow ones.


@pytest.mark.parametrize("gamma", [1.0, 2.0])
@pytest.mark.parametrize("ties", [True, False])
def test_rmia_by_sorting_is_the_matrix_form_to_the_last_bit(gamma, ties):
    for seed in range(100):
        signals = _random_losses(seed, ties)
        loss, ref, pop, ref_pop = (signals[n] for n in ("loss", "ref_loss", "population_loss", "ref_population_loss"))
        top, bottom = np.exp(-loss) / mean_likelihood(ref), np.exp(-pop) / mean_likelihood(ref_pop)
        matrix = (top[:, None] / bottom[None, :] > gamma).mean(axis=1)
        assert (rmia_online(loss, ref, pop, ref_pop, gamma) == matrix).all()


@pytest.mark.parametrize("gamma", [1.0, 2.0])
@pytest.mark.parametrize("ties", [True, False])
def test_rmia_offline_by_sorting_is_the_matrix_form_to_the_last_bit(gamma, ties):
    def mixed(ref_loss, ref_member):
        return ((1 + 0.3) * mean_out_likelihood(ref_loss, ref_member) + (1 - 0.3)) / 2

    for seed in range(100):
        s = _random_losses(seed, ties)
        top = np.exp(-s["loss"]) / mixed(s["ref_loss"], s["ref_member"])
        bottom = np.exp(-s["population_loss"]) / mixed(s["ref_population_loss"], s["ref_population_member"])
        matrix = (top[:, None] / bottom[None, :] > gamma).mean(axis=1)
        assert (rmia_offline(*s.values(), gamma=gamma) == matrix).all()


def _random_losses(seed, ties):
    rng = np.random.default_rng(seed)
    records, population, references = rng.integers(1, 40, 3) + 1
    shapes = {"loss": (records,), "ref_loss": (references, records), "ref_member": (references, records)}
    shapes |= {"population_loss": (population,), "ref_population_loss": (references, population)}
    shapes |= {"ref_population_member": (references, population)}

    def draw(name, shape):
        if name.endswith("member"):
            return rng.random(shape) < 0.5
        return np.log(2.0) * rng.integers(0, 3, shape) if ties else rng.exponential(size=shape)

    return {name: draw(name, shape) for name, shape in shapes.items()}


def test_mean_likelihoods_are_those_of_a_loop():
    s = _random_losses(5, ties=False)
    for record, (losses, seen) in enumerate(zip(s["ref_loss"].T, s["ref_member"].T, strict=True)):
        out = losses[~seen] if (~seen).any() else losses
        assert mean_likelihood(s["ref_loss"])[record] == pytest.approx(np.mean(np.exp(-losses)))
        assert mean_out_likelihood(s["ref_loss"], s["ref_member"])[record] == pytest.approx(np.mean(np.exp(-out)))


def test_base_ranks_as_the_online_likelihood_ratio_does():
    signals = classifier(3, 500, 8).signals
    ratio = np.exp(-signals["loss"]) / np.exp(-signals["ref_loss"]).mean(axis=0)
    assert (rankdata(CATALOGUE["base"](signals).values) == rankdata(ratio)).all()


def _masked(world):
    """Each record's in and out margins as plain arrays."""
    ref, seen = world.signals["ref_margin"], world.signals["ref_member"]
    return [(column[mask], column[~mask]) for column, mask in zip(ref.T, seen.T, strict=True)]


def test_sides_are_the_moments_of_masked_columns():
    world = gaussian_logits(1, records=3000, references=5)  # more records than one chunk, some with an empty side
    for side, place in zip(sides(world.signals["ref_margin"], world.signals["ref_member"]), (0, 1), strict=True):
        columns = [pair[place] for pair in _masked(world)]
        assert side.count.tolist() == [column.size for column in columns]
        some = side.count > 0
        assert side.mean[some] == pytest.approx([c.mean() for c in columns if c.size], abs=1e-10)
        assert side.squares == pytest.approx(
            [((c - c.mean()) ** 2).sum() if c.size else 0.0 for c in columns], abs=1e-9
        )


def test_sides_keep_their_digits_far_from_zero():
    rng = np.random.default_rng(0)
    signal, seen = rng.normal(size=(6, 50)), rng.random((6, 50)) < 0.5
    near, far = sides(signal, seen), sides(signal + 1e6, seen)
    for a, b in zip(near, far, strict=True):
        assert b.squares == pytest.approx(a.squares, rel=1e-6, abs=1e-8)


def test_lira_online_is_a_loop_over_records_with_scipys_normal():
    world = gaussian_logits(2, records=2000, references=8)
    columns = _masked(world)
    floors = [1e-4 * _pooled([pair[place] for pair in columns]) for place in (0, 1)]
    scores = CATALOGUE["lira-online"](world.signals).values
    compared = 0
    for score, value, pair in zip(scores, world.signals["margin"], columns, strict=True):
        if min(side.size for side in pair) >= 2:
            terms = [norm.logpdf(value, s.mean(), max(s.var(), f) ** 0.5) for s, f in zip(pair, floors, strict=True)]
            assert score == pytest.approx(terms[0] - terms[1], rel=1e-6, abs=1e-8)
            compared += 1
    assert compared > 1500


def _pooled(columns):
    return sum(((c - c.mean()) ** 2).sum() for c in columns if c.size) / sum(max(c.size - 1, 0) for c in columns)


def test_lira_online_shared_is_a_loop_with_one_variance_a_side():
    world = gaussian_logits(2, records=2000, references=8)
    columns = _masked(world)
    deviations = [_pooled([pair[place] for pair in columns]) ** 0.5 for place in (0, 1)]
    scores = CATALOGUE["lira-online-shared"](world.signals).values
    for score, value, pair in zip(scores, world.signals["margin"], columns, strict=True):
        if all(side.size for side in pair):
            terms = [norm.logpdf(value, side.mean(), d) for side, d in zip(pair, deviations, strict=True)]
            assert score == pytest.approx(terms[0] - terms[1], rel=1e-6, abs=1e-8)


def test_lira_offline_ranks_as_the_papers_one_sided_probability():
    world = gaussian_logits(3, records=2000, references=16)
    scores = CATALOGUE["lira-offline"](world.signals).values
    paper = np.array(
        [
            norm.cdf(value, out.mean(), out.std()) if out.size > 1 and out.std() > 0.02 else np.nan
            for value, (_, out) in zip(world.signals["margin"], _masked(world), strict=True)
        ]
    )
    usable = (paper > 1e-12) & (paper < 1 - 1e-12)
    assert usable.sum() > 1900
    assert (np.argsort(scores[usable]) == np.argsort(paper[usable])).all()


@pytest.mark.parametrize("name", ON_MARGINS)
def test_no_scores_tie_from_8_to_40_standard_deviations(name):
    far = np.linspace(8, 40, 2001)
    rng = np.random.default_rng(0)
    ref_member = np.arange(16)[:, None] % 2 == np.zeros(far.size)
    ref_margin = np.repeat(rng.normal(size=(16, 1)), far.size, axis=1) + ref_member
    ref_margin += 1e-3 * rng.normal(size=ref_margin.shape)
    scores = CATALOGUE[name]({"margin": far, "ref_margin": ref_margin, "ref_member": ref_member})
    assert scores.tie_share == 0


@pytest.mark.parametrize("freedom", [2.5, 6.0, 30.0])
def test_the_prior_that_variances_were_drawn_from_is_recovered(freedom):
    rng, records, own = np.random.default_rng(4), 40_000, 3
    variance = 2.0 * freedom / rng.chisquare(freedom, records)
    side = Side(np.full(records, own + 1.0), np.zeros(records), variance * rng.chisquare(own, records))
    prior = fit_prior(side)
    assert prior.freedom == pytest.approx(freedom, rel=0.1 if freedom < 10 else 0.3)
    assert prior.variance == pytest.approx(2.0, rel=0.03)
    moderated = moderated_variance(side, prior)
    assert np.mean((moderated - variance) ** 2) < np.mean((side.squares / own - variance) ** 2) / 2


def test_equal_variances_are_recognised_as_equal():
    rng, records = np.random.default_rng(4), 40_000
    prior = fit_prior(Side(np.full(records, 4.0), np.zeros(records), 2.0 * rng.chisquare(3, records)))
    assert prior.freedom > 100
    assert prior.variance == pytest.approx(2.0, rel=0.02)
    assert fit_prior(Side(np.full(2, 4.0), np.zeros(2), np.ones(2))).freedom == MOST_FREEDOM


@pytest.mark.parametrize("freedom", [1.0, 3.0, 20.0, 1e4])
def test_log_tail_is_scipys_where_that_can_be_computed(freedom):
    value = np.linspace(-8, 30, 500)
    expected = t.logsf(value, freedom)
    known = expected > -600
    assert log_tail(value, np.full(500, freedom))[known] == pytest.approx(expected[known], rel=1e-8, abs=1e-14)


@pytest.mark.parametrize("freedom", [20.0, 1e4, 1e6])
def test_log_tail_goes_on_where_float64_ends_and_never_turns_back(freedom):
    value = np.linspace(5, 60, 20_001)
    tail = log_tail(value, np.full(value.size, freedom))
    assert np.isfinite(tail).all()
    assert (np.diff(tail) < 0).all()
    assert log_tail(np.array([60.0]), np.array([1e6]))[0] == pytest.approx(norm.logsf(60.0), rel=0.002)


def test_margin_and_entropies_are_those_of_a_loop():
    rng = np.random.default_rng(6)
    probs, label = rng.dirichlet(np.ones(4), 200), rng.integers(0, 4, 200)
    own = probs[np.arange(200), label]
    logs = np.log(probs)
    assert margin(logs, label) == pytest.approx(np.log(own) - np.log(1 - own))
    assert entropy(logs) == pytest.approx([-sum(p * np.log(p) for p in row) for row in probs])
    slow = [
        -sum((1 - p) * np.log(p) if c == y else p * np.log(1 - p) for c, p in enumerate(row))
        for row, y in zip(probs, label, strict=True)
    ]
    assert modified_entropy(logs, label) == pytest.approx(slow)
    best = [max(v for c, v in enumerate(row) if c != y) for row, y in zip(logs, label, strict=True)]
    assert decision_margin(logs, label) == pytest.approx(np.log(own) - best)


def test_margins_keep_their_digits_where_a_probability_rounds_to_one():
    logs = np.array([[0.0, -50.0, -60.0], [0.0, -55.0, -60.0]])
    assert margin(logs, np.zeros(2, dtype=int)) == pytest.approx([50.0, 55.0], abs=0.01)


@pytest.mark.parametrize("make", [gaussian_logits, classifier])
def test_how_many_references_had_a_record_says_nothing_of_membership(make):
    z = []
    for seed in range(100):
        world = make(seed, 400, 5, 1.0)
        count = world.signals["ref_member"].sum(axis=0).astype(float)
        z.append(auc(count, world.member).value - 0.5)
    # the mean of 100 lies beyond 4 standard errors in 1 run in 16,000
    assert abs(np.mean(z)) < 4 * np.std(z, ddof=1) / np.sqrt(100)
