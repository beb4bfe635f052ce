"""The report as one HTML document: no scripts, no other files; for a screen, a phone, a screen reader and paper."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from unseen.attack import ROWS
from unseen.estimate import Estimate, Refused
from unseen.policy import SEVERITIES
from unseen.renderers import steps, verdict, words
from unseen.renderers.charts.exposure import bands, exposure_chart
from unseen.renderers.charts.gates import gates_chart
from unseen.renderers.charts.intervals import attacks_chart, slices_chart
from unseen.renderers.charts.roc import roc_chart
from unseen.renderers.palette import DARK, LIGHT
from unseen.report import (
    BROKEN,
    FACTOR_ROWS,
    FAILED,
    INCONCLUSIVE,
    LEAK,
    NO_LEAK_FOUND,
    NOT_APPLICABLE,
    PRESENT,
    AttackResult,
    Report,
    RocCurve,
)

MOST_RATES = 3  # columns of false-positive rates in the table of attacks
ROC_ROWS = 8  # of the table beside the ROC curves, about; the curves have up to 61 rates
TONES = {LEAK: "leak", NO_LEAK_FOUND: "good", INCONCLUSIVE: "doubt", FAILED: "doubt", BROKEN: "doubt", PRESENT: "leak"}
MARKS = {LEAK: "●", PRESENT: "●", BROKEN: "✕", FAILED: "✕", INCONCLUSIVE: "?", NOT_APPLICABLE: "-"}
FROM_WORDS = (
    "between",
    "plain",
    "percent",
    "number",
    "chance",
    "told",
    "counted",
    "find",
    "calls",
    "sentence",
    "listed",
    "sensitive_cells",
    "BRIEF",
)
FROM_VERDICT = ("title", "claim", "asked", "ran", "through_policy", "figures", "no_protection")
FROM_STEPS = ("steps", "broken_gates")
LIKELIHOODS = ("high", "moderate", "low", "not found", "not measured")
HARMS = ("not declared", *SEVERITIES)
ACCESSES = {
    "internal": "people inside the organisation",
    "api": "whoever may use its interface",
    "public_weights": "anybody: its weights are public",
}


class Row(NamedTuple):
    """A signal row or factor row, what it is called, and what the report holds of it."""

    name: str
    meaning: str
    entries: list[Any]


def html_page(report: Report) -> str:
    """Return the whole document; everything that comes from the report is escaped."""
    rates = asked_rates(report.attacks)
    return (
        environment()
        .get_template("report.html.jinja")
        .render(
            report=report,
            tone=TONES.get(report.state, "muted"),
            tones=TONES,
            marks=MARKS,
            light=LIGHT,
            dark=DARK,
            signal_rows=by_row(ROWS, report.attacks),
            idle=[one for one in report.attacks if one.state == NOT_APPLICABLE and not one.estimates],
            factor_rows=by_row(FACTOR_ROWS, report.factors),
            rates=rates,
            refused=refusals(report.attacks),
            roc_rows=roc_rows(report.curves),
            bands=bands(report.exposure) if report.exposure else [],
            likelihoods=LIKELIHOODS,
            harms=HARMS,
            accesses=ACCESSES,
            values=believed(report),
            plan=plan_lines(report.provenance.plan),
            charts={
                "roc": roc_chart(report),
                "attacks": attacks_chart(report),
                "slices": slices_chart(report),
                "gates": gates_chart(report),
                "exposure": exposure_chart(report),
            },
        )
    )


def environment() -> Environment:
    """Return what fills the templates: everything is escaped, and a name that is missing is an error."""
    environment = Environment(
        loader=PackageLoader("unseen", "renderers/templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {name: getattr(words, name) for name in FROM_WORDS}
    environment.globals |= {name: getattr(verdict, name) for name in FROM_VERDICT}
    environment.globals |= {name: getattr(steps, name) for name in FROM_STEPS}
    return environment


def _printable(value: Any) -> Any:
    """Return what a template prints with control characters taken out; markup of ours stays as it is."""
    return value if isinstance(value, Markup) or not isinstance(value, str) else words.clean(value)


def by_row(rows: dict[str, str], entries: Iterable[Any]) -> list[Row]:
    """Return every row, in order, with the entries that name it; entries of rows unknown here come last."""
    entries = list(entries)
    unknown = {one.row: "" for one in entries if one.row not in rows}
    return [
        Row(name, meaning, [one for one in entries if one.row == name]) for name, meaning in (rows | unknown).items()
    ]


def asked_rates(attacks: Iterable[AttackResult]) -> list[float]:
    """Return the false-positive rates that the table of attacks has room for, largest first."""
    rates = {e.fpr for one in attacks for e in one.estimates if e.quantity == "tpr" and e.fpr is not None}
    return sorted(rates, reverse=True)[:MOST_RATES]


def refusals(attacks: Iterable[AttackResult]) -> list[Refused]:
    """Return what the counts could not carry, each once, whatever the attack."""
    found = {(e.quantity, e.fpr, e.reason): e for one in attacks for e in one.refused}
    return sorted(found.values(), key=lambda one: (one.quantity, -one.fpr))


def roc_rows(curves: list[RocCurve]) -> list[tuple[float, float, float, list[float]]]:
    """Return some rates of the curves: the rate, the ends of the null band, and each curve's rate there."""
    if not curves:
        return []
    first = curves[0]
    last = len(first.fpr) - 1
    places = [*range(0, last, max(last // ROC_ROWS, 1)), last]
    return [(first.fpr[i], first.band_low[i], first.band_high[i], [curve.tpr[i] for curve in curves]) for i in places]


def believed(report: Report) -> list[Estimate]:
    """Return the PPVs of the quoted attack, at the declared prior, or at all that were asked for where none is."""
    known = words.estimates_of(report, words.quoted(report))
    prior = report.context.prior
    return [one for one in known if one.quantity == "ppv" and prior in {None, one.prior}]


def plan_lines(plan: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the plan as lines of a dotted key and its value as JSON, as deep as two levels."""
    lines = []
    for section, content in plan.items():
        inside = content.items() if isinstance(content, dict) else [("", content)]
        named = [(f"{section}.{key}" if key else section, value) for key, value in inside]
        lines += [(name, msgspec.json.encode(value).decode()) for name, value in named]
    return lines
