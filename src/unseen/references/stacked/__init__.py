"""Stacked: many models of one declared PyTorch recipe trained as one tensor program, each with its own records."""

from unseen.references.stacked.engine import Stacked

__all__ = ["Stacked"]
