"""The report as Markdown, short enough for a comment on a pull request; it names no record."""

import re
from collections.abc import Iterable, Iterator

from unseen.attack import ROWS
from unseen.renderers.verdict import broken_gates, claim, figures, steps, title
from unseen.renderers.words import BRIEF, between, calls, clean, find, percent, plain, quoted, short
from unseen.report import AttackResult, Report

LONGEST = 160  # characters of one sentence that comes from the report
MOST = 6  # reasons, limits, gates: the HTML report has them all
ATTACKS = 8  # of one row
SPECIAL = re.compile(r"([\\`*_\[\]|~$])")
MARK = {"over": "over", "within": "within", "undecided": "undecided"}


def escaped(text: str) -> str:
    """Return `text` on one line so that a forge shows it as it is: no markup, HTML, link, image or mention.

    >>> escaped("<b>*a|b*</b> @team #1")
    '&lt;b&gt;\\\\*a\\\\|b\\\\*&lt;/b&gt; @\u2060team #\u20601'
    """
    text = SPECIAL.sub(r"\\\1", clean(text)).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([@#])(?=\w)", "\\1\u2060", text)  # a word joiner: neither a mention nor a number of an issue
    return text.replace("://", ":&#47;/").replace("www.", "www&#46;")


def said(text: str) -> str:
    """Return a sentence of the report, cut to its most and escaped."""
    return escaped(short(text, LONGEST))


def markdown(report: Report) -> str:
    """Return verdict, numbers, broken gates, limits, attacks by row and what to do next."""
    parts = [
        f"## unseen: {title(report).capitalize()}",
        claim(report).capitalize(),
        _bullets(said(reason) for reason in report.reasons),
        _numbers(report),
        _gates(report),
        _limits(report),
        _attacks(report),
        "**Next**",
        _bullets(said(step) for step in steps(report)),
        _small(report),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _bullets(lines: Iterable[str]) -> str:
    lines = list(lines)
    more = [f"and {len(lines) - MOST} more in the report"] if len(lines) > MOST else []
    return "\n".join(f"- {one}" for one in [*lines[:MOST], *more])


def _numbers(report: Report) -> str:
    rows = [f"| {one.name} | {one.value} | {one.interval} | {said(one.meaning)} |" for one in figures(report)]
    return "\n".join(["| number | value | 95 % | meaning |", "|---|---|---|---|", *rows]) if rows else ""


def _gates(report: Report) -> str:
    gates = broken_gates(report)
    if not gates:
        return ""
    lines = (f"{said(one.name)}: {said(one.finding)}. **{said(one.advice)}**" for one in gates)
    return f"**Broken checks of the audit itself**\n\n{_bullets(lines)}"


def _limits(report: Report) -> str:
    if not report.limits:
        return ""
    worst = sorted(report.limits, key=lambda one: ("over", "undecided", "within").index(one.verdict))
    rows = [f"| {said(one.limit)} | {MARK[one.verdict]} | {said(one.detail)} |" for one in worst[:MOST]]
    more = f"\n\nand {len(worst) - MOST} more limits in the report" if len(worst) > MOST else ""
    return "\n".join(["| limit | verdict | closest |", "|---|---|---|", *rows]) + more


def _attacks(report: Report) -> str:
    rates = sorted({e.fpr for e in _quoted_rates(report) if e is not None})
    heads = [f"TPR at FPR {percent(fpr)}" for fpr in rates]
    lines = [f"| row | attack | state | AUC | {' | '.join(heads)} |".replace("|  |", "|"), "|---" * (4 + len(heads)) + "|"]
    for row in ROWS:
        for one in [one for one in report.attacks if one.row == row][:ATTACKS]:
            lines.append(_attack(one, rates))
    return "\n".join(lines) if len(lines) > 2 else ""
