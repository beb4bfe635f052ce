"""Finished references on disk: one file each, written whole or not at all, checked when read."""

import io
from hashlib import blake2b
from pathlib import Path

import numpy as np

from unseen.disk import write_whole
from unseen.reference import ReferenceAnswers

DIGEST_BYTES = 32
ARRAYS = ("margin", "loss", "member")


class ReferenceStore:
    """The references of one key (same data, estimator, seed and versions) under a run folder; None keeps nothing."""

    def __init__(self, folder: Path | None, key: str) -> None:
        self.folder = None if folder is None else folder / "references" / key
        self.damaged = 0

    def load(self, k: int, records: int) -> ReferenceAnswers | None:
        """Return reference `k` if it is there and whole; a damaged file is counted and counts as missing."""
        if self.folder is None:
            return None
        path = self._path(k)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        digest, payload = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
        if blake2b(payload, digest_size=DIGEST_BYTES).digest() != digest:
            self.damaged += 1
            return None
        with np.load(io.BytesIO(payload), allow_pickle=False) as archive:
            answers = ReferenceAnswers(*(archive.get(name) for name in ARRAYS))
        sizes = {array.size for array in (answers.margin, answers.loss, answers.member) if array is not None}
        if sizes - {records}:
            self.damaged += 1
            return None
        return answers

    def save(self, k: int, answers: ReferenceAnswers) -> None:
        """Keep reference `k`."""
        if self.folder is None:
            return
        arrays = {name: array for name in ARRAYS if (array := getattr(answers, name)) is not None}
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        payload = buffer.getvalue()
        write_whole(self._path(k), blake2b(payload, digest_size=DIGEST_BYTES).digest() + payload)

    def _path(self, k: int) -> Path:
        if self.folder is None:
            raise ValueError("this store keeps nothing.")
        return self.folder / f"reference-{k:04d}.npz.b2"
