"""Copies of images: of the kind that came in, whatever holds the pixels."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from unseen.features.images import image_queries
from unseen.features.rows import concatenate

PIXELS = np.arange(12.0).reshape(3, 4)
NAMES = ["a", "b", "c", "d"]


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame])
def test_a_frame_gives_a_frame_with_the_pixels_of_the_array(kind):
    frame = kind(dict(zip(NAMES, PIXELS.T, strict=True)))
    for _, query in image_queries((2, 2)):
        copy = query(frame)
        assert type(copy) is kind
        assert list(copy.columns) == NAMES
        assert np.array_equal(copy.to_numpy(), query(PIXELS))
        assert concatenate([frame, copy]).shape == (6, 4)
