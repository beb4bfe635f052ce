"""The documentation is true: its code runs, its tables name every key, its links lead somewhere."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

import unseen
from unseen import plan, policy

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
SECTIONS = {
    "Top of the file": plan.Plan,
    "`[target]`": plan.TargetPlan,
    "`[through]`": plan.ThroughPlan,
    "`[data]`": plan.DataPlan,
    "`[answers]`": plan.AnswersPlan,
    "`[recipe]`": plan.RecipePlan,
    "`[references]`": plan.ReferencesPlan,
    "`[attacks]`": plan.AttacksPlan,
    "`[slices]`": plan.SlicesPlan,
    "`[statistics]`": plan.StatisticsPlan,
    "`[context]`": policy.Context,
    "`[policy]`": policy.Policy,
    "`[[policy.limits]]`": policy.Limit,
}
COMMAND = "from unseen.cli.main import app; app(prog_name='unseen')"


def text_of(page):
    return page.read_text(encoding="utf-8")


def run(folder, *arguments):
    """Run Python on a page's code as a reader would, in an empty folder, with warnings as errors."""
    env = os.environ | {"MPLBACKEND": "agg", "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-W", "error", *arguments]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tutorial", "how-to", "gates"])
def test_the_code_of_a_page_runs_in_order(name, tmp_path):
    blocks = re.findall(r"^```(python|sh)\n(.*?)^```", text_of(ROOT / "docs" / f"{name}.md"), re.MULTILINE | re.DOTALL)
    script = []
    for kind, code in blocks:
        file = re.match(r"# (\w+\.py)\n", code)  # a block that begins with its file's name is that file
        if file:
            (tmp_path / file.group(1)).write_text(code, encoding="utf-8")
        elif kind == "python":
            script.append(code)
    (tmp_path / "page.py").write_text("\n".join(script), encoding="utf-8")
    done = run(tmp_path, "page.py")
    assert done.returncode == 0, done.stderr
    for first in re.findall(r"^```text\n(.*)$", text_of(ROOT / "docs" / f"{name}.md"), re.MULTILINE):
        assert first in done.stdout  # the state; digits below it may differ with the libraries' versions
    for line in (line for kind, code in blocks if kind == "sh" for line in code.splitlines()):
        assert line.startswith("unseen ")
        done = run(tmp_path, "-c", COMMAND, *line.split()[1:])
        assert done.returncode in {0, 1}, done.stderr
        for written in tmp_path.glob("plan.toml"):  # two references run the same code as sixteen, sooner
            written.write_text(text_of(written).replace("count = 16", "count = 2 "), encoding="utf-8")


@pytest.mark.parametrize("section", SECTIONS)
def test_the_plan_page_has_every_key_with_its_default(section):
    page = text_of(ROOT / "docs" / "plan.md")
    body = page.split(f"\n## {section}\n")[1].split("\n## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", body, re.MULTILINE))
    assert rows == {field.encode_name: default_of(field) for field in msgspec.structs.fields(SECTIONS[section])}


def default_of(field):
    if field.required:
        return "required"
    default = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    if default is None:
        return "none"
    return "see below" if isinstance(default, msgspec.Struct) else f"`{json.dumps(default)}`"


@pytest.mark.parametrize("name", ["attacks", "controls"])
def test_the_page_of_a_catalogue_is_the_catalogue(name):
    program = f"import runpy; print(runpy.run_path('generate_{name}.py')['page'](), end='')"
    done = run(ROOT / "docs", "-c", program)
    assert done.stdout == text_of(ROOT / "docs" / f"{name}.md"), f"run: python docs/generate_{name}.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_relative_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", text_of(page), flags=re.DOTALL)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), target
        if anchor:
            assert anchor in anchors(found), target


def anchors(page):
    """The anchors of a page's headings, as forges make them: lower case, no punctuation, hyphens for spaces."""
    headings = re.findall(r"^#+ (.*)$", text_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_public_name_is_documented():
    said = "\n".join(text_of(page) for page in ROOT.glob("docs/*.md"))
    assert not [name for name in unseen.__all__ if not re.search(rf"`unseen\.{name}\b", said)]


def test_every_decision_has_a_number_of_its_own():
    numbers = [page.name[:4] for page in (ROOT / "docs" / "decisions").glob("*.md")]
    assert sorted(numbers) == [f"{n:04d}" for n in range(1, len(numbers) + 1)]
