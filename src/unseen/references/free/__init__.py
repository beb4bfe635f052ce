"""Free: references of models that say from a fit what they would have answered with and without each record.

For records only. Leaving a record out leaves its person in, through the person's other records; a task does not tell
persons, so whoever asks for references of persons must not ask this engine.
"""

from unseen.references.free.engine import Free, why_not

__all__ = ["Free", "why_not"]
