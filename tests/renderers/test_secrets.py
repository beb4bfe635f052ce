"""A report never leaks: secrets are planted in the data, the audit runs, and every way to print it is searched."""

import io
import re
from functools import cache

import numpy as np
import polars as pl
import pypdf
import pytest
from rich.console import Console
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.tree import DecisionTreeClassifier
from tests.renderers.reports import specimen

import unseen
from unseen.errors import InputError
from unseen.policy import Context, Policy
from unseen.renderers.formats import FORMATS, rendered
from unseen.renderers.terminal import render
from unseen.report import from_json, to_json

RNG = np.random.default_rng(0)
N = 160
ROWS = 2 * N
WORDS = np.array([f"Xanthippe{k:02d}" for k in range(40)])[np.arange(ROWS) % 40]  # four a side each: a slice, unnamed
NUMBERS = np.round(7_310_000 + 10_000 * RNG.random(ROWS), 3)  # a number that says who it is
IDS = np.array([f"Kunigunde{k:04d}" for k in range(ROWS)])
GROUPS = np.array([f"Rumpelstilz{k:04d}" for k in range(ROWS)])
TOWNS = np.array(["Aville", "Bville"])[np.arange(ROWS) % 2]
TOWNS[[0, 1, N, N + 1]] = "Tinyhamlet"  # two members and two non-members
LABELS = np.array(["yes", "no"])[RNG.integers(0, 2, ROWS)]
LABELS[:4], LABELS[N : N + 4] = "rarelabel", "rarelabel"  # four a side: not named
NEVER = ["Xanthippe", "Kunigunde", "Tinyhamlet", "rarelabel", *(f"{one:.0f}" for one in NUMBERS)]
ALL = [*FORMATS, "terminal"]


@cache
def audited():
    table = pl.DataFrame({"word": WORDS, "number": NUMBERS, "town": TOWNS})
    parts = [
        unseen.Records(table[rows], LABELS[rows], IDS[rows], GROUPS[rows], {"town": TOWNS[rows]})
        for rows in (slice(0, N), slice(N, ROWS))
    ]
    encode = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["word", "town"]), remainder="passthrough"
    )
    model = make_pipeline(encode, DecisionTreeClassifier(random_state=0)).fit(parts[0].features, LABELS[:N])
    return unseen.audit(
        model,
        *parts,
        references=2,
        workers=1,
        slices=["town"],
        copies=2,
        policy=Policy(flag_fpr=0.1),
        context=Context(prior=0.05, sensitive=("word",)),
    ).report


def text_of(name, *, ids=True):
    if name == "terminal":
        console = Console(width=150, file=io.StringIO())
        console.print(render(audited()))
        return console.file.getvalue()
    try:
        content = rendered(audited(), name, ids=ids)
    except InputError as error:
        pytest.skip(str(error))
    if name == "pdf":
        return "".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(content)).pages)
    return content.decode()


def test_the_audit_found_something_and_names_somebody():
    assert audited().state in {"leak", "inconclusive"}
    assert len(audited().exposure.ids) > 1
    assert {one.value for one in audited().slices if one.by == "town"} >= {"Aville", "Bville"}


@pytest.mark.parametrize("name", ALL)
def test_no_feature_record_or_small_cell_is_printed(name):
    text = text_of(name)
    assert [secret for secret in NEVER if secret in text] == []
    assert "Aville" in text or name in {"markdown", "terminal", "junit", "sarif"}


@pytest.mark.parametrize("name", ALL)
def test_ids_are_printed_in_the_list_of_the_exposed_alone(name):
    found = set(re.findall(r"Rumpelstilz\d{4}", text_of(name)))  # the unit is the person, and named by the group
    assert found == (set(audited().exposure.ids) if name in {"html", "json", "pdf"} else set())


@pytest.mark.parametrize("name", [one for one in ALL if one != "terminal"])
def test_without_ids_nobody_is_printed(name):
    assert "Rumpelstilz" not in text_of(name, ids=False)


def test_the_page_of_a_real_audit_names_what_was_measured():
    text = text_of("html")
    for one in audited().attacks:
        assert one.name in text
    assert from_json(to_json(audited())) == audited() != specimen()
