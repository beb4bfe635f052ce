"""What other records, whose training is known, say of records that no usable reference was trained on."""

from dataclasses import dataclass, field

import numpy as np

from unseen.moments.gap import Trend
from unseen.moments.sides import Side
from unseen.signal import Floats


@dataclass(frozen=True)
class Borrowed:
    """In-moments as the proxies have them, at each record's out mean, `(records,)`.

    `mean` and `variance` of a margin had the record been trained on; `out_variance`, the variance between references
    that have not seen a record.
    """

    mean: Floats = field(repr=False)
    variance: Floats = field(repr=False)
    out_variance: Floats = field(repr=False)


def borrow(own: Side, inside: Side, outside: Side) -> Borrowed | None:
    """Return the moments of proxies with a similar out mean; None where no proxy has references on both sides.

    `own` is the records' out side, `(records,)`; `inside` and `outside` are the proxies' sides, `(proxies,)`. A record
    without out references gets what a middling proxy has. The in variance is over all in references of such proxies:
    within a proxy and between them, so it is already a predictive one.
    """
    known = (inside.count > 0) & (outside.count > 0)
    if not known.any():
        return None
    records = own.mean.size
    out_mean = np.where(own.count > 0, own.mean, outside.mean[known].mean())
    trend = Trend(np.concatenate([out_mean, outside.mean]))

    def around(total: Floats, weight: Floats) -> Floats:
        none = np.zeros(records)
        return trend.ratio(np.concatenate([none, total]), np.concatenate([none, weight]))

    weight = np.where(known, inside.count, 0.0)
    mean = around(weight * inside.mean, weight)
    squares = np.where(known, inside.squares + weight * (inside.mean - mean[records:]) ** 2, 0.0)
    variance = around(squares, weight)[:records]
    least = 1e-4 * outside.pooled_variance
    within = around(outside.squares, outside.freedom)[:records]
    return Borrowed(mean[:records], np.maximum(variance, least), np.maximum(within, least))
