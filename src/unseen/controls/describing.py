"""The catalogue of controls in words: plain text, for any command line."""

import json
from collections.abc import Iterable, Mapping
from textwrap import fill
from typing import Any

from unseen.control import Control, Setting
from unseen.controls import CONTROLS, find

WIDTH = 100
CAUTION = (
    "A control is no defence by itself: it reduces what some attacks find, by as much as an audit through it shows. "
    'OWASP AI Exchange: "Obscuring confidence does not fully prevent attacks such as label-only membership inference".'
)


def listing(controls: Iterable[Control] = CONTROLS) -> str:
    """Return the table of controls, one a line, and what none of them does."""
    rows = [("control", "surface", "settings", "hides"), *map(_row, controls)]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [f"{a.ljust(widths[0])}  {b.ljust(widths[1])}  {c.ljust(widths[2])}  {hides}" for a, b, c, hides in rows]
    return "\n".join([*(_wrapped(line, sum(widths) + 6) for line in lines), "", fill(CAUTION, WIDTH)])


def explained(name: str) -> str:
    """Return all that is declared of one control; raise `PlanError` where there is no such control."""
    control = find(name)
    said = [f"{title}: {text}" for title, text in statements(control).items()]
    settings = [f"Setting {described(setting)}" for setting in control.settings]
    hanging = [fill(line, WIDTH, subsequent_indent="  ") for line in [*said, *settings]]
    return "\n".join([control.name, control.explanation, "", *hanging, "", fill(CAUTION, WIDTH)])


def statements(control: Control) -> dict[str, str]:
    """Return what a control declares, as title and sentence, in the order in which to read it."""
    said = {
        "Hides": control.hides,
        "Costs": control.costs,
        "Promises": control.promises,
        "Does not stop": control.does_not_stop,
        "Keeps": ", ".join(control.keeps) or "nothing that is promised",
        "Sharper than the model": control.sharper or ("never" if control.surface == "probabilities" else ""),
        "Needs": "a secret key, and the coarse form of each query" if control.keyed else "nothing but the answer",
        "Works on": control.surface,
        "OWASP": ", ".join(control.owasp),
        "MITRE ATLAS": ", ".join(control.atlas),
        "Source": control.cites,
    }
    relevant = said if control.surface == "probabilities" else {k: v for k, v in said.items() if k != "Keeps"}
    return {title: text for title, text in relevant.items() if text}


def described(setting: Setting) -> str:
    """Return one setting in words.

    >>> described(Setting("k", "integer", "how many are shown", least=1))
    'k: how many are shown; an integer from 1, required.'
    """
    default = setting.default
    if default is None:
        said = "required"
    elif isinstance(default, tuple):
        said = f"{', '.join(default)} by default"
    else:
        said = f"{json.dumps(default)} by default"
    return f"{setting.name}: {setting.meaning}; {setting.bounds}, {said}."


def facts(control: Control) -> dict[str, Any]:
    """Return all that is declared of one control, for JSON."""
    names = ("name", "surface", "meaning", "hides", "costs", "promises", "does_not_stop", "keeps", "reads")
    more = ("sharper", "keyed", "owasp", "atlas", "cites")
    of_settings = ("name", "kind", "meaning", "default", "least", "most", "choices")
    settings = [{name: _plain(getattr(one, name)) for name in of_settings} for one in control.settings]
    return {name: _plain(getattr(control, name)) for name in (*names, *more)} | {"settings": settings}


def as_json(name: str | None = None) -> str:
    """Return one control, or all of them, as JSON."""
    found: list[Mapping[str, Any]] | Mapping[str, Any]
    found = [facts(control) for control in CONTROLS] if name is None else facts(find(name))
    return json.dumps(found, indent=2)


def _row(control: Control) -> tuple[str, str, str, str]:
    settings = ", ".join(setting.name for setting in control.settings) or "none"
    return control.name, control.surface, settings, control.hides


def _wrapped(line: str, indent: int) -> str:
    return line[:indent] + fill(line[indent:], WIDTH - indent).replace("\n", "\n" + " " * indent)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
