"""The catalogue of output controls: one a file, listed here by hand, by surface, the gentlest first.

A control is no defence by itself: attacks that need one query and the label alone get past every one of them.
"""

from collections.abc import Mapping
from typing import Any

from unseen.control import Control, Hardening
from unseen.controls.allowed_parameters import ALLOWED_PARAMETERS
from unseen.controls.cap_logprobs import CAP_LOGPROBS
from unseen.controls.clip_confidence import CLIP_CONFIDENCE
from unseen.controls.hamp_replacement import HAMP_REPLACEMENT
from unseen.controls.keyed_noise import KEYED_NOISE
from unseen.controls.label_only import LABEL_ONLY
from unseen.controls.no_logprobs import NO_LOGPROBS
from unseen.controls.rounding import ROUNDING
from unseen.controls.top_k import TOP_K
from unseen.controls.value_rounding import VALUE_ROUNDING
from unseen.errors import PlanError, did_you_mean

CONTROLS = (
    CLIP_CONFIDENCE,
    ROUNDING,
    KEYED_NOISE,
    TOP_K,
    HAMP_REPLACEMENT,
    LABEL_ONLY,
    VALUE_ROUNDING,
    CAP_LOGPROBS,
    NO_LOGPROBS,
    ALLOWED_PARAMETERS,
)
REFUSED = {
    "temperature": "it hides nothing, for whoever is asked can undo it: it is monotone and known to within one number; "
    "take rounding, or label-only",
    "noise": "noise drawn anew for each call is averaged away by asking again; take keyed-noise",
    "memguard": "it was made against one attack model and keeps the label, so other attacks get past it; "
    "take hamp-replacement",
}


def catalogue() -> dict[str, Control]:
    """Return every control by its name in plans."""
    return {control.name: control for control in CONTROLS}


def find(name: str) -> Control:
    """Return the control of that name; raise `PlanError`, with the nearest name or why there is no such control.

    >>> find("top-k").name
    'top-k'
    """
    known = catalogue()
    wanted = name.replace("_", "-") if isinstance(name, str) else ""
    if wanted in REFUSED:
        raise PlanError(f"{wanted} is refused as a control: {REFUSED[wanted]}.")
    if wanted not in known:
        hint = did_you_mean(wanted, known) or f"; known are {', '.join(known)}."
        raise PlanError(f"there is no control {name!r}{hint}")
    return known[wanted]


def harden_from(declared: Mapping[str, Any], *, key: bytes | None = None, classes: int | None = None) -> Hardening:
    """Return the control that a plan declares, with its settings; `key` goes to those that need one.

    Raise `PlanError` where it is unknown, or its settings are of no use, with so many `classes` where these are known.

    >>> harden_from({"name": "rounding", "decimals": 1})
    Hardening('rounding', decimals=1)
    """
    if "name" not in declared:
        raise PlanError("a control needs a name, as in {name = 'rounding', decimals = 2}.")
    control = find(declared["name"])
    settings = {str(name): value for name, value in declared.items() if name != "name"}
    if "key" in settings:
        raise PlanError(f"{control.name}: a key is secret and never written beside the settings: hand it in by itself.")
    hardening = control.with_settings(key=key if control.keyed else None, **settings)
    if why := hardening.unfit(classes):
        raise PlanError(f"{control.name}: {why}.")
    return hardening
