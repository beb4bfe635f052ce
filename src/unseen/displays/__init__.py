"""Pictures of an audit, in the manner of scikit-learn's display objects: made from numbers, drawn by `plot`."""

from unseen.displays.intervals import IntervalsDisplay as IntervalsDisplay
from unseen.displays.records import RecordsDisplay as RecordsDisplay
from unseen.displays.roc import RocDisplay as RocDisplay

__all__ = ["IntervalsDisplay", "RecordsDisplay", "RocDisplay"]
