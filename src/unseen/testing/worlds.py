"""Worlds whose leakage is known: what an attack can reach there, it must, and nothing may exceed it."""

from dataclasses import dataclass, field

import numpy as np
from scipy.special import log_expit
from scipy.stats import norm

from unseen.signal import Bools, Floats, Signals
from unseen.signals.leverage import leverage
from unseen.signals.residual import residual_loss, residual_margin, residual_scale

DIFFICULTY_SPREAD = 3.0
EPOCHS, QUERIES = 8, 3


@dataclass(frozen=True)
class World:
    """Signals of one target and its references, the truth about membership, and the best possible score if known."""

    signals: Signals
    member: Bools = field(repr=False)
    oracle: Floats | None = field(default=None, repr=False)


def _coins(rng: np.random.Generator, *shape: int) -> Bools:
    return rng.random(shape) < 0.5


def gaussian_logits(seed: int, records: int = 50_000, references: int = 16, leak: float = 1.0) -> World:
    """Return the world of per-record normal margins, with the log likelihood ratio as its oracle.

    out ~ N(m, s^2), in ~ N(m + d, t^2), with m ~ N(4, 9), s^2 ~ InvGamma(3, rate 3), d ~ Gamma(0.6, scale 1.6) and
    t = s LogNormal(-0.2, 0.3). `leak` scales d and log(t / s); at 0 nothing leaks. Members and each reference's are
    drawn by fair coins.
    """
    rng = np.random.default_rng(seed)
    m = rng.normal(4.0, DIFFICULTY_SPREAD, records)
    s = np.sqrt(1 / rng.gamma(3.0, 1 / 3.0, records))
    d = leak * rng.gamma(0.6, 1.6, records)
    t = s * np.exp(leak * rng.normal(-0.2, 0.3, records))
    member, ref_member = _coins(rng, records), _coins(rng, references, records)
    margin = np.where(member, m + d, m) + np.where(member, t, s) * rng.normal(size=records)
    ref_margin = np.where(ref_member, m + d, m) + np.where(ref_member, t, s) * rng.normal(size=(references, records))
    oracle = norm.logpdf(margin, m + d, t) - norm.logpdf(margin, m, s)
    signals = Signals(margin=margin, ref_margin=ref_margin, ref_member=ref_member)
    return World(signals, member, np.asarray(oracle) if leak else None)


def mean_release(seed: int, records: int = 400, dimension: int = 200, references: int = 64) -> World:
    """Return the world in which the mean of the members is published: records N(0, I), n = half of them members.

    The margin of a record is n <x, mean> / |x|: N(|x|, n) for members and N(0, n) for others, so the best ROC is that
    of two normals sqrt(d / n) apart (`mean_release_tpr`), and the margin itself is the best score. Each reference is
    drawn afresh from the population for each record: references on the audited pool itself would know the other
    members, and could do better than this attacker.
    """
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(records, dimension))
    length = np.linalg.norm(x, axis=1)
    member = rng.permutation(records) < records // 2
    ref_member = _coins(rng, references, records)
    others = np.sqrt(member.sum()) * rng.normal(size=ref_member.shape)
    margin = np.asarray(x @ x[member].sum(axis=0) / length)
    return World(Signals(margin=margin, ref_margin=length * ref_member + others, ref_member=ref_member), member, margin)


def mean_release_tpr(fpr: Floats, members: int, dimension: int) -> Floats:
    """Return the best TPR at each `fpr` in `mean_release`: Phi(Phi^-1(fpr) + sqrt(d / n)) (Dong et al. 2022, GDP)."""
    return np.asarray(norm.cdf(norm.ppf(fpr) + np.sqrt(dimension / members)))


def mean_release_auc(members: int, dimension: int) -> float:
    """Return the best AUC in `mean_release`: Phi(sqrt(d / n) / sqrt 2).

    >>> round(mean_release_auc(200, 200), 4)
    0.7602
    """
    return float(norm.cdf(np.sqrt(dimension / members / 2)))


def least_squares(seed: int, records: int = 400, references: int = 0, leak: float = 1.0) -> World:  # noqa: ARG001
    """Return the world of a linear fit to half of the records, with the exact log likelihood ratio as its oracle.

    records / 8 normal features, scaled record by record so that some lie far out, normal noise of variance 1, and
    ordinary least squares with an intercept. The oracle knows the noise, and which other records were trained on. At
    `leak` 0 the fit is to other records of the same population; `references` are not used.
    """
    rng = np.random.default_rng(seed)
    columns = max(records // 8, 1)
    x = rng.normal(size=(2 * records, columns)) * np.sqrt(rng.gamma(1.0, 1.0, (2 * records, 1)))
    y = x @ rng.normal(size=columns) + rng.normal(size=2 * records)
    member = rng.permutation(records) < records // 2
    trained = np.flatnonzero(np.concatenate([member & (leak > 0), ~member & (leak == 0)]))
    design = np.column_stack([np.ones(2 * records), x])
    residual = (y - design @ np.linalg.lstsq(design[trained], y[trained])[0])[:records]
    scale = residual_scale(residual)
    signals = Signals(
        loss=residual_loss(residual, scale),
        margin=residual_margin(residual, scale),
        leverage=leverage(x[:records], 0.0),
    )
    if not leak:
        return World(signals, member)
    reach = np.einsum(
        "rc,rc->r", design[:records] @ np.linalg.pinv(design[trained].T @ design[trained]), design[:records]
    )
    spread = np.where(member, 1 / np.maximum(1 - reach, 1e-9), 1 + reach)  # 1 + g: both laws, others as they are
    oracle = np.log(spread) - residual**2 / 2 * (spread - 1 / spread)
    return World(signals, member, oracle)


def classifier(
    seed: int, records: int = 1000, references: int = 8, leak: float = 1.0, population: int | None = None
) -> World:
    """Return a world with every signal of the catalogue, from simulated answers of a three-class model.

    Each record has a difficulty that its features show; training on a record raises its true class's logit by
    `leak` times a gap that is larger for hard records. At `leak` 0 the answers do not depend on membership.
    """
    rng = np.random.default_rng(seed)
    others = records if population is None else population
    total = records + others
    features = rng.normal(size=(total, 4))
    difficulty = features @ np.array([1.5, -1.0, 0.5, 0.0])
    gain = leak * np.exp(0.5 * rng.normal(size=total) - 0.3 * difficulty / 2)
    member = np.concatenate([_coins(rng, records), np.zeros(others, dtype=bool)])
    ref_member = _coins(rng, references, total)
    everyone = np.concatenate([member[None], ref_member])
    noise = 0.7 * rng.normal(size=(references + 1, total))
    margin = 1.5 + difficulty + gain * everyone + noise
    rest = log_expit(-margin)  # the other two classes share what is left, unevenly and at random
    split = np.log(rng.uniform(0.05, 0.95, size=(references + 1, total)))
    loss = -log_expit(margin)
    label = rng.integers(0, 3, total)
    probs = np.exp(np.stack([-loss, rest + split, rest + np.log1p(-np.exp(split))], axis=-1))[0, :records]
    copies = 12
    held = rng.binomial(copies, np.exp(-loss[0, :records]))
    entropy = -(probs * np.log(np.maximum(probs, 1e-300))).sum(axis=1)
    own, wrong = probs[:, 0], probs[:, 1:]
    modified = -(1 - own) * np.log(own) - (wrong * np.log1p(-wrong)).sum(axis=1)
    copies_margin = _of_copies(rng, margin[:, :records])
    taught = 1.5 + difficulty[:records] + 0.7 * rng.normal(size=(references, records))
    time = np.arange(1, EPOCHS + 1) / EPOCHS  # what is general is learned at once, what is of one record at last
    path = (1.5 + difficulty + noise[0])[:records, None] * np.minimum(3 * time, 1.0)
    path = path + (gain * member)[:records, None] * time**2 + 0.2 * rng.normal(size=(records, EPOCHS))
    signals = Signals(
        label=label[:records],
        features=features[:records],
        correct=(probs.argmax(axis=1) == 0).astype(np.float64),
        loss=loss[0, :records],
        confidence=probs.max(axis=1),
        entropy=entropy,
        modified_entropy=modified,
        margin=margin[0, :records],
        robustness=held / copies,
        ref_member=ref_member[:, :records],
        ref_loss=loss[1:, :records],
        ref_margin=margin[1:, :records],
        population_loss=loss[0, records:],
        ref_population_loss=loss[1:, records:],
        ref_population_member=ref_member[:, records:],
        population_margin=margin[0, records:],
        ref_population_margin=margin[1:, records:],
        population_label=label[records:],
        query_margin=copies_margin[0],
        query_loss=-log_expit(copies_margin[0]),
        ref_query_margin=copies_margin[1:],
        ref_query_loss=-log_expit(copies_margin[1:]),
        imitation_margin=taught,
        gradient_norm=np.exp(rest[0, :records]) * np.sqrt(1 + (features[:records] ** 2).sum(axis=1)),
        leverage=leverage(features[:records], 0.0),
        trajectory=-log_expit(path),
    )
    return World(signals, member[:records])


def _of_copies(rng: np.random.Generator, margin: Floats) -> Floats:
    """Return each model's margins on a record and its changed copies, `(models, records, queries)`."""
    changed = margin[:, :, None] - 0.3 + 0.5 * rng.normal(size=(*margin.shape, QUERIES - 1))
    return np.concatenate([margin[:, :, None], changed], axis=2)
