"""Manifest: are the members really in the training set, and the non-members not?"""

from unseen.case import Case
from unseen.gate import Finding, Gate, broken, held, not_applicable


def manifest(case: Case) -> Finding:
    """Every member stands in the manifest of the training set, and no non-member does.

    That the sides share no id, no person and no content is checked before anything else; see also `duplicates`.
    """
    counts = case.manifest
    if counts is None:
        return not_applicable("no manifest or hash list of the training set was given")
    missing = counts["members"] - counts["members_listed"]
    if missing or counts["non_members_listed"]:
        return broken(
            f"{missing} of {counts['members']} members are not in the manifest of the training set, and "
            f"{counts['non_members_listed']} of {counts['non_members']} non-members are",
            counts=counts,
        )
    return held(f"all {counts['members']} members and no non-member stand in the manifest", counts=counts)


MANIFEST = Gate(
    check=manifest,
    advice="Take as members only records that the model was trained on, and as non-members only others; or name the "
    "manifest of this model's training run.",
)
