"""What the values of a column say: identifiers of a person, an account or a device, told by their check digits."""

import re
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from ipaddress import ip_address
from typing import Any

import numpy as np

from unseen.features.rows import is_missing
from unseen.signal import Array

FEWEST = 20  # distinct values, below which a column is one of codes
MOST = 2_000  # distinct values that are looked at
SHARE = 0.9  # of them that must be valid
BY_CHANCE = 0.25  # of random values of the same shape that may be valid, at most
SHORTEST, LONGEST = 8, 64  # characters of an identifier
WHOLE = 2.0**53  # above this a float no longer holds every whole number

NATIONAL = (  # numbers that name one person and carry check digits, as python-stdnum knows them
    *("at.vnr", "au.tfn", "be.bis", "be.nn", "bg.egn", "bg.pnf", "br.cpf", "ca.bc_phn", "ca.sin", "ch.ssn", "cl.rut"),
    *("cn.ric", "cz.rc", "de.idnr", "dk.cpr", "do.cedula", "ec.ci", "ee.ik", "es.dni", "es.nie", "fi.hetu", "fr.nif"),
    *("fr.nir", "gb.nhs", "gr.amka", "hr.oib", "ie.pps", "il.idnr", "in_.aadhaar", "is_.kennitala", "it.codicefiscale"),
    *("kr.rrn", "lt.asmens", "lv.pvn", "md.idno", "mu.nid", "mx.curp", "nl.bsn", "no.fodselsnummer", "nz.ird"),
    *("pl.pesel", "pt.nif", "ro.cnp", "ru.inn", "se.personnummer", "si.emso", "sk.rc", "th.pin", "tr.tckimlik"),
    *("ua.rntrc", "za.idnr", "imei"),
)
CARD = re.compile(r"[2-6]\d{12,18}")
PATTERNS = (  # told by their shape alone
    ("personal", re.compile(r"[\w.+-]+@[\w-]+(\.[\w-]+)*\.[A-Za-z]{2,}")),
    ("personal", re.compile(r"\+\d{1,3}([ .()/-]*\d){6,12}")),
    ("personal", re.compile(r"(\(\d{3}\) ?|\d{3}[-.])\d{3}[-.]\d{4}")),
    ("identifier", re.compile(r"\d{3}-\d{2}-\d{4}")),
    ("identifier", re.compile(r"([0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}")),
    ("identifier", re.compile(r"[0-9A-Fa-f]{8}-([0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}")),
)


@dataclass(frozen=True)
class Format:
    """A kind of identifier, and how one text is told to be one; with check digits, chance must not do as well."""

    kind: str
    valid: Callable[[str], bool]
    checked: bool


def kind_of_values(values: Array) -> str | None:
    """Return what kind of identifier the values of a column `(records,)` are, or None.

    At most 2,000 distinct values are looked at, evenly spaced in their order, and at least 20 must be there. Nine of
    ten must have a format that stdnum validates by check digits (national numbers of persons, IBAN, payment cards,
    IMEI), or look like an e-mail address, phone number, IP or MAC address, UUID or US social security number. A format
    that more than one of four random values of the same shape meet says nothing.

    >>> kind_of_values(np.array([f"user{n}@example.org" for n in range(30)]))
    'personal'
    """
    texts = _texts(values)
    if len(texts) < FEWEST:
        return None
    few = texts[:: max(1, len(texts) // 50)]
    for form in formats():
        if _share(form, few) >= SHARE / 2 and _share(form, texts) >= SHARE and _beats_chance(form, texts):
            return form.kind
    return None


def formats() -> list[Format]:
    """Return every format that is looked for, those told by their shape first."""
    shapes = [Format(kind, _matches(pattern), checked=False) for kind, pattern in PATTERNS]
    accounts = [Format("financial", _stdnum("iban"), checked=True), Format("financial", _card, checked=True)]
    persons = [Format("identifier", _stdnum(name), checked=True) for name in NATIONAL]
    return [*shapes, Format("identifier", _ip, checked=False), *accounts, *persons]


def _texts(values: Array) -> list[str]:
    """Return at most 2,000 distinct values as text, in order; none where they are not whole numbers or short texts."""
    if values.dtype.kind in "iuf":
        return _whole_numbers(values)
    if values.dtype.kind not in "OUST":
        return []
    rows = values[:: max(1, values.size // (10 * MOST))].tolist()
    known = [value for value in rows if not is_missing(value)]
    if not known or not all(isinstance(value, str) for value in known):
        return _whole_numbers_of_objects(known)
    texts = sorted({value.strip() for value in known} - {""})
    if sum(len(text) > LONGEST for text in texts) > 0.1 * len(texts):
        return []
    return texts[:: max(1, len(texts) // MOST)][:MOST]


def _whole_numbers_of_objects(values: Sequence[Any]) -> list[str]:
    numbers = [value for value in values if isinstance(value, int) and abs(value) < WHOLE]
    return _whole_numbers(np.array(numbers)) if values and len(numbers) == len(values) else []


def _whole_numbers(values: Array) -> list[str]:
    """Return whole numbers as digits, with the leading zeros that a number loses."""
    known = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    if known.size == 0 or known.min() < 0 or not 10 ** (SHORTEST - 1) <= known.max() < WHOLE:
        return []
    if values.dtype.kind == "f" and (known != np.round(known)).any():
        return []
    distinct = np.unique(known)
    texts = [str(int(value)) for value in distinct[:: max(1, distinct.size // MOST)][:MOST]]
    longest = len(texts[-1])
    alike = sum(len(text) >= longest - 1 for text in texts)
    return [text.zfill(longest) for text in texts] if alike >= SHARE * len(texts) else []


def _share(form: Format, texts: Sequence[str]) -> float:
    return sum(map(form.valid, texts)) / len(texts)


def _beats_chance(form: Format, texts: Sequence[str]) -> bool:
    return not form.checked or _share(form, _same_shape(texts)) <= BY_CHANCE


def _same_shape(texts: Sequence[str]) -> list[str]:
    """Return texts with every digit replaced by a random digit, and every letter by a random one of its case."""
    rng = np.random.default_rng(len(texts))
    classes = (string.digits, string.ascii_uppercase, string.ascii_lowercase)
    pools = {letter: pool for pool in classes for letter in pool}
    return ["".join(pools.get(sign, sign)[rng.integers(len(pools.get(sign, sign)))] for sign in text) for text in texts]


def _matches(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda text: pattern.fullmatch(text) is not None


def _stdnum(name: str) -> Callable[[str], bool]:
    module = import_module(f"stdnum.{name}")

    def valid(text: str) -> bool:
        try:
            return len(text) >= SHORTEST and bool(module.is_valid(text))
        except Exception:  # noqa: BLE001 - a validator that cannot read a text has not found it valid
            return False

    return valid


def _card(text: str) -> bool:
    digits = text.replace(" ", "").replace("-", "")
    return CARD.fullmatch(digits) is not None and bool(import_module("stdnum.luhn").is_valid(digits))


def _ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return not text.isdigit()
