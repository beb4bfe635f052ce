"""The HTML report: one file without scripts, whole in its structure, and nothing in it that a name could break."""

import re
from html.parser import HTMLParser

import pytest
from msgspec.structs import replace
from tests.renderers.reports import HOSTILE, IDS, attack, cell, factors, gates, hostile, judged, specimen

from unseen.attack import ROWS
from unseen.renderers.formats import without_ids
from unseen.renderers.page import html_page
from unseen.renderers.steps import steps
from unseen.report import (
    FACTOR_ROWS,
    FAILED,
    INCONCLUSIVE,
    LEAK,
    NO_LEAK_FOUND,
    NOT_APPLICABLE,
    ReferenceFacts,
    from_json,
    to_json,
)

REPORTS = {
    "leak": lambda: specimen(LEAK),
    "no_leak_found": lambda: specimen(NO_LEAK_FOUND),
    "inconclusive": lambda: specimen(INCONCLUSIVE),
    "failed": lambda: specimen(FAILED),
    "over policy": judged,
    "within policy": lambda: judged("within"),
    "undecided": lambda: judged("undecided"),
    "hostile": hostile,
}
VOID = {"meta", "br", "link", "img", "hr", "input"}


class Page(HTMLParser):
    """The elements of a page, checked for nesting while they are read, and the words between them."""

    def __init__(self, text):
        super().__init__()
        self.open, self.seen, self.words, self.headings = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def all(self, tag):
        return [attributes for name, attributes in self.seen if name == tag]


def page(report):
    return Page(html_page(report))


@pytest.fixture(params=REPORTS)
def report(request):
    return REPORTS[request.param]()


def test_the_specimens_are_reports(report):
    assert from_json(to_json(report)) == report


def test_it_is_one_file_without_scripts_links_to_elsewhere_or_images(report):
    read = page(report)
    tags = {tag for tag, _ in read.seen}
    assert not tags & {"script", "iframe", "object", "embed", "link", "img", "form", "base"}
    assert all(one["href"].startswith("#") for one in read.all("a"))
    for _, attributes in read.seen:
        assert not [name for name in attributes if name.startswith("on") or name in {"src", "srcset", "xlink:href"}]
    style = html_page(report).split("<style>")[1].split("</style>")[0]
    assert not re.search(r"url\(|@import|expression", style)
    assert "default-src 'none'" in html_page(report)


def test_it_is_under_a_megabyte_and_stays_so_with_many_slices():
    many = replace(specimen(), slices=[cell("class", str(value), 0.8) for value in range(1_000)])
    assert len(html_page(many).encode()) < 1_000_000
    assert len(html_page(specimen()).encode()) < 100_000


def test_it_has_landmarks_a_skip_link_and_headings_in_order(report):
    read = page(report)
    tags = [tag for tag, _ in read.seen]
    assert [tags.count(name) for name in ("main", "nav", "header", "footer", "h1")] == [1] * 5
    first = read.all("a")[0]
    assert (first["class"], first["href"]) == ("skip", "#report")
    steps = zip(read.headings, read.headings[1:], strict=False)
    assert read.headings[0] == 1
    assert all(after <= before + 1 for before, after in steps)
    assert read.all("html") == [{"lang": "en"}]
    assert any(one.get("name") == "viewport" for one in read.all("meta"))


def test_every_id_is_there_once_and_every_reference_leads_to_one(report):
    read = page(report)
    ids = [attributes["id"] for _, attributes in read.seen if "id" in attributes]
    assert len(ids) == len(set(ids))
    named = [
        name
        for _, a in read.seen
        for name in (a.get("aria-labelledby", "") + " " + a.get("aria-describedby", "")).split()
    ]
    assert {one["href"].removeprefix("#") for one in read.all("a")} | set(named) <= set(ids)


def test_every_table_has_a_caption_and_every_heading_cell_a_scope(report):
    read = page(report)
    assert len(read.all("caption")) == len(read.all("table")) > 0
    assert {one["scope"] for one in read.all("th")} <= {"col", "row", "rowgroup"}
    regions = [one for one in read.all("div") if one.get("class") == "wide"]
    assert len(regions) == len(read.all("table"))
    assert all((one["role"], one["tabindex"]) == ("region", "0") and one["aria-label"] for one in regions)


def test_every_chart_is_an_image_with_a_title_a_description_and_a_table(report):
    read = page(report)
    charts = read.all("svg")
    assert [one["role"] for one in charts] == ["img"] * len(charts)
    assert len(read.all("desc")) == len(charts)
    assert len(read.all("table")) > len(charts)


def test_the_charts_are_those_that_were_asked_for():
    names = {one["aria-labelledby"].split("-title")[0] for one in page(specimen()).all("svg")}
    assert names == {"roc", "attack-intervals", "slice-intervals", "exposure", "gates-chart"}
    assert [one["aria-labelledby"] for one in page(specimen(FAILED)).all("svg")] == ["gates-chart-title"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("leak", ["Leak found", "0.830", "0.818 to 0.842", "9.7 %", "33.8 %", "generalisation-gap is present"]),
        ("no_leak_found", ["No leak found", "not proof", "0.534", "smallest AUC", "what was not tested before"]),
        ("inconclusive", ["Inconclusive", "Draw members and non-members from one table", "may not be believed"]),
        (
            "failed",
            [
                "Failed",
                "nothing could be measured",
                "Repair 8 attacks (rank-combined, lira-online, rmia-offline, ...), or leave out",
            ],
        ),
        ("over policy", ["Over policy", "TPR at FPR 1 % at most 0.05", "over"]),
        ("within policy", ["Within policy", "the limits hold for the attacks that were run"]),
        ("undecided", ["Inconclusive", "is undecided", "Hand in 10,000 non-members or more, there are 4,000"]),
    ],
)
def test_the_first_screen_says_verdict_question_numbers_and_what_to_do(name, words):
    text = page(REPORTS[name]()).text
    first = text[: text.index("In this report")]
    assert (
        "Can somebody who may see labels and probabilities of this RandomForestClassifier tell which records" in first
    )
    assert "What to do next" in first
    assert [word for word in words if word not in first] == []


def test_every_field_of_a_report_is_shown():
    full = specimen(INCONCLUSIVE)
    text = page(full).text
    shown = [*full.reasons, *full.notes, *full.not_tested, *full.exposure.ids, *full.identifiers.values()]
    shown += [*full.identifiers, full.risk.because, full.risk.reveals, full.context.harm, full.context.domain]
    shown += [one.name for one in full.attacks] + [f"{one.by}: {one.value}" for one in full.slices]
    shown += [word for one in full.gates for word in (one.name, one.meaning, one.advice)]
    shown += [word for one in full.factors for word in (one.name, one.meaning, *one.controls)]
    shown += [word for one in full.sensitive for word in (one.column, one.kind)]
    shown += [*full.evidence.against_release, *full.evidence.for_release, *full.evidence.undecided]
    shown += [full.provenance.data_digest, full.provenance.model_digest, full.provenance.started]
    shown += [f"{row}: {meaning}" for row, meaning in (ROWS | FACTOR_ROWS).items()]
    shown += [*full.provenance.versions.values(), '"models/model.skops"', "2 classes", "15 of 16 trained"]
    shown += [
        "a TPR at an FPR of 0.001 needs 10000 non-members, got 4000",
        "attack AUC minus blind AUC: 0.120 [0.090, 0.150] at 95 %",
    ]
    assert [one for one in shown if one not in text] == []


def test_likelihood_and_harm_meet_in_one_cell_and_are_no_number():
    read = page(specimen())
    cells = [one for one in read.all("td") if one.get("class") == "here"]
    assert len(cells) == 1
    assert "not made into one number" in read.text


def test_the_ppv_is_given_at_the_declared_prior_or_said_to_be_missing():
    assert "5 % 10 % 32.1 % [22.5, 41.8]" in page(specimen()).text
    other = replace(specimen(), context=replace(specimen().context, prior=0.2))
    assert "The PPV at the declared prior of 20 % was not measured" in page(other).text


@pytest.mark.parametrize(
    ("removed", "kinds", "said"),
    [(True, ["identifier"], True), (False, ["health"], True), (False, ["identifier"], False)],
)
def test_it_says_that_removing_identifiers_does_not_protect_membership(removed, kinds, said):
    whole = specimen()
    columns = [replace(whole.sensitive[0], kind=kind) for kind in kinds]
    text = page(replace(whole, context=replace(whole.context, identifiers_removed=removed), sensitive=columns)).text
    figure = "rank-combined recognised 9.7 % [8.7, 10.7] of the members at a false-positive rate of 1 % (AUC 0.830"
    assert ("does not protect membership" in text and figure in text) == said


def test_gates_and_factors_that_are_not_there_are_said_to_be_missing():
    bare = replace(specimen(), gates=[], factors=[], sensitive=[], slices=[], curves=[], exposure=None, notes=[])
    text = page(bare).text
    assert "No gates were asked." in text
    assert text.count("Not looked at in this audit.") == 6
    assert "No slices were measured." in text


def test_without_ids_nobody_is_named():
    text = html_page(without_ids(specimen()))
    assert not [one for one in IDS if one in text]
    assert "No record is named in this document." in text


def test_a_row_that_is_unknown_here_is_not_lost():
    odd = replace(attack("mine", "S1", 0.7), row="S9")
    assert "S9" in page(replace(specimen(), attacks=[odd])).text


def test_hostile_names_are_words_and_nothing_else():
    text = html_page(hostile())
    assert "<script>alert" not in text
    assert "{{" not in text.replace("{{ 7 * 7 }}", "")
    assert "&lt;script&gt;alert(1)&lt;/script&gt; | `a` ]]&gt; &amp;" in text
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", text)
    assert "alert(1)" in page(hostile()).text
    assert HOSTILE not in text


def test_attacks_that_did_not_run_are_folded_below_those_that_ran_with_their_reasons():
    text = html_page(specimen())
    folded = text[text.index('<details id="idle"') : text.index("</details>")]
    idle = [one for one in specimen().attacks if one.state == NOT_APPLICABLE]
    assert idle
    assert all(one.name in folded and one.reason.capitalize() in folded for one in idle)
    assert text.index("Every attack, by the signal") < text.index('<details id="idle"')
    whole = replace(specimen(), attacks=[attack("loss", "S1", 0.7)])
    assert "<details" not in html_page(whole)


def test_it_says_how_many_attacks_ran_and_that_there_were_no_references():
    alone = replace(specimen(), references=ReferenceFacts(0, 0, {}, None))
    for text in (page(alone).text, "\n".join(map(str, steps(alone)))):
        assert "0 of 0" not in text
    count = len(specimen().attacks)
    ran = sum(bool(one.estimates) for one in specimen().attacks)
    assert f"{ran} of {count} attacks, no references and" in page(alone).text
    assert f"{ran} of {count} attacks asked which" in page(alone).text


@pytest.mark.parametrize("name", REPORTS)
def test_every_step_begins_as_a_sentence_does(name):
    assert [one for one in steps(REPORTS[name]()) if not one[0].isupper()] == []


def test_a_loss_decile_is_named_whole_in_the_chart():
    names = [cell("loss decile", "10 of 10", 0.8), cell("native-country", "Outlying-US(Guam-USVI)", 0.7)]
    chart = html_page(replace(specimen(), slices=names)).split('aria-labelledby="slice-intervals-title"')[1]
    chart = chart.split("</svg>")[0]
    assert ">loss decile: 10 of 10<" in chart
    assert ">native-country:<" in chart
    assert ">Outlying-US(Guam-USVI)<" in chart


def test_a_gate_far_outside_the_axis_is_told_and_not_drawn():
    broken = gates()[0]
    far = replace(broken, estimates=[replace(broken.estimates[0], quantity="ratio", value=2e12, low=1e12, high=3e12)])
    assert (
        "ratio (blind baseline): 2e+12 [1e+12, 3e+12]" in page(replace(specimen(), gates=[far], factors=factors())).text
    )
