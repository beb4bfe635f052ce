"""`unseen report` and `unseen open`: what they write, print and refuse."""

import json
import os
import webbrowser
from importlib.resources import files

import pytest
from tests.renderers.reports import IDS, judged, specimen
from typer.testing import CliRunner

from unseen.cli.main import app
from unseen.renderers import pdf
from unseen.renderers.formats import FORMATS, rendered
from unseen.report import INCONCLUSIVE, NO_LEAK_FOUND, SCHEMA, from_json, json_schema, to_json


def ran(*arguments):
    return CliRunner().invoke(app, [str(one) for one in arguments])


@pytest.fixture
def run(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "report.json").write_bytes(to_json(specimen()))
    return tmp_path / "run"


@pytest.mark.parametrize("name", ["markdown", "json", "junit", "sarif"])
def test_texts_go_to_standard_output(run, name):
    result = ran("report", run, "--format", name)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout_bytes == rendered(specimen(), name)
    assert [one.name for one in run.iterdir()] == ["report.json"]


def test_html_is_the_default_and_goes_beside_the_report(run):
    result = ran("report", run)
    assert (result.exit_code, result.stdout) == (0, f"Wrote {run / 'report.html'}.\n")
    assert (run / "report.html").read_bytes() == rendered(specimen(), "html")


def test_a_reports_file_is_a_run_too(run):
    assert ran("report", run / "report.json").exit_code == 0
    assert (run / "report.html").exists()


def test_a_file_is_written_whole_where_out_says(run, tmp_path):
    result = ran("report", run, "-f", "sarif", "--out", tmp_path / "new" / "unseen.sarif")
    assert result.exit_code == 0
    assert (tmp_path / "new" / "unseen.sarif").read_bytes() == rendered(specimen(), "sarif")
    assert (tmp_path / "new" / "unseen.sarif").stat().st_mode & 0o077 == 0
    assert [one.name for one in (tmp_path / "new").iterdir()] == ["unseen.sarif"]


def test_html_goes_to_standard_output_for_a_dash(run):
    assert ran("report", run, "--out", "-").stdout_bytes == rendered(specimen(), "html")


@pytest.mark.parametrize("name", ["html", "json"])
def test_no_ids_names_nobody(run, name):
    assert IDS[0] in ran("report", run, "-f", name, "--out", "-").stdout
    text = ran("report", run, "-f", name, "--out", "-", "--no-ids").stdout
    assert not [one for one in IDS if one in text]


def test_without_the_extra_a_pdf_is_one_sentence(run, monkeypatch):
    monkeypatch.setitem(FORMATS, "pdf", pdf.pdf_document)
    monkeypatch.setitem(__import__("sys").modules, "weasyprint", None)
    result = ran("report", run, "--format", "pdf")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "unseen: a PDF needs WeasyPrint, which is not installed: pip install 'unseen[pdf]'.\n"


@pytest.mark.parametrize(
    ("report", "code"),
    [(specimen(), 1), (judged("within"), 0), (specimen(NO_LEAK_FOUND), 0), (specimen(INCONCLUSIVE), 3)],
)
def test_the_verdict_is_the_exit_code_when_asked_for(run, report, code):
    (run / "report.json").write_bytes(to_json(report))
    assert ran("report", run, "-f", "markdown").exit_code == 0
    assert ran("report", run, "-f", "markdown", "--exit-code").exit_code == code


def broken(content):
    return lambda run: (run / "report.json").write_bytes(content)


BAD = {
    "no such run": (lambda run: (run / "report.json").unlink(), "holds no report.json"),
    "half a report": (broken(to_json(specimen())[:5_000]), "is not whole JSON"),
    "not JSON": (broken(b"\x89PNG\xff"), "is not whole JSON"),
    "no report": (broken(b"{}"), "has the schema ''"),
    "a list": (broken(b"[1]"), "is damaged, or no report"),
    "deep": (broken(b"[" * 100_000), "is damaged, or no report"),
    "another version": (broken(to_json(specimen()).replace(b"report-2.json", b"report-9.json")), "report-9.json"),
    "a field too many": (broken(to_json(specimen()).replace(b'"state"', b'"more": 1, "state"', 1)), "is damaged"),
    "a field of the wrong kind": (broken(to_json(specimen()).replace(b'"family": 58', b'"family": "x"')), "is damaged"),
}


@pytest.mark.parametrize("command", ["report", "open"])
@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_sentence_and_exit_code_two(run, command, name):
    spoil, words = BAD[name]
    spoil(run)
    result = ran(command, run)
    assert (result.exit_code, result.stdout) == (2, "")
    assert len(result.stderr.splitlines()) == 1
    assert words in result.stderr
    assert not (run / "report.html").exists()


def test_a_run_that_is_not_there_is_refused(tmp_path):
    result = ran("report", tmp_path / "nowhere")
    assert result.exit_code == 2
    assert "there is no run" in result.stderr


def test_an_unknown_format_and_no_run_are_refused(run):
    result = ran("report", run, "--format", "sarrif")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "did you mean 'sarif'" in result.stderr
    assert ran("report").exit_code == 2


def test_the_schema_that_ships_is_the_one_of_the_records_and_is_printed():
    shipped = json.loads((files("unseen.data") / "report.schema.json").read_text(encoding="utf-8"))
    again = "write src/unseen/data/report.schema.json anew: unseen report --schema"
    assert shipped == json.loads(json.dumps(json_schema())), again
    assert shipped["$id"] == SCHEMA
    result = ran("report", "--schema")
    assert (result.exit_code, json.loads(result.stdout)) == (0, shipped)


@pytest.fixture
def opened(monkeypatch):
    seen = []
    monkeypatch.setattr(webbrowser, "open", lambda address: seen.append(address) or True)
    return seen


def test_open_writes_the_page_prints_where_and_opens_it(run, opened):
    result = ran("open", run)
    page = run / "report.html"
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{page}\n", "")
    assert opened == [page.as_uri()]
    assert page.read_bytes() == rendered(specimen(), "html")


def test_open_writes_the_page_again_only_where_it_is_older(run, opened):
    page, source = run / "report.html", run / "report.json"
    page.write_text("kept", encoding="utf-8")
    os.utime(source, (1_000, 1_000))
    assert ran("open", source).exit_code == 0
    assert page.read_text(encoding="utf-8") == "kept"
    os.utime(page, (500, 500))
    assert ran("open", run).exit_code == 0
    assert page.read_bytes() == rendered(specimen(), "html")
    assert len(opened) == 2


def test_open_without_a_browser_says_so(run, monkeypatch):
    monkeypatch.setattr(webbrowser, "open", lambda _: False)
    result = ran("open", run)
    assert result.exit_code == 0
    assert "open the file yourself" in result.stderr


def test_the_commands_explain_themselves():
    for command in ("report", "open"):
        result = ran(command, "--help")
        assert result.exit_code == 0
        assert "Usage:" in result.stdout


def test_a_report_that_was_read_is_the_one_that_was_written(run):
    assert from_json((run / "report.json").read_bytes()) == specimen()
