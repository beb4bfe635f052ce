"""Write docs/controls.md from the catalogue: `python docs/generate_controls.py`."""  # noqa: INP001 - a script

from pathlib import Path

from unseen.control import Control
from unseen.controls import CONTROLS, REFUSED
from unseen.controls.describing import described, statements

PAGE = Path(__file__).with_name("controls.md")
INTRODUCTION = """\
# Output controls

Made from the catalogue by `docs/generate_controls.py`; do not edit. `unseen controls` prints the list, and
`unseen controls show NAME` one entry.

**A control is no defence by itself.** OWASP AI Exchange: "Obscuring confidence does not fully prevent attacks such as
label-only membership inference", and "the actual risk reduction should be validated through testing". An attack that
needs one query and the label alone gets past everything on this page. What a control changes for one model is what an
audit through it shows; a regularised model, or one trained with differential privacy, with a control in front of it
gives away less than an overfitted one with the same control.

Measured once on a simulated table, one seed, an overfitted network attacked with one query a record: members found at
0.1 % false positives were 7.1 % with full probabilities, 3.0 % rounded to two decimals, 4.4 % with the top confidence
alone, 3.1 % with the order alone, 4.6 % with the label alone, and 6.7 % at temperature 4. Weight decay, without any
control, left 1.4 %. Read differences under a third as noise. The controls were short scripts, not the functions here.

## What every control of probabilities does

Held by `unseen.testing.control_checks.check_control`, which is public and runs on controls of your own too:

- **Never sharper, unless declared.** Sharper means that the top probability of a row is above that of the same row as
  the model gave it (scaled to sum to 1, where it does not). It may be above it by four units of the dtype's precision,
  9e-16 in float64 and 5e-7 in float32. Two controls are declared exceptions, because they replace the probabilities:
  what they say depends on the label alone, or on the order alone, and that is checked instead.
- **Valid.** The same shape and dtype (float32 or float64), each row in [0, 1] with sum 1 within 1e-9 (1e-6 in float32).
- **The label stays**: where others become equal to the model's class it stays ahead of them, by one unit in the last
  place. Classes that tie in the model's own answer stay tied. **The order stays**: classes may become equal, none
  overtakes another.
- **Consistent.** The same answer to the same coarse query gives the same bytes, in every process; a batch gives what
  its records give one by one.
- **Refused, not repaired:** rows with NaN, with negative numbers, or whose sum is off 1 by more than 1e-4; other
  dtypes; one-dimensional arrays. One column, `(records, 1)`, is the probability of the second of two classes.

Why never sharper: the controls that read probabilities lower some of them and fill the row from the bottom, raising its
lowest classes to one level. No class overtakes another, and the top is that of the lowered row, or else all classes are
at the level, 1 over their number, which no row's top is below. (`unseen.controls.filling` has the proof.)

## In Python

```python
import numpy as np

from unseen.controls import find, harden_from

rounded = find("rounding").with_settings(decimals=2)
print(rounded(np.array([[0.996, 0.003, 0.001]])))  # [[0.99 0.005 0.005]]
same = harden_from({"name": "rounding", "decimals": 2})
```

A control that is keyed takes a secret key, the same in every worker and replica, and the coarse form of each query:

```python
from unseen.controls.coarse import coarse_rows

noisy = harden_from({"name": "keyed-noise", "scale": 0.2}, key=b"sixteen bytes or more, kept secret")
queries = coarse_rows(np.array([[41.0, 2.5]]), step=[5.0, 0.5])
print(noisy(np.array([[0.8, 0.15, 0.05]]), queries))
```

The step says which queries count as the same. It is in the unit of the column; `coarse_form` does the same for records
with names and strings. Two queries on either side of a cell's edge get different noise however near they are.

The settings are part of what the draws depend on: `scale = 0.1` and `scale = 0.3` draw independently, so two strengths
are no two equations for one probability. They are two draws: answers at n strengths average to an error smaller by the
root of n. So **every change of a strength gives one more draw to those who asked before it**, and n tiers of different
strengths give n to whoever has keys of all. Choose one strength, and keep it.

Controls of text act on plain dicts: `request(parameters)` before the model is asked, `response(answer)` on what it
says, one event of a stream at a time.

## Refused as controls
"""


def page() -> str:
    """Return the whole page."""
    refused = [f"- `{name}`: {why}." for name, why in REFUSED.items()]
    return "\n".join([INTRODUCTION, *refused, "", *map(_entry, CONTROLS)])


def _entry(control: Control) -> str:
    said = [f"- {title}: {_escaped(text)}" for title, text in statements(control).items()]
    settings = [f"- Setting {_escaped(described(one))}" for one in control.settings]
    where = f"- In Python: `from {control.harden.__module__} import {control.harden.__name__}`"
    return "\n".join([f"## {control.name}", "", _escaped(control.explanation), "", *said, *settings, where, ""])


def _escaped(text: str) -> str:
    for mark in "*[|_":
        text = text.replace(mark, "\\" + mark)
    return text


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
