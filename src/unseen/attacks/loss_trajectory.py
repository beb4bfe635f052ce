"""Loss trajectory: how much of the record's loss went away while the model was trained?"""

import numpy as np

from unseen.attack import Attack
from unseen.signal import Floats
from unseen.signals import TRAJECTORY


def loss_trajectory(trajectory: Floats) -> Floats:
    """Score each record by its mean loss in the first half of training minus that in the second half, in nats.

    `trajectory (records, epochs)`, of members and others alike, from one training run; the middle of an odd number of
    epochs counts in both halves, and one epoch alone says nothing. What is hard for every model starts high and stays
    high where it was not trained on. The inter-quartile range of the trajectory (LT-IQR) names the vulnerable among
    *members*; between members and others it points the wrong way, as the loss of others rises as much.

    >>> loss_trajectory(np.array([[2.0, 1.5, 0.5, 0.0], [2.0, 2.0, 2.0, 2.5]]))
    array([ 1.5 , -0.25])
    """
    losses = trajectory.astype(np.float64)
    epochs = losses.shape[1]
    return losses[:, : (epochs + 1) // 2].mean(axis=1) - losses[:, epochs // 2 :].mean(axis=1)


LOSS_TRAJECTORY = Attack(
    score=loss_trajectory,
    needs=(TRAJECTORY,),
    row="S3",
    cites="after the loss traces of Pollock et al. 2024, arXiv:2411.05743 (LT-IQR); the signed fall is ours, measured "
    "in docs/statistics.md (heuristic)",
)
