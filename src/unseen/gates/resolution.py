"""Resolution: are there enough records to see what was asked for?"""

from unseen.case import Case
from unseen.gate import Finding, Gate, broken, held
from unseen.policy import DEFAULT_FPRS
from unseen.stats.power import FEWEST_EXPECTED, records_needed

FEWEST = 10  # units a side, below which no interval says anything


def resolution(case: Case) -> Finding:
    """There are enough members and non-members for the rates asked; where not, it says how many would do.

    Broken where a side has under ten units, or where none of the rates asked can be resolved. A limit of the policy at
    a rate that cannot be is undecided by itself.
    """
    trial = case.trial
    counts = {"members": trial.members, "non_members": trial.non_members}
    asked = case.fprs or DEFAULT_FPRS
    unresolved = [fpr for fpr in sorted(set(asked)) if fpr * trial.non_members < FEWEST_EXPECTED * (1 - 1e-9)]
    counts |= {f"needed for {fpr:g}": records_needed(fpr) for fpr in unresolved}
    if min(trial.members, trial.non_members) < FEWEST:
        return broken(
            f"{trial.members} members and {trial.non_members} non-members; {FEWEST} a side are the least, and "
            f"{records_needed(max(asked))} non-members resolve the largest rate asked",
            counts=counts,
        )
    if set(unresolved) == set(asked):
        least = records_needed(max(unresolved))
        return broken(
            f"a false-positive rate of {max(unresolved):g} needs {least} non-members, there are {trial.non_members}",
            counts=counts,
        )
    needs = "; ".join(f"{fpr:g} would need {records_needed(fpr)}" for fpr in reversed(unresolved))
    resolved = ", ".join(f"{fpr:g}" for fpr in sorted(set(asked) - set(unresolved), reverse=True))
    return held(
        f"{trial.non_members} non-members resolve false-positive rates of {resolved}{needs and f'; {needs}'}",
        counts=counts,
    )


RESOLUTION = Gate(
    check=resolution,
    advice="Audit with as many more non-members as the finding names, or ask for a larger false-positive rate.",
    cites="ten expected false positives; Clopper and Pearson 1934",
)
