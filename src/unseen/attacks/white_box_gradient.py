"""White-box gradient: the model has little left to learn from what it was trained on."""

import numpy as np

from unseen.attack import Attack
from unseen.signal import Floats
from unseen.signals import GRADIENT_NORM


def white_box_gradient(gradient_norm: Floats) -> Floats:
    """Score each record by minus the norm of its loss's gradient in the last layers.

    Any increasing function of the norm ranks the same. In a last layer with softmax the norm is |p - y| times that of
    the layer's input, so it tells more than the loss only where inputs differ in size, or where more layers are taken.

    >>> white_box_gradient(np.array([0.0, 2.0]))
    array([-0., -2.])
    """
    return -np.asarray(gradient_norm, dtype=np.float64)


WHITE_BOX_GRADIENT = Attack(
    score=white_box_gradient,
    needs=(GRADIENT_NORM,),
    row="S3",
    cites="Nasr et al. 2019, arXiv:1812.00910 (gradients of the last layers), as a threshold on their norm (heuristic)",
)
