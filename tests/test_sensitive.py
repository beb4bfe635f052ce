"""Sensitive columns are told by whole words and by check digits, and their values never."""

import random
import uuid
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn.datasets import load_breast_cancer
from sklearn.tree import DecisionTreeClassifier
from stdnum import iban, luhn
from stdnum.de import idnr
from stdnum.gb import nhs
from stdnum.pl import pesel
from stdnum.util import get_number_modules

import unseen
from unseen.errors import DataError
from unseen.features.identifiers import NATIONAL, kind_of_values
from unseen.features.names import KINDS, kind_of_name
from unseen.policy import Context
from unseen.report import SensitiveColumn, to_json
from unseen.sensitive import suggest

N = 200
CHANCE = random.Random(0)


@pytest.fixture(autouse=True)
def _the_same_draws_in_any_order():
    CHANCE.seed(0)


def digits(count, first="123456789"):
    return CHANCE.choice(first) + "".join(CHANCE.choice("0123456789") for _ in range(count - 1))


def card():
    number = digits(15, "45")
    return number + luhn.calc_check_digit(number)


def nhs_number():
    while True:
        number = digits(10, "4679")
        if nhs.is_valid(number):
            return number


def bank_account():
    number = digits(18)
    return f"DE{iban.calc_check_digits('DE00' + number)}{number}"


def polish():
    year, month, day = CHANCE.randrange(50, 99), CHANCE.randrange(1, 13), CHANCE.randrange(1, 29)
    born = f"{year}{month:02}{day:02}{CHANCE.randrange(10000):04}"
    return born + pesel.calc_check_digit(born)


def german():
    while True:
        places = CHANCE.sample("0123456789", 9)
        number = "".join(CHANCE.sample([*places, places[0]], 10))
        whole = number + idnr.mod_11_10.calc_check_digit(number)
        if idnr.is_valid(whole):
            return whole


MAKERS = {
    "card": (card, "financial"),
    "iban": (bank_account, "financial"),
    "nhs": (nhs_number, "identifier"),
    "pesel": (polish, "identifier"),
    "idnr": (german, "identifier"),
    "uuid": (lambda: str(uuid.UUID(int=CHANCE.getrandbits(128))), "identifier"),
    "ssn": (lambda: f"{digits(3)}-{digits(2)}-{digits(4)}", "identifier"),
    "ip": (lambda: ".".join(str(CHANCE.randrange(256)) for _ in range(4)), "identifier"),
    "mac": (lambda: ":".join(f"{CHANCE.randrange(256):02x}" for _ in range(6)), "identifier"),
    "email": (lambda: f"{digits(5)}.x@example.org", "personal"),
    "phone": (lambda: f"+49 {digits(3)} {digits(7)}", "personal"),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_identifiers_are_told_by_their_values_under_any_name(kind):
    make, expected = MAKERS[kind]
    table = pl.DataFrame({"x1": [make() for _ in range(N)], "x2": np.arange(N)})
    assert suggest(table) == [SensitiveColumn("x1", expected, "values")]


@pytest.mark.parametrize("kind", ["nhs", "card", "pesel"])
def test_identifiers_kept_as_numbers_are_told_too(kind):
    make, expected = MAKERS[kind]
    numbers = np.array([int(make()) for _ in range(N)])
    assert kind_of_values(numbers) == expected
    assert kind_of_values(numbers.astype(np.float64)) == expected


def test_nine_of_ten_must_be_valid():
    good = [nhs_number() for _ in range(N)]
    assert kind_of_values(np.array(good[:185] + [digits(10) for _ in range(15)])) == "identifier"
    assert kind_of_values(np.array(good[:150] + [digits(10) for _ in range(50)])) is None


@pytest.mark.parametrize("length", range(8, 17))
def test_random_numbers_of_any_length_are_no_identifiers(length):
    rng = np.random.default_rng(length)
    values = rng.integers(10 ** (length - 1), min(10**length, 2**53), 1000)
    assert kind_of_values(values) is None
    assert kind_of_values(values.astype(str)) is None


@pytest.mark.parametrize("seed", range(20))
def test_ordinary_columns_are_no_identifiers(seed):
    rng = np.random.default_rng(seed)
    columns = [
        rng.normal(size=500),
        rng.integers(0, 100, 500),
        rng.integers(10_000_000, 99_999_999, 500),
        1_700_000_000 + np.arange(500) * int(rng.integers(1, 5000)),
        20_000_000 + np.arange(500),
        np.round(rng.lognormal(14, 2, 500)),
        rng.integers(100, 999, 500) * 1_000_000,
        rng.choice(["east", "west"], 500),
        np.array([f"product {n} of {seed}" for n in range(500)]),
        np.array([f"AB{n:08d}" for n in rng.integers(0, 10**8, 500)]),
        np.array([str(np.datetime64("1990-01-01") + n) for n in range(500)]),
        np.array([f"{a}.{b}" for a, b in rng.integers(0, 1000, (500, 2))]),
        np.array([f"-{n}" for n in rng.integers(10**9, 10**10, 500)]),
        rng.random(500) < 0.5,
    ]
    assert [kind_of_values(values) for values in columns] == [None] * len(columns)


def test_few_distinct_values_are_codes():
    few = [nhs_number() for _ in range(10)]
    assert kind_of_values(np.array(few * 100)) is None


def test_every_national_format_is_one_that_the_library_knows():
    known = {module.__name__.removeprefix("stdnum.") for module in get_number_modules()}
    assert set(NATIONAL) <= known


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("patient_id", "identifier"),
        ("PatientID", "identifier"),
        ("socialSecurityNo", "identifier"),
        ("id", "identifier"),
        ("ICD10_code", "health"),
        ("diagnosis.2", "health"),
        ("Blood Pressure", "health"),
        ("BMI", "health"),
        ("capital-gain", "financial"),
        ("monthlyIncome", "financial"),
        ("credit_amount", "financial"),
        ("dna_marker", "biometric"),
        ("FingerprintHash", "biometric"),
        ("age", "personal"),
        ("ageYears", "personal"),
        ("native-country", "personal"),
        ("name", "personal"),
        ("Last Name", "personal"),
        ("zip", "personal"),
        ("language", None),
        ("image", None),
        ("page_count", None),
        ("sextant", None),
        ("sussex", None),
        ("debate", None),
        ("grid", None),
        ("product_name", None),
        ("store_id", None),
        ("mean radius", None),
        ("x1", None),
        ("", None),
        ("…", None),
    ],
)
def test_names_are_told_by_whole_words(name, kind):
    assert kind_of_name(name) == kind


def test_every_word_of_the_lists_is_found_as_a_column():
    for kind, words in KINDS.items():
        for word in words.split(", "):
            assert kind_of_name(word.replace(" ", "_")) in KINDS, (kind, word)


def test_what_is_declared_comes_as_declared_in_the_order_of_the_table():
    table = pl.DataFrame({"b": [1, 2], "shoe": [1, 2], "age": [3, 4], "income": [5, 6]})
    assert suggest(table, ["shoe", "age"]) == [
        SensitiveColumn("shoe", "declared", "declared"),
        SensitiveColumn("age", "personal", "declared"),
        SensitiveColumn("income", "financial", "name"),
    ]


def test_a_declared_column_that_is_not_there_is_refused_with_the_near_one():
    with pytest.raises(DataError, match="did you mean 'income'"):
        suggest(pl.DataFrame({"income": [1]}), ["incomes"])
    with pytest.raises(DataError, match="no column names"):
        suggest(np.zeros((3, 2)), ["income"])


def test_every_kind_of_table_is_looked_at():
    ids = [nhs_number() for _ in range(N)]
    assert suggest(pd.DataFrame({"a": ids, "b": 1.0})) == [SensitiveColumn("a", "identifier", "values")]
    numbers = np.column_stack([np.zeros(N), [int(n) for n in ids]])
    assert suggest(numbers) == [SensitiveColumn("column 2", "identifier", "values")]
    assert suggest(sparse.csr_array(numbers)) == []
    assert suggest(np.zeros((4, 32, 32, 3))) == []
    assert suggest(None, ["age", "shoe"]) == [
        SensitiveColumn("age", "personal", "declared"),
        SensitiveColumn("shoe", "declared", "declared"),
    ]
    missing = pl.DataFrame({"a": [None, *ids], "empty": [None] * (N + 1)})
    assert [one.column for one in suggest(missing)] == ["a"]


def test_ordinary_tables_are_looked_at_without_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = load_breast_cancer(as_frame=True).data
        assert suggest(table) == []


def test_a_report_lists_columns_and_no_value():
    rng = np.random.default_rng(0)
    ids = [nhs_number() for _ in range(N)]
    table = pl.DataFrame({"x": rng.normal(size=N), "y": rng.normal(size=N), "code": [int(n) for n in ids]})
    labels = rng.integers(0, 2, N)
    model = DecisionTreeClassifier(random_state=0).fit(table[: N // 2].to_numpy(), labels[: N // 2])
    sides = (table[: N // 2].to_numpy(), labels[: N // 2]), (table[N // 2 :].to_numpy(), labels[N // 2 :])
    content = to_json(unseen.audit(model, *sides, references=0).report)
    assert b'"column": "column 3"' in content
    assert not any(one.encode() in content for one in ids)


def test_a_wrong_declaration_stops_an_audit_before_it_starts():
    table = pl.DataFrame({"income": np.arange(40.0)})
    labels = np.arange(40) % 2
    model = DecisionTreeClassifier().fit(table[:20], labels[:20])
    with pytest.raises(DataError, match="incom"):
        unseen.audit(model, (table[:20], labels[:20]), (table[20:], labels[20:]), context=Context(sensitive=("incom",)))
