"""The catalogue of gates: checks that must hold before a number may be believed, cheap ones first."""

from unseen.gate import Gate
from unseen.gates.agreement import AGREEMENT
from unseen.gates.blind_baseline import BLIND_BASELINE
from unseen.gates.direction import DIRECTION
from unseen.gates.duplicates import DUPLICATES
from unseen.gates.manifest import MANIFEST
from unseen.gates.resolution import RESOLUTION
from unseen.gates.self_null import SELF_NULL

GATES: tuple[Gate, ...] = (RESOLUTION, MANIFEST, DUPLICATES, BLIND_BASELINE, SELF_NULL, DIRECTION, AGREEMENT)


def catalogue() -> dict[str, Gate]:
    """Return every gate by its name.

    >>> list(catalogue())[:3]
    ['resolution', 'manifest', 'duplicates']
    """
    return {gate.name: gate for gate in GATES}
