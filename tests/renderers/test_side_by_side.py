"""A model directly and through a policy, as a page and as Markdown: both sides, each change, and what was lost."""

import json
import re

import pytest
from markdown_it import MarkdownIt
from msgspec.structs import replace
from tests.renderers.reports import HOSTILE, area, attack, gates, hostile, judged, rate, specimen
from tests.renderers.test_page import Page
from typer.testing import CliRunner

from unseen.cli.main import app
from unseen.comparison import NO_REGRESSION_FOUND, Comparison, Difference, Side, comparison_to_json
from unseen.errors import PlanError
from unseen.estimate import Estimate
from unseen.renderers.changes import LESS, MORE, SAME, changes, lost, told
from unseen.renderers.formats import rendered
from unseen.renderers.side_by_side import SIDES, rendered_sides
from unseen.renderers.terminal import verdict
from unseen.report import FAILED, LEAK, NOT_APPLICABLE, AttackResult, to_json

ROUNDED = {"url": "http://gateway/x", "behind_policy": True, "controls": [{"name": "rounding", "decimals": 1}]}


def behind(report, target=ROUNDED):
    """Return the report as one of an audit through a policy."""
    return replace(report, provenance=replace(report.provenance, plan={"target": target}))


def change(name, before, after, half=0.02, quantity="auc", fpr=None):
    rise = Estimate(
        quantity=f"{quantity}_difference",
        value=after - before,
        low=after - before - half,
        high=after - before + half,
        confidence=0.95,
        method="paired",
        counts={},
        condition="",
        attack=name,
    )
    return Difference(name, quantity, fpr, before, after, rise, after - before - half, regressed=False)


def compared(differences):
    side = Side(LEAK, 2_000, 4_000, 16, 7, "data", "model", "0.1.0", "2026-03-04T05:06:07+00:00")
    return Comparison(
        state=NO_REGRESSION_FOUND,
        reasons=[],
        worsen_at_most=0.0,
        unit="record",
        paired=True,
        pairing="unit by unit",
        family=len(differences),
        differences=differences,
        not_compared={},
        notes=[],
        older=side,
        newer=side,
    )


def label_only(one):
    return replace(one, access=["labels"])


@pytest.fixture
def sides():
    """Three attacks: one tells less through the policy, one the same and by labels only, one more; one cannot run."""
    direct = [attack("loss", "S1", 0.8), label_only(attack("gap", "S3", 0.58)), attack("odd", "S1", 0.6)]
    direct += [attack("rank-combined", "S2", 0.83)]
    through = [attack("loss", "S1", 0.7), label_only(attack("gap", "S3", 0.58)), attack("odd", "S1", 0.7)]
    through += [AttackResult("rank-combined", "S2", NOT_APPLICABLE, ["labels"], "needs probabilities")]
    found = [
        change("loss", 0.8, 0.7),
        change("loss", 0.3, 0.2, quantity="tpr", fpr=0.1),
        change("gap", 0.58, 0.58),
        change("odd", 0.6, 0.7),
    ]
    gateway = behind(replace(specimen(), attacks=through, recommended="loss"))
    return replace(specimen(), attacks=direct), gateway, compared(found)


def test_each_attack_stands_by_what_the_interval_of_its_change_says(sides):
    assert {one.attack: (one.what, one.label_only) for one in changes(*sides)} == {
        "loss": (LESS, False),
        "gap": (SAME, True),
        "odd": (MORE, False),
    }
    assert told(*sides) == (
        "3 attacks ran on both sides: 1 tell members from others less well through the policy, for 1 no change was "
        "seen and 1 tell them better. 1 that ran directly cannot run through the policy."
    )


def test_an_attack_that_failed_through_the_policy_is_not_called_impossible(sides):
    direct, through, comparison = sides
    through = replace(through, attacks=[replace(one, state=FAILED, estimates=[]) for one in through.attacks])
    said = told(direct, through, replace(comparison, differences=[]))
    assert said == "4 that ran directly failed through the policy, which says nothing of it."
    assert lost(direct, through) == []


@pytest.mark.parametrize("name", ["html", "markdown"])
def test_it_shows_both_sides_each_change_what_was_lost_and_which_attacks_read_labels_only(sides, name):
    text = rendered_sides(*sides, name).decode()
    text = Page(text).text if name == "html" else text
    wanted = ["0.800 [0.788, 0.812]", "0.700 [0.688, 0.712]", "-0.100 [-0.120, -0.080]", "TPR at FPR 10 %"]
    wanted += ["label only", "rounding (decimals 1)", "rank-combined", "eeds probabilities", "not known"]
    assert [one for one in wanted if one not in text] == []


def test_the_page_is_one_whole_file_with_a_caption_for_each_table_and_a_named_chart(sides):
    text = rendered_sides(*sides, "html").decode()
    read = Page(text)
    tags = {tag for tag, _ in read.seen}
    assert not tags & {"script", "iframe", "object", "embed", "link", "img", "form", "base"}
    assert all(one["href"].startswith("#") for one in read.all("a"))
    ids = [attributes["id"] for _, attributes in read.seen if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {one["href"].removeprefix("#") for one in read.all("a")} <= set(ids)
    assert len(read.all("caption")) == len(read.all("table")) > 0
    assert [one["aria-labelledby"] for one in read.all("svg")] == ["sides-title"]
    assert "default-src 'none'" in text


@pytest.mark.parametrize("name", ["html", "markdown"])
def test_limits_broken_checks_and_reasons_are_told(name):
    broken = replace(judged(), gates=gates(broken=True))
    empty = replace(compared([]), reasons=["no attack was measured in both runs"])
    text = rendered_sides(judged(), broken, empty, name).decode()
    assert "blind-baseline" in text
    assert "may not be believed" in text
    if name == "html":
        assert "Not compared: no attack was measured in both runs." in text
        assert Page(text).text.count("TPR at FPR 1 % at most 0.05") == 1


@pytest.mark.parametrize("name", ["html", "markdown"])
def test_hostile_names_are_words_and_nothing_else(name):
    one = hostile()
    target = ROUNDED | {"controls": [{"name": HOSTILE, HOSTILE: HOSTILE}, HOSTILE]}
    text = rendered_sides(one, behind(one, target), compared([change(HOSTILE, 0.8, 0.7)]), name).decode()
    assert "<script>alert" not in text
    assert HOSTILE not in text
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", text)
    if name == "html":
        assert "alert(1)" in Page(text).text
    else:
        html = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
        assert not re.search("<script|<img|<a ", html)


def test_a_report_through_a_policy_says_so_at_its_top_and_names_the_controls_it_can():
    for told_of, words in [
        (ROUNDED, "names as its controls rounding (decimals 1), and references answered through them."),
        ({"behind_policy": True}, "names none of its controls, so references answered without any."),
    ]:
        one = behind(specimen(), told_of)
        page = Page(rendered(one, "html").decode()).text
        assert "Asked through a deployed policy" in page[: page.index("What to do next")]
        for text in (page, rendered(one, "markdown").decode(), verdict(one)):
            assert words in text
    assert "deployed policy" not in rendered(specimen(), "html").decode()


@pytest.fixture
def run(sides, tmp_path):
    direct, through, comparison = sides
    for name, one in (("direct", direct), ("through", through)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "report.json").write_bytes(to_json(one))
    (tmp_path / "comparison.json").write_bytes(comparison_to_json(comparison))
    return tmp_path


def ran(*arguments):
    return CliRunner().invoke(app, [str(one) for one in arguments])


@pytest.mark.parametrize("name", ["", "comparison.json"])
def test_report_of_such_a_folder_is_the_comparison(run, sides, name):
    done = ran("report", run / name)
    assert (done.exit_code, done.output) == (0, f"Wrote {run / 'comparison.html'}.\n")
    assert (run / "comparison.html").read_bytes() == rendered_sides(*sides, "html")
    assert ran("report", run / name, "-f", "markdown").stdout_bytes == rendered_sides(*sides, "markdown")
    assert json.loads(ran("report", run / name, "-f", "json").stdout)["schema"].endswith("comparison-1.json")
    assert ran("report", run / name, "-f", "json", "--exit-code").exit_code == 1


def test_open_shows_the_comparison(run, monkeypatch):
    seen = []
    monkeypatch.setattr("webbrowser.open", lambda address: seen.append(address) or True)
    assert ran("open", run).exit_code == 0
    assert seen == [(run / "comparison.html").as_uri()]


def spoiled(content):
    return lambda run: (run / "comparison.json").write_bytes(content)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda run: (run / "comparison.json").unlink(), "has not finished: its command continues"),
        (spoiled(b"{"), "is damaged"),
        (spoiled(b"{}"), "is damaged"),
        (lambda run: (run / "through" / "report.json").unlink(), "holds no report.json"),
    ],
)
def test_half_a_pair_is_one_sentence(run, spoil, says):
    spoil(run)
    done = ran("report", run)
    assert (done.exit_code, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert says in done.stderr


def test_a_format_that_a_comparison_has_not_is_refused(sides):
    with pytest.raises(PlanError, match="html, markdown, json, got 'junit'"):
        rendered_sides(*sides, "junit")
    assert set(SIDES) == {"html", "markdown", "json"}


def test_an_attack_without_an_auc_on_a_side_is_not_compared(sides):
    direct, through, comparison = sides
    bare = replace(direct.attacks[0], estimates=[rate(0.3, 0.1, "loss")])
    assert area(0.8, "loss") in direct.attacks[0].estimates
    assert "loss" not in {one.attack for one in changes(replace(direct, attacks=[bare]), through, comparison)}
