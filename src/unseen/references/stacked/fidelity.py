"""Whether bfloat16 products may stand in for float32: what they change, beside how much models differ anyway."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from unseen.reference import ReferenceAnswers, ReferenceTask
from unseen.references.processes import Job
from unseen.references.stacked.trained import trained
from unseen.signal import Floats

TRIED_MODELS = 4
MOST_SHARE = 0.1  # heuristic; small perceptrons measured 0.0004 to 0.0023


def precision_share(task: ReferenceTask, jobs: Sequence[Job]) -> float | None:
    """Return the median over records of |bfloat16 - float32| margins, over that of the spread between models.

    Both of a few models, each trained both ways from the same seed. None where a model failed or there is one only.
    """
    recipe: Any = task.recipe
    tried = jobs[:TRIED_MODELS]
    full, half = (
        _margins(trained(replace(task, recipe=replace(recipe, dtype=dtype)), tried)[0])
        for dtype in ("float32", "bfloat16")
    )
    if full is None or half is None or len(full) < 2:
        return None
    spread = np.median(full.std(axis=0, ddof=1))
    return float(np.median(np.abs((half - full).mean(axis=0))) / spread) if spread > 0 else None


def _margins(outcomes: Sequence[tuple[int, Any]]) -> Floats | None:
    ordered = [answers for _, answers in sorted(outcomes, key=lambda one: one[0])]
    if not all(isinstance(one, ReferenceAnswers) for one in ordered):
        return None
    return np.stack([one.margin for one in ordered]).astype(np.float64)
