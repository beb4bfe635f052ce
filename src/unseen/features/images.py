"""Changed copies of images: what an attacker asks about a picture besides the picture itself."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl

from unseen.errors import DataError
from unseen.features.rows import column_names, is_pandas
from unseen.signal import Array

EIGHTH = 8  # of the height or width is one shift: 4 pixels of 32, as random crops have it
STEPS = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1))

Query = Callable[[Any], Any]


def image_queries(shape: Sequence[int]) -> list[tuple[str, Query]]:
    """Return up to 18 named functions, each from images to as many changed ones; the first changes nothing.

    `shape` is (height, width) or (channels, height, width). Images are `(records, *shape)`, or flattened to
    `(records, columns)`, a frame too; a function returns what it was given, shape and kind, anew. First the nine shifts
    by an eighth of the side and none (what comes in is mirrored at the edge), then the same of the image mirrored left
    to right. Nothing in them is random, and no record is looked at to change another. Sides of one pixel are not moved.

    >>> names = [name for name, _ in image_queries((8, 8))]
    >>> len(names), names[:3], names[9]
    (18, ['as it is', 'up', 'down'], 'mirrored')
    >>> dict(image_queries((1, 2)))["mirrored"](np.array([[1, 2], [3, 4]]))
    array([[2, 1],
           [4, 3]])
    """
    if len(shape) not in {2, 3} or min(shape) < 1:
        raise DataError(f"images have a shape of (height, width) or (channels, height, width), got {tuple(shape)}.")
    return list(_queries(tuple(int(size) for size in shape)))


def _queries(shape: tuple[int, ...]) -> Iterator[tuple[str, Query]]:
    height, width = shape[-2:]
    for mirrored in (False, True) if width > 1 else (False,):
        for down, right in STEPS:
            if (down and height == 1) or (right and width == 1):
                continue
            rows = _from(height, down * max(height // EIGHTH, 1), mirrored=False)
            columns = _from(width, right * max(width // EIGHTH, 1), mirrored=mirrored)
            yield _named(down, right, mirrored=mirrored), _query(shape, rows, columns)


def _from(size: int, shift: int, *, mirrored: bool) -> Array:
    """Return which row or column each one of the copy is taken from: shifted, and reflected at the edges."""
    place = np.abs(np.arange(size) - shift)
    place = np.where(place >= size, 2 * (size - 1) - place, place)
    return size - 1 - place if mirrored else place


def _named(down: int, right: int, *, mirrored: bool) -> str:
    words = ("mirrored" if mirrored else "", ("", "down", "up")[down], ("", "right", "left")[right])
    return ", ".join(word for word in words if word) or "as it is"


def _query(shape: tuple[int, ...], rows: Array, columns: Array) -> Query:
    def query(images: Any) -> Any:
        if column_names(images) is not None:
            return _like(images, query(np.asarray(images.to_numpy())))
        array = np.asarray(images)
        if array.ndim < 2 or array.shape[1:] not in {shape, (int(np.prod(shape)),)}:
            raise DataError(f"images of shape {shape} were declared, and the features have shape {array.shape[1:]}.")
        pictures = array.reshape(array.shape[0], *shape)
        return pictures[..., rows[:, None], columns].reshape(array.shape)

    return query


def _like(frame: Any, array: Array) -> Any:
    """Return the pixels in a frame of the same kind and with the same columns."""
    names = column_names(frame)
    return type(frame)(array, columns=names) if is_pandas(frame) else pl.DataFrame(array, schema=names, orient="row")
