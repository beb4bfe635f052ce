"""PMIA, offline: the in-moments that no reference can show are borrowed from records like this one."""

import numpy as np

from unseen.attack import Attack
from unseen.attacks.moderated_t_offline import moderated_t_offline
from unseen.moments.prior import fit_prior, moderated_variance
from unseen.moments.proxies import borrow
from unseen.moments.sides import sides
from unseen.moments.student import log_density
from unseen.signal import Bools, Floats
from unseen.signals import MARGIN, REF_MARGIN, REF_MEMBER, REF_POPULATION_MARGIN, REF_POPULATION_MEMBER

LARGEST = 100.0  # a record's variance over that of its proxies, either way


def proxy_in(
    margin: Floats,
    ref_margin: Floats,
    ref_member: Bools,
    ref_population_margin: Floats,
    ref_population_member: Bools,
) -> Floats:
    """Score each record by log N(margin; in-moments of its proxies) - log t(margin; its own out-moments).

    `margin (records,)`, `ref_margin` and `ref_member (references, records)`, and the same of the population. Proxies
    are population records with a similar out mean; references that were trained on the audited record are not used.
    Out-variances are moderated towards those of the proxies, and a record noisier than its proxies outside is taken to
    be so inside. Worth it where hard records gain more; where the gain has nothing to do with the out mean,
    `moderated_t_offline` finds more. Where no proxy has references on both sides, the score
    is that of `moderated_t_offline`; a record without out references scores 0.

    >>> ref, seen = np.array([[0.0], [0.5], [3.0], [3.5]]), np.array([[False], [False], [True], [True]])
    >>> bool(proxy_in(np.array([3.0]), ref[:2], seen[:2], ref[[0, 2]], seen[[0, 2]])[0] > 0)
    True
    """
    _, outside = sides(ref_margin, ref_member)
    proxies = borrow(outside, *sides(ref_population_margin, ref_population_member))
    if proxies is None:
        return moderated_t_offline(margin, ref_margin, ref_member)
    prior = fit_prior(outside)
    own = moderated_variance(outside, prior, proxies.out_variance)
    borrowed = proxies.variance * np.clip(own / proxies.out_variance, 1 / LARGEST, LARGEST)
    spread = own * (1 + 1 / np.maximum(outside.count, 1))
    inner = -((margin - proxies.mean) ** 2 / borrowed + np.log(2 * np.pi * borrowed)) / 2
    outer = log_density(margin, prior.freedom + outside.freedom, outside.mean, spread)
    return np.where(outside.count > 0, inner - outer, 0.0)


PROXY_IN = Attack(
    score=proxy_in,
    needs=(MARGIN, REF_MARGIN, REF_MEMBER, REF_POPULATION_MARGIN, REF_POPULATION_MEMBER),
    row="S2",
    cites="PMIA (NDSS 2026), in-moments from proxies; proxies by out mean, and moderated variances, are ours",
)
