"""Vouching: what tips say of each chain, held against what is left of it."""

from collections.abc import Iterable, Mapping

from unseen.guard.log.entries import Tip


def lacking(number: int, marks: Mapping[int, bytes], said: Mapping[Tip, str]) -> str:
    """Return which record of a chain is the first that is not what tips say, as a sentence; "" where all are.

    `number` is the chain's last, `marks` are the hashes of its starts and heads, `said` are its tips and who says so.
    """
    wrong = sorted((tip for tip in said if _hash(marks, tip.n) != tip.hash), key=lambda tip: tip.n)
    if not wrong:
        return ""
    first, most = wrong[0], wrong[-1]
    if first.n <= number:
        return f"record {first.n}: it is not the one that {said[first]} vouches for: that was cut off, others follow"
    return f"record {number + 1}: it is missing: {said[most]} vouches for this chain up to record {most.n}"


def _hash(marks: Mapping[int, bytes], number: int) -> str:
    return marks.get(number, b"").hex()


def by_chain(said: Mapping[Tip, str]) -> dict[str, dict[Tip, str]]:
    """Return what is said of each chain."""
    found: dict[str, dict[Tip, str]] = {}
    for tip, who in said.items():
        found.setdefault(tip.chain, {})[tip] = who
    return found


def together(parts: Iterable[Mapping[Tip, str]]) -> dict[Tip, str]:
    """Return all that is said, each once, by the first that says it."""
    found: dict[Tip, str] = {}
    for part in parts:
        found = {**part, **found}
    return found
