"""The arrows of ARCHITECTURE.md, the tree it draws, and the words we never print."""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import unseen

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src" / "unseen"
FILES = {path: path.relative_to(SRC.parent).with_suffix("").as_posix().replace("/", ".") for path in SRC.rglob("*.py")}
MODULES = {name.removesuffix(".__init__"): path for path, name in FILES.items()}

NOUNS = [  # each may import those before it
    *("access", "errors", "signal", "estimate", "scores", "target"),
    *("trial", "attack", "policy", "report", "recipe", "reference", "plan"),
    *("case", "gate", "factor", "comparison", "procedure", "control"),
]
MAY_IMPORT = {  # of unseen, by folder; a folder that is not here is held by the other tests only
    "attacks": {"access", "attack", "attacks", "errors", "moments", "scores", "signal", "signals"},
    "moments": {"errors", "moments", "signal"},
    "signals": {"access", "errors", "signal", "signals"},
    "stats": {"errors", "estimate", "signal", "stats"},
    "renderers": {"attack", "comparison", "errors", "estimate", "policy", "procedure", "renderers", "report"},
    "gates": {*NOUNS, "curves", "estimating", "features", "gates", "signals", "stats"},
    "controls": {"control", "controls", "errors"},
    "guard": {"", "control", "controls", "disk", "errors", "guard"},  # "": unseen itself, for its version
    "factors": {*NOUNS, "attacks", "factors", "features", "signals", "stats"},
}
SMALL = {"scipy", "sklearn", "matplotlib", "jinja2", "typer", "rich", "skops"}  # not there where only the guard is
NEVER = {  # from elsewhere: no disk, no network, no model; and a renderer that cannot compute
    "attacks": {"os", "io", "pathlib", "socket", "torch", "joblib", "polars", "skops"},
    "moments": {"os", "io", "pathlib", "socket", "torch", "joblib", "polars", "sklearn"},
    "signals": {"os", "io", "pathlib", "socket", "torch", "joblib", "polars", "sklearn"},
    "stats": {"os", "io", "pathlib", "socket", "torch", "joblib", "polars", "sklearn"},
    "gates": {"os", "io", "pathlib", "socket", "torch", "joblib", "skops"},
    "factors": {"os", "io", "pathlib", "socket", "torch", "joblib", "skops"},
    "controls": {"os", "io", "pathlib", "socket", "torch", "joblib", "polars", *SMALL},
    "guard": {"torch", "joblib", "polars", *SMALL},
    "renderers": {"numpy", "scipy", "sklearn", "polars"},
}
OPTIONAL = {
    "weasyprint",
    *("pandas", "pyarrow", "xgboost", "lightgbm", "catboost", "mlflow"),
    *("torch", "transformers", "ray", "httpx", "requests"),
    *("pyreqwest", "redis", "psycopg", "opentelemetry"),
}
FORBIDDEN_NAMES = {"utils", "helpers", "common", "manager", "base"}
EXCEPTED = {SRC / "attacks" / "base.py"}  # BASE is the attack's name in the literature
UNSAID = re.compile(r"\bsafe\b|\banonymous\b|\bno leakage\b", re.IGNORECASE)


def imported(path, nodes=None):
    """The dotted names that a file imports, anywhere in it; of ours, the module and not the name taken from it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if nodes is None else nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            deep = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in MODULES else str(node.module) for name in deep)


def parts(name):
    """`unseen.stats.roc` is ("unseen", "stats"), `numpy.typing` is ("numpy", "typing")."""
    top, _, rest = name.partition(".")
    return top, rest.split(".")[0]


def test_nouns_import_only_nouns_below_them_the_standard_library_numpy_and_msgspec():
    broken = []
    for place, noun in enumerate(NOUNS):
        for name in imported(SRC / f"{noun}.py"):
            top, below = parts(name)
            ours = top == "unseen" and below not in NOUNS[:place]
            theirs = top in {"scipy", "sklearn", "polars", "joblib", "jinja2", "rich", "typer", "skops", "matplotlib"}
            broken += [f"{noun} -> {name}"] if ours or theirs else []
    assert not broken


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_a_folder_imports_only_what_it_may(folder):
    broken = []
    for path in (SRC / folder).rglob("*.py"):
        for name in imported(path):
            top, below = parts(name)
            wrong = below not in MAY_IMPORT[folder] if top == "unseen" else top in NEVER[folder]
            broken += [f"{path.name} -> {name}"] if wrong else []
    assert not broken


def test_nothing_but_the_command_line_imports_the_command_line():
    outside = [path for path in FILES if "cli" not in path.relative_to(SRC).parts]
    assert not [f"{path.name} -> {name}" for path in outside for name in imported(path) if parts(name)[1] == "cli"]


def test_there_are_no_cycles():
    graph = {name: set(imported(path)) & set(MODULES) - {"unseen", name} for name, path in MODULES.items()}
    TopologicalSorter(graph).prepare()  # raises CycleError, and names the cycle


ADAPTERS = {  # written for one optional package: imported by nobody at top level, so they may import it there
    "torch": {
        *(SRC / "targets" / f"torch{part}.py" for part in ("", "_files", "_gradients")),
        *(SRC / "recipes" / f"torch{part}.py" for part in ("", "_chance")),
        *(SRC / "references" / "stacked").glob("*.py"),
    },
    "ray": {SRC / "references" / "cluster.py"},
}
OF_ADAPTERS = {FILES[path].removesuffix(".__init__") for paths in ADAPTERS.values() for path in paths}


def test_files_for_an_optional_package_are_imported_by_each_other_and_inside_functions():
    adapters = set().union(*ADAPTERS.values())
    outside = [path for path in FILES if path not in adapters]
    top_level = {path: set(imported(path, ast.parse(path.read_text(encoding="utf-8")).body)) for path in outside}
    assert not {path.name: names & OF_ADAPTERS for path, names in top_level.items() if names & OF_ADAPTERS}


def test_optional_packages_are_imported_in_one_file_and_inside_functions():
    users = {}
    for path in FILES:
        if any(path in adapters for adapters in ADAPTERS.values()):
            continue
        top_level = {parts(name)[0] for name in imported(path, ast.parse(path.read_text(encoding="utf-8")).body)}
        assert not top_level & OPTIONAL, path
        for name in {parts(name)[0] for name in imported(path)} & OPTIONAL:
            users.setdefault(name, []).append(path.name)
    assert not {name: files for name, files in users.items() if len(files) > 1}


def test_no_module_has_a_name_that_says_nothing():
    names = [path for path in [*SRC.rglob("*.py"), *SRC.rglob("*/")] if path not in EXCEPTED]
    assert not [path for path in names if path.stem in FORBIDDEN_NAMES]


def test_the_tree_in_architecture_is_true():
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    tree = text.split("```text")[1].split("```")[0]
    drawn = set()
    for line in tree.splitlines()[2:]:  # below the title: folders with examples of their files, or files
        folder = re.match(r"  (\w+/)", line)
        files = set(re.findall(r"\b\w+\.(?:py|typed)\b", line))
        drawn |= {folder.group(1)} if folder else files
        assert not folder or all((SRC / folder.group(1) / name).exists() for name in files), line
    there = {f"{p.name}/" if p.is_dir() else p.name for p in SRC.iterdir() if p.name != "__pycache__"}
    assert drawn == there


def test_the_words_we_never_print_are_not_printed():
    said = [(path, path.read_text(encoding="utf-8")) for path in (SRC / "renderers" / "templates").iterdir()]
    for path in [*(SRC / "renderers").rglob("*.py"), *(SRC / "cli").glob("*.py"), SRC / "report.py"]:
        nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        said += [(path, node.value) for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    assert not [(path.name, text) for path, text in said if UNSAID.search(text)]


def test_the_changelog_has_the_version():
    assert f"## [{unseen.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
