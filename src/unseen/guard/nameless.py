"""Nameless: a file for its locks alone, which processes share that inherit it, and nobody else can open."""

import os
import tempfile


def nameless_file() -> int:
    """Return an open file without a name; its locks go with the process that has them."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("unseen-guard-locks")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
