"""Printing on standard output: tables for people, JSON for programs."""

import json as jsonlib
import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from unseen.attack import ROWS, Attack
from unseen.renderers.terminal import render
from unseen.report import Report, to_json

PLAIN_WIDTH = 150  # of what is written to a file or a pipe


def show(report: Report, *, json: bool = False) -> None:
    """Print a report."""
    if json:
        sys.stdout.write(to_json(report).decode())
    else:
        console().print(render(report))


def show_catalogue(attacks: Mapping[str, Attack], *, json: bool = False) -> None:
    """Print every attack with its signal row and the access it takes."""
    if json:
        sys.stdout.write(jsonlib.dumps([_facts(attack) for attack in attacks.values()], indent=2) + "\n")
        return
    table = Table("attack", "row", "access", "what it scores by", box=None, pad_edge=False)
    for attack in attacks.values():
        access = ", ".join(sorted(attack.access)) or "true labels"
        table.add_row(Text(attack.name, style="bold"), attack.row, access, Text(attack.meaning))
    where = console()
    where.print(table)
    where.print("\n".join(f"{row}: {meaning}" for row, meaning in ROWS.items()), style="dim")


def show_attack(attack: Attack, *, json: bool = False) -> None:
    """Print one attack: what it means, needs and cites."""
    if json:
        sys.stdout.write(jsonlib.dumps(_facts(attack), indent=2) + "\n")
        return
    where = console()
    where.print(Text(attack.name, style="bold"))
    where.print(Text(attack.explanation))
    where.print(f"\nRow {attack.row}: {ROWS[attack.row]}")
    where.print(f"Access: {', '.join(sorted(attack.access)) or 'none beyond the label'}")
    for signal in attack.needs:
        where.print(Text(f"Needs {signal.name} ({', '.join(signal.axes)}; {signal.unit}): {signal.meaning}"))
    where.print(Text(f"Source: {attack.cites}"))


def _facts(attack: Attack) -> dict[str, Any]:
    return {
        "name": attack.name,
        "row": attack.row,
        "access": sorted(attack.access),
        "needs": [signal.name for signal in attack.needs],
        "meaning": attack.meaning,
        "cites": attack.cites,
    }


def console() -> Console:
    """Return the terminal, or what stands for one of a fixed width where output goes to a file."""
    return Console() if sys.stdout.isatty() else Console(width=PLAIN_WIDTH)
