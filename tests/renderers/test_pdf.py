"""The report on paper: whole, in order, and with a sentence where what it needs is not installed."""

import builtins
import io
import os
import re

import pypdf
import pytest
from tests.renderers.reports import IDS, hostile, judged, specimen

from unseen.errors import InputError, MissingExtra
from unseen.renderers import pdf
from unseen.renderers.formats import rendered
from unseen.report import INCONCLUSIVE

REQUIRED = os.environ.get("UNSEEN_PDF") == "required"


@pytest.fixture
def needs_pango():
    try:
        pdf._weasyprint()
    except InputError as error:
        pytest.fail(str(error)) if REQUIRED else pytest.skip(str(error))


def words(report, **options):
    read = pypdf.PdfReader(io.BytesIO(rendered(report, "pdf", **options)))
    return read, " ".join(" ".join(page.extract_text() for page in read.pages).split())


@pytest.mark.usefixtures("needs_pango")
def test_the_paper_has_the_verdict_the_tables_and_a_title():
    read, text = words(specimen(INCONCLUSIVE))
    assert "Inconclusive" in text
    assert "Draw members and non-members from one table" in text
    assert "0.830 [0.818, 0.842]" in text
    assert read.metadata.title == "Inconclusive: membership inference audit of RandomForestClassifier"
    assert 4 <= len(read.pages) <= 12
    assert "/StructTreeRoot" in read.trailer["/Root"]  # tagged, for screen readers


@pytest.mark.usefixtures("needs_pango")
def test_the_paper_names_nobody_when_told_so():
    assert IDS[0] in words(judged())[1]
    assert not [one for one in IDS if one in words(judged(), ids=False)[1]]


@pytest.mark.usefixtures("needs_pango")
def test_hostile_names_are_words_on_paper():
    read, text = words(hostile())
    assert "alert(1)" in text
    assert not re.search("[\x00-\x08\x0b-\x1f]", text)
    assert "/JavaScript" not in str(read.trailer["/Root"])


def refusing(error):
    def imported(name, *arguments, **options):
        if name.startswith("weasyprint"):
            raise error
        return original(name, *arguments, **options)

    original = builtins.__import__
    return imported


def test_without_the_extra_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setattr(builtins, "__import__", refusing(ImportError("no")))
    with pytest.raises(MissingExtra, match=r"^a PDF needs WeasyPrint, .* pip install 'unseen\[pdf\]'\.$"):
        pdf.pdf_document(specimen())


def test_without_pango_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setattr(builtins, "__import__", refusing(OSError("cannot load library")))
    with pytest.raises(InputError, match="apt-get install libpango"):
        pdf.pdf_document(specimen())


def test_the_paper_loads_nothing():
    with pytest.raises(ValueError, match="loads nothing"):
        pdf._nothing("https://example.org/a.png")
