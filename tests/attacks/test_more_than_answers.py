"""Attacks that see more than answers, and those that ask about copies: laws, slow forms, and small real models."""

from functools import cache

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from unseen.access import Access
from unseen.attacks import catalogue
from unseen.attacks.leverage import LEVERAGE_ATTACK, held_out
from unseen.attacks.leverage import leverage as leverage_attack
from unseen.attacks.lira_online_shared import lira_online_shared
from unseen.attacks.moderated_t_offline import moderated_t_offline
from unseen.attacks.moderated_t_trend import moderated_t_trend
from unseen.attacks.rmia_online import rmia_online
from unseen.errors import DataError
from unseen.features.images import image_queries
from unseen.moments.likelihood import mean_likelihood
from unseen.signals.leverage import leverage
from unseen.signals.margin import margin
from unseen.signals.residual import residual_loss, residual_scale
from unseen.stats.roc import auc
from unseen.testing import specimens
from unseen.testing.checks import BrokenPromise, check_attack, ignores_order
from unseen.testing.worlds import classifier, least_squares

CATALOGUE = catalogue()


def area(scores, member):
    return auc(np.asarray(scores, dtype=np.float64), member).value


# Leverage, the signal.


@pytest.mark.parametrize("chunk", [7, 4096])
@pytest.mark.parametrize("ridge", [0.0, 2.5])
def test_leverage_is_the_diagonal_of_the_hat_matrix_of_a_ridge_fit(monkeypatch, chunk, ridge):
    monkeypatch.setattr("unseen.signals.leverage.CHUNK", chunk)
    x = np.random.default_rng(0).normal(3.0, 2.0, (60, 5))
    model = Ridge(alpha=ridge) if ridge else LinearRegression()
    hat = [model.fit(x, unit).predict(x)[place] for place, unit in enumerate(np.eye(60))]
    assert leverage(x, ridge) == pytest.approx(hat, abs=1e-12)


def test_leverages_without_a_ridge_count_the_columns_that_differ_and_the_intercept():
    x = np.random.default_rng(1).normal(size=(100, 4))
    wide = np.column_stack([x, x[:, 0], np.full(100, 7.0), x @ [1.0, 2.0, 3.0, 4.0]])  # three that add nothing
    assert leverage(wide, 0.0).sum() == pytest.approx(5.0, abs=1e-9)
    assert leverage(wide, 0.0) == pytest.approx(leverage(x, 0.0), abs=1e-12)


def test_leverage_keeps_its_digits_where_columns_are_of_unlike_size_and_far_from_zero():
    x = np.random.default_rng(2).normal(size=(500, 6))
    scaled = x * 10.0 ** np.arange(-5, 7, 2) + 1e3 * 10.0 ** np.arange(-5, 7, 2)
    assert leverage(scaled, 0.0) == pytest.approx(leverage(x, 0.0), rel=1e-6)


def test_more_columns_than_records_leave_every_record_alone():
    assert leverage(np.random.default_rng(3).normal(size=(8, 20)), 0.0) == pytest.approx(np.ones(8))


def test_a_missing_feature_is_refused_and_not_quoted():
    with pytest.raises(DataError, match="2 of 6 are not"):
        leverage(np.array([[1.0, np.nan], [np.inf, 0.5], [3.25, 1.0]]), 0.0)


# Leverage, the attack.


def test_a_residual_has_the_variance_that_the_attack_takes_it_to_have():
    rng = np.random.default_rng(0)
    x = np.column_stack([np.ones(60), rng.normal(size=(60, 10))])
    trained = np.arange(60) < 30
    reach = np.einsum("rc,cd,rd->r", x, np.linalg.inv(x[trained].T @ x[trained]), x)
    noise = rng.normal(size=(60, 20_000))
    residual = noise - x @ np.linalg.lstsq(x[trained], noise[trained])[0]
    law = np.where(trained, 1 - reach, 1 + reach)
    assert residual.var(axis=1) == pytest.approx(law, rel=0.05)  # standard error 1 %
    out = reach[trained] / (1 - reach[trained])
    alone = [_reach_of(x[trained], place) for place in range(30)]
    assert out == pytest.approx(alone, rel=1e-9)  # a member's leverage says what the others say of it


def _reach_of(x, place):
    others = np.delete(x, place, axis=0)
    return x[place] @ np.linalg.inv(others.T @ others) @ x[place]


def test_the_score_is_the_log_ratio_of_the_two_normal_densities():
    rng = np.random.default_rng(1)
    residual, lever = rng.normal(size=500), rng.uniform(0.01, 0.3, 500)
    out = held_out(lever, 0.5)
    ratio = norm.logpdf(residual, 0, (1 + out) ** -0.5) - norm.logpdf(residual, 0, (1 + out) ** 0.5)
    assert leverage_attack(residual**2 / 2, lever) == pytest.approx(ratio, abs=1e-12)


@pytest.mark.parametrize("columns", [20, 100, 250])
def test_what_others_say_of_a_record_is_estimated_without_knowing_who_was_trained_on(columns):
    rng = np.random.default_rng(columns)
    x = rng.normal(size=(800, columns))
    design, trained = np.column_stack([np.ones(800), x]), rng.permutation(800) < 400
    reach = np.einsum("rc,cd,rd->r", design, np.linalg.inv(design[trained].T @ design[trained]), design)[~trained]
    assert held_out(leverage(x, 0.0), 0.5)[~trained].mean() == pytest.approx(reach.mean(), rel=0.04)


@cache
def least_squares_areas():
    """The AUC of the loss, of the leverage attack and of the oracle in 60 worlds."""
    worlds = [least_squares(seed) for seed in range(60)]
    scores = [(-w.signals["loss"], LEVERAGE_ATTACK(w.signals).values, w.oracle) for w in worlds]
    return np.array([[area(s, w.member) for s in each] for each, w in zip(scores, worlds, strict=True)])


def test_on_least_squares_the_attack_is_nearer_to_the_oracle_than_the_loss_and_does_not_exceed_it():
    loss, attack, oracle = least_squares_areas().T
    gain = attack - loss
    assert gain.mean() > 4 * gain.std(ddof=1) / np.sqrt(60)
    assert 0 <= (oracle - attack).mean() < 0.003 < (oracle - loss).mean()


def test_leverage_keeps_every_promise_where_leverage_is_all_that_leaks():
    check_attack(LEVERAGE_ATTACK, least_squares)


@cache
def diabetes_areas():
    """The AUC of the loss and of leverage on the diabetes records, squares and products added, over 60 halves."""
    x, y = load_diabetes(return_X_y=True)
    x = PolynomialFeatures(2, include_bias=False).fit_transform(StandardScaler().fit_transform(x))
    lever, found = leverage(x, 0.0), []
    for seed in range(60):
        member = np.random.default_rng(seed).permutation(y.size) < y.size // 2
        residual = y - LinearRegression().fit(x[member], y[member]).predict(x)
        loss = residual_loss(residual, residual_scale(residual))
        found.append((area(-loss, member), area(leverage_attack(loss, lever), member)))
    return np.array(found)


def test_on_real_records_and_65_columns_leverage_finds_more_than_the_loss():
    loss, attack = diabetes_areas().T
    gain = attack - loss
    assert gain.mean() > 4 * gain.std(ddof=1) / np.sqrt(60)
    assert attack.mean() == pytest.approx(0.637, abs=0.01)  # docs/statistics.md


def test_on_logistic_regression_leverage_finds_a_little_more_than_the_loss():
    x, y = load_breast_cancer(return_X_y=True)
    x = StandardScaler().fit_transform(x)
    lever, gain = leverage(x, 0.0), []
    for seed in range(20):
        member = np.random.default_rng(seed).permutation(y.size) < y.size // 2
        model = LogisticRegression(C=100.0, max_iter=3000).fit(x[member], y[member])
        loss = np.logaddexp(0.0, -model.decision_function(x) * (2 * y - 1))
        gain.append(area(leverage_attack(loss, lever), member) - area(-loss, member))
    assert np.mean(gain) > 4 * np.std(gain, ddof=1) / np.sqrt(20)


# Training logs and weights.


def digits(noise, seed):
    """The digits with a share of labels drawn anew, and a coin-tossed half."""
    x, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(seed)
    return x / 16, np.where(rng.random(y.size) < noise, rng.integers(0, 10, y.size), y), rng.random(y.size) < 0.5


@cache
def logged_training(seed):
    """The loss of every digit after each of 40 epochs of training on half of them, and the last layer's gradient."""
    x, y, member = digits(0.2, seed)
    rng = np.random.default_rng(seed)
    model = MLPClassifier((64,), batch_size=32, learning_rate_init=0.01, random_state=seed)
    trajectory = []
    for _ in range(40):
        order = rng.permutation(np.flatnonzero(member))
        model.partial_fit(x[order], y[order], classes=np.arange(10))
        probs = model.predict_proba(x)
        trajectory.append(-np.log(np.maximum(probs[np.arange(y.size), y], 1e-300)))
    hidden = np.maximum(x @ model.coefs_[0] + model.intercepts_[0], 0)
    gradient = np.linalg.norm(probs - np.eye(10)[y], axis=1) * np.sqrt((hidden**2).sum(axis=1) + 1)
    return np.array(trajectory).T, gradient, hidden, member


def test_the_fall_of_the_loss_finds_more_than_where_it_ended():
    for seed in range(2):
        trajectory, *_, member = logged_training(seed)
        fall = area(CATALOGUE["loss-trajectory"]({"trajectory": trajectory}).values, member)
        assert fall > area(-trajectory[:, -1], member) + 0.06
        assert fall > 0.65


def test_the_quartile_range_of_the_loss_points_the_wrong_way_between_members_and_others():
    for seed in range(2):
        trajectory, *_, member = logged_training(seed)
        quartiles = np.quantile(trajectory, [0.25, 0.75], axis=1)
        assert area(quartiles[1] - quartiles[0], member) < 0.48


def test_among_members_the_quartile_range_names_those_whose_loss_fell_most():
    trajectory, *_, member = logged_training(0)
    quartiles = np.quantile(trajectory[member], [0.25, 0.75], axis=1)
    named = np.argsort(quartiles[0] - quartiles[1])[:45]  # one member in twenty
    fall = CATALOGUE["loss-trajectory"]({"trajectory": trajectory[member]}).values
    assert np.isin(named, np.argsort(-fall)[:90]).mean() > 0.8


def test_a_log_of_one_epoch_says_nothing():
    assert (CATALOGUE["loss-trajectory"]({"trajectory": np.array([[1.0], [3.0]])}).values == 0).all()


def test_the_last_layers_gradient_finds_what_the_loss_finds():
    for seed in range(2):
        trajectory, gradient, _, member = logged_training(seed)
        found = area(CATALOGUE["white-box-gradient"]({"gradient_norm": gradient}).values, member)
        assert found > 0.57
        assert found == pytest.approx(area(-trajectory[:, -1], member), abs=0.02)


def test_last_layer_leverage_finds_more_than_the_loss_of_a_network():
    for seed in range(2):
        trajectory, _, hidden, member = logged_training(seed)
        found = area(leverage_attack(trajectory[:, -1], leverage(hidden, 0.0)), member)
        assert found > area(-trajectory[:, -1], member) + 0.005


# Copies.


def test_copies_that_are_the_record_itself_add_nothing():
    s = classifier(0, 300, 6).signals
    twice = {"query_margin": s["margin"], "query_loss": s["loss"]}
    twice |= {"ref_query_margin": s["ref_margin"], "ref_query_loss": s["ref_loss"]}
    copied = {**s, **{name: np.stack([array] * 2, axis=-1) for name, array in twice.items()}}
    own = s["margin"], s["ref_margin"], s["ref_member"]
    population = s["population_loss"], s["ref_population_loss"]
    assert CATALOGUE["lira-augmented"](copied).values == pytest.approx(lira_online_shared(*own))
    assert CATALOGUE["moderated-t-augmented"](copied).values == pytest.approx(moderated_t_trend(*own))
    assert (CATALOGUE["rmia-augmented"](copied).values == rmia_online(s["loss"], s["ref_loss"], *population)).all()


@pytest.mark.parametrize("queries", [1, 2, 3, 4])
@pytest.mark.parametrize("gamma", [1.0, 2.0])
def test_rmia_by_the_middle_ratio_is_the_vote_of_a_loop_to_the_last_bit(queries, gamma):
    rng = np.random.default_rng(queries)
    shapes = (40, queries), (3, 40, queries), (30,), (3, 30)
    losses = [np.log(2.0) * rng.integers(0, 4, shape) for shape in shapes]  # with many ties
    own, ref, other, ref_other = losses
    population = np.exp(-other) / mean_likelihood(ref_other)
    votes = sum(
        (np.exp(-own[:, q]) / mean_likelihood(ref[:, :, q]))[:, None] / gamma > population for q in range(queries)
    )
    found = CATALOGUE["rmia-augmented"].score(*losses, gamma=gamma)
    assert (found == (votes > queries / 2).mean(axis=1)).all()


@pytest.mark.parametrize("name", ["lira-augmented", "moderated-t-augmented"])
def test_copies_with_noise_of_their_own_add_up_as_the_closed_form_has_it(name):
    rng, queries, records, gap = np.random.default_rng(0), 4, 6000, 0.7
    member, ref_member = rng.random(records) < 0.5, rng.random((64, records)) < 0.5
    signals = {
        "query_margin": gap * member[:, None] + rng.normal(size=(records, queries)),
        "ref_query_margin": gap * ref_member[:, :, None] + rng.normal(size=(64, records, queries)),
        "ref_member": ref_member,
    }
    best = norm.cdf(gap * np.sqrt(queries / 2))
    found = area(CATALOGUE[name](signals).values, member)
    assert found == pytest.approx(best, abs=0.02)  # a standard error of 0.005, and 64 references are not infinite
    assert found > norm.cdf(gap * np.sqrt(1 / 2)) + 0.1  # of one copy


@cache
def networks_on_digits(*, augmented):
    """Margins of 9 networks on the digits and their 9 shifts `(networks, records, queries)`, and who was trained on."""
    x, y, _ = digits(0.1, 0)
    shifts = [change for _, change in image_queries((8, 8))][:9]
    rng = np.random.default_rng(0)
    member = rng.random((9, y.size)) < 0.5
    margins = np.empty((9, y.size, 9))
    for k, inside in enumerate(member):
        model = MLPClassifier((48,), batch_size=64, learning_rate_init=0.01, random_state=k)
        own, label = x[inside], y[inside]
        for _ in range(30):
            drawn = rng.integers(0, 9, label.size) if augmented else np.zeros(label.size, dtype=int)
            seen = np.stack([change(own) for change in shifts])[drawn, np.arange(label.size)]
            model.partial_fit(seen, label, classes=np.arange(10))
        for place, change in enumerate(shifts):
            margins[k, :, place] = margin(np.log(model.predict_proba(change(x)) + 1e-15), y)
    return margins, member


def areas_on_digits(name, *, augmented):
    """The AUC of an attack on copies and on the record alone, mean over each network as target of the others."""
    margins, member = networks_on_digits(augmented=augmented)
    attack, found = CATALOGUE[name].score, []
    for k in range(9):
        own, others, seen = margins[k], np.delete(margins, k, axis=0), np.delete(member, k, axis=0)
        scores = attack(own, others, seen), attack(own[:, :1], others[:, :, :1], seen)
        found.append([area(score, member[k]) for score in scores])
    return np.mean(found, axis=0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lira-augmented", "moderated-t-augmented"])
def test_shifted_copies_tell_more_of_a_network_that_was_trained_on_shifts(name):
    copies, alone = areas_on_digits(name, augmented=True)
    assert copies > alone + 0.02


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lira-augmented", "moderated-t-augmented"])
def test_shifted_copies_tell_less_of_a_network_that_was_not(name):
    copies, alone = areas_on_digits(name, augmented=False)
    assert copies < alone - 0.02


def test_an_attack_that_reads_one_copy_by_its_place_is_caught():
    with pytest.raises(BrokenPromise, match="asks-one-copy breaks ignores_order"):
        ignores_order(specimens.ASKS_ONE_COPY)


# Imitation.


def test_imitation_is_the_offline_test_with_models_that_never_had_the_record():
    s = classifier(1, 300, 5).signals
    never = np.zeros(s["imitation_margin"].shape, dtype=bool)
    expected = moderated_t_offline(s["margin"], s["imitation_margin"], never)
    assert (CATALOGUE["imitation"](s).values == expected).all()


def test_with_many_imitations_the_closed_form_is_reached():
    rng, records = np.random.default_rng(0), 6000
    member, centre = rng.random(records) < 0.5, 3 * rng.normal(size=records)
    signals = {
        "margin": centre + member + rng.normal(size=records),
        "imitation_margin": centre + rng.normal(size=(256, records)),
    }
    assert area(CATALOGUE["imitation"](signals).values, member) == pytest.approx(norm.cdf(1 / np.sqrt(2)), abs=0.015)


@cache
def distilled_on_digits(seed):
    """The AUC of imitation (8 pupils on 400 other digits) and of the loss, for a network on noisy digits."""
    x, y, member = digits(0.2, seed)
    taught, audited = np.arange(400), np.arange(400, y.size)
    inside = audited[member[audited]]
    target = MLPClassifier((64,), learning_rate_init=0.01, random_state=seed)
    for _ in range(60):
        target.partial_fit(x[inside], y[inside], classes=np.arange(10))
    logs = np.log(target.predict_proba(x) + 1e-15)
    pupils = []
    for k in range(8):
        drawn = np.random.default_rng([seed, k]).choice(taught, taught.size)
        pupil = MLPRegressor(hidden_layer_sizes=(64,), learning_rate_init=0.01, random_state=k)
        for _ in range(60):
            pupil.partial_fit(x[drawn], logs[drawn])
        said = pupil.predict(x[audited])
        pupils.append(margin(said - np.logaddexp.reduce(said, axis=1, keepdims=True), y[audited]))
    own = margin(logs[audited], y[audited])
    found = CATALOGUE["imitation"]({"margin": own, "imitation_margin": np.array(pupils)}).values
    return area(found, member[audited]), area(own, member[audited])


@pytest.mark.slow
def test_pupils_of_a_network_tell_its_members_better_than_its_loss():
    found, loss = np.mean([distilled_on_digits(seed) for seed in range(4)], axis=0)
    assert found > loss + 0.01


# What they need, and changed images.


@pytest.mark.parametrize(
    ("name", "access"),
    [
        ("loss-trajectory", {Access.TRAINING_LOG}),
        ("white-box-gradient", {Access.WEIGHTS}),
        ("leverage", {Access.WEIGHTS, Access.FEATURES, Access.PROBABILITIES}),
        ("lira-augmented", {Access.QUERIES, Access.SCORES, Access.REFERENCES}),
        ("moderated-t-augmented", {Access.QUERIES, Access.SCORES, Access.REFERENCES}),
        ("rmia-augmented", {Access.QUERIES, Access.PROBABILITIES, Access.REFERENCES, Access.POPULATION}),
        ("imitation", {Access.SCORES, Access.PROBABILITIES, Access.REFERENCES, Access.POPULATION}),
    ],
)
def test_the_access_of_each_follows_from_what_it_reads(name, access):
    assert CATALOGUE[name].access == access


@pytest.mark.parametrize("shape", [(8, 8), (1, 8, 8), (3, 32, 32), (2, 5, 9)])
def test_there_are_18_different_copies_of_the_same_shape_and_type_and_the_first_is_the_image(shape):
    images = np.random.default_rng(0).normal(size=(4, *shape)).astype(np.float32)
    changed = [change(images) for _, change in image_queries(shape)]
    assert {(copy.shape, copy.dtype) for copy in changed} == {(images.shape, images.dtype)}
    assert len({copy.tobytes() for copy in changed}) == len({name for name, _ in image_queries(shape)}) == 18
    assert (changed[0] == images).all()
    assert not np.shares_memory(changed[0], images)


@pytest.mark.parametrize("shape", [(8, 8), (3, 32, 24)])
def test_flattened_images_change_as_the_same_images_do(shape):
    images = np.random.default_rng(1).integers(0, 17, (3, *shape))
    for _, change in image_queries(shape):
        assert (change(images.reshape(3, -1)) == change(images).reshape(3, -1)).all()


def test_shifts_are_those_of_reflecting_padding_and_mirrors_those_of_numpy():
    images = np.random.default_rng(2).normal(size=(2, 3, 32, 16))
    changes = dict(image_queries((3, 32, 16)))
    padded = np.pad(images, ((0, 0), (0, 0), (4, 4), (2, 2)), mode="reflect")  # an eighth of each side
    assert (changes["down, right"](images) == padded[:, :, :32, :16]).all()
    assert (changes["up"](images) == padded[:, :, 8:, 2:18]).all()
    assert (changes["mirrored"](images) == images[..., ::-1]).all()
    assert (changes["mirrored, left"](images) == changes["left"](images[..., ::-1])).all()


def test_each_copy_is_made_of_its_own_record_alone():
    images = np.random.default_rng(3).normal(size=(5, 36))
    for _, change in image_queries((6, 6)):
        assert (change(images)[3:] == change(images[3:])).all()


def test_a_side_of_one_pixel_is_not_moved():
    assert [name for name, _ in image_queries((1, 5))] == [
        "as it is",
        "left",
        "right",
        *("mirrored" + e for e in ("", ", left", ", right")),
    ]
    assert [name for name, _ in image_queries((1, 1))] == ["as it is"]


@pytest.mark.parametrize("shape", [(64,), (1, 1, 8, 8), (0, 8)])
def test_shapes_that_are_no_images_are_refused(shape):
    with pytest.raises(DataError, match=r"images have a shape of \(height, width\)"):
        image_queries(shape)


def test_features_that_are_not_the_declared_images_are_refused():
    change = image_queries((8, 8))[0][1]
    with pytest.raises(DataError, match=r"shape \(8, 8\) were declared, and the features have shape \(63,\)"):
        change(np.zeros((2, 63)))
