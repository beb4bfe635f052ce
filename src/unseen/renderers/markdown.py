"""The report as Markdown, short enough for a comment on a pull request; it names no record."""

import re
from collections.abc import Iterable, Sequence

from unseen.renderers.steps import broken_gates, steps
from unseen.renderers.verdict import claim, figures, through_policy, title
from unseen.renderers.words import (
    BRIEF,
    between,
    calls,
    clean,
    find,
    headline_fpr,
    percent,
    plain,
    sensitive_cells,
    short,
)
from unseen.report import AttackResult, Report, SliceResult

LONGEST = 160  # characters of one sentence that comes from the report
LONGEST_OF_ALL = 600  # of the list of what was not tested
MOST = 6  # reasons, limits, gates, steps: the HTML report has them all
MOST_ATTACKS = 30
SPECIAL = re.compile(r"([\\`*_\[\]|~$])")
WORST = {"over": 0, "undecided": 1, "within": 2}


def escaped(text: str) -> str:
    r"""Return `text` on one line so that a forge shows it as it is: no markup, HTML, link, image or mention.

    >>> escaped("<b>*a|b*</b> @team #1")
    '&lt;b&gt;\\*a\\|b\\*&lt;/b&gt; @\u2060team #\u20601'
    """
    text = SPECIAL.sub(r"\\\1", clean(text)).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([@#])(?=\w)", "\\1\u2060", text)  # a word joiner: neither a mention nor a number of an issue
    return text.replace("://", ":&#47;/").replace("www.", "www&#46;")


def said(text: str) -> str:
    """Return a sentence of the report, cut to its most and escaped."""
    return escaped(short(text, LONGEST))


def markdown(report: Report) -> str:
    """Return verdict, numbers, broken gates, limits, attacks by row and what to do next."""
    found = claim(report)
    parts = [
        f"## unseen: {title(report).capitalize()}",
        f"{found[0].upper()}{found[1:]}",
        said(through_policy(report)),
        bulleted(said(reason) for reason in report.reasons),
        _numbers(report),
        _gates(report),
        _limits(report),
        _attacks(report),
        "**Next**",
        bulleted(said(step) for step in steps(report)),
        f"Not tested: {escaped('; '.join(one.split(':')[0] for one in report.not_tested))}."[:LONGEST_OF_ALL],
        _origin(report),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _origin(report: Report) -> str:
    origin, unit = report.provenance, report.unit
    return (
        f"{report.members:,} members, {report.non_members:,} non-members ({said(unit)}s); seed {origin.seed}; "
        f"data {said(origin.data_digest[:12])}, model {said(origin.model_digest[:12])}."
    )


def bulleted(lines: Iterable[str]) -> str:
    """Return a list of lines, as many as a comment has room for."""
    lines = list(lines)
    more = [f"and {len(lines) - MOST} more in the report"] if len(lines) > MOST else []
    return "\n".join(f"- {one}" for one in [*lines[:MOST], *more])


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], most: int) -> str:
    """Return a table of `most` rows at most; nothing where there is none."""
    if not rows:
        return ""
    lines = [f"| {' | '.join(cells)} |" for cells in [heads, ["---"] * len(heads), *rows[:most]]]
    more = f"\n\nand {len(rows) - most} more in the report" if len(rows) > most else ""
    return "\n".join(lines) + more


def _numbers(report: Report) -> str:
    rows = [[one.name, one.value, one.interval, said(one.meaning)] for one in figures(report)]
    return table(["number", "value", "95 %", "meaning"], rows, MOST)


def _gates(report: Report) -> str:
    broken = [f"{said(one.name)}: {said(one.finding)}. **{said(one.advice)}**" for one in broken_gates(report)]
    return f"**Broken checks of the audit itself**\n\n{bulleted(broken)}" if broken else ""


def _limits(report: Report) -> str:
    worst = sorted(report.limits, key=lambda one: WORST.get(one.verdict, 0))
    rows = [[said(one.limit), said(one.verdict), said(one.detail)] for one in worst]
    return table(["limit", "verdict", "closest"], rows, MOST)


def _attacks(report: Report) -> str:
    fpr = headline_fpr(report)
    heads = ["row", "attack", "state", "AUC", "" if fpr is None else f"TPR at FPR {percent(fpr)}"]
    rows = [_attack(one.row, one.name, one, fpr) for one in sorted(report.attacks, key=lambda one: one.row)]
    rows += [_attack("S5", f"{one.by}: {one.value}", one, fpr) for one in sensitive_cells(report)]
    return table(heads, rows, MOST_ATTACKS)


def _attack(row: str, name: str, one: AttackResult | SliceResult, fpr: float | None) -> list[str]:
    area, rate = find(one.estimates, "auc"), find(one.estimates, "tpr", fpr)
    called = between(rate) if rate is not None and calls(rate) else ""
    return [row, said(name), BRIEF.get(one.state, said(one.state)), plain(area) if area else "", called]
