"""Write docs/attacks.md from the catalogue: `python docs/generate_attacks.py`."""  # noqa: INP001 - a script

from pathlib import Path

from unseen.attack import ROWS, Attack
from unseen.attacks import catalogue

PAGE = Path(__file__).with_name("attacks.md")
INTRODUCTION = """\
# Attacks

Made from the catalogue by `docs/generate_attacks.py`; do not edit. `unseen attacks` prints the list, and
`unseen attacks show NAME` one entry.

The order is the order of recommendation: the first attack that can run is the one whose numbers lead the report, and
the one that judges the slices. It is chosen before any score is seen. An attack whose needs are not met is
`not_applicable`, with what it lacks. Higher scores always mean "more like a member".

"Access" is what an attacker must be able to do; it is derived from the signals that the attack reads. "Decision scores"
are the model's own scores or log odds; a model that gives probabilities grants them too. "The weights" and "the loss of
records during training" are more than any answer shows.
"""


def page() -> str:
    """Return the whole page."""
    attacks = catalogue()
    rows = [f"| {row} | {meaning} | {_named(row, attacks)} |" for row, meaning in ROWS.items()]
    table = "\n".join(["| row | signal | attacks |", "|---|---|---|", *rows])
    return "\n".join([INTRODUCTION, table, "", *map(_entry, attacks.values())])


def _named(row: str, attacks: dict[str, Attack]) -> str:
    return ", ".join(f"[{name}](#{name})" for name, one in attacks.items() if one.row == row) or "none yet"


def _entry(attack: Attack) -> str:
    needs = ", ".join(f"`{signal.name}` ({signal.meaning})" for signal in attack.needs)
    text = attack.explanation.replace("*", "\\*").replace("[", "\\[").replace("|", "\\|")
    return (
        f"## {attack.name}\n\n{text}\n\n"
        f"- Reads: {needs}\n"
        f"- Access: {', '.join(sorted(attack.access)) or 'none beyond the label'}\n"
        f"- Row: {attack.row}, {ROWS[attack.row]}\n"
        f"- Source: {attack.cites}\n"
        f"- In Python: `from {attack.score.__module__} import {attack.score.__name__}`\n"
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
