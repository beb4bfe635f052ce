"""What a scoring function can reach beyond its arguments: what its file imports and calls, and what it closes over."""

import ast
import importlib.util
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from unseen.testing.worlds import World
from unseen.trial import Trial

OURS = {"access", "attack", "attacks", "errors", "moments", "scores", "signal", "signals"}  # what else there is, is not
NEVER_IMPORT = {
    *("builtins", "ctypes", "gc", "glob", "importlib", "inspect", "io", "os", "pathlib", "pickle", "shutil", "socket"),
    *("subprocess", "sys", "tempfile", "urllib", "http", "httpx", "requests"),
    *("joblib", "polars", "pandas", "sqlite3", "torch", "transformers", "ray"),
}
NEVER_CALL = {"__import__", "compile", "eval", "exec", "globals", "open", "vars"}


def reach(score: Callable[..., Any]) -> list[str]:
    """Return what `score` reaches for and should not, in words; empty for an honest attack.

    It reads the source of the function's own file and does not follow imports: a guard against mistakes, not against
    somebody who means to cheat.
    """
    source = inspect.getsourcefile(score) if inspect.isfunction(score) else None
    if source is None or not Path(source).is_file():
        return ["a source that cannot be read"]
    nodes = list(ast.walk(ast.parse(Path(source).read_text(encoding="utf-8"))))
    imported = [name for name in _imported(score, nodes) if not _allowed(name)]
    called = [node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    return imported + [name for name in called if name in NEVER_CALL] + _held(score)


def _imported(score: Callable[..., Any], nodes: list[ast.AST]) -> Iterator[str]:
    package = inspect.unwrap(score).__globals__.get("__package__")
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _allowed(module: str) -> bool:
    top, _, rest = module.partition(".")
    return rest.split(".")[0] in OURS if top == "unseen" else top not in NEVER_IMPORT


def _held(score: Callable[..., Any]) -> list[str]:
    """Return the names under which the function holds a trial, a world or an array, which could be membership."""
    held = inspect.getclosurevars(score)
    defaults = {name: p.default for name, p in inspect.signature(score).parameters.items()}
    values = {**held.globals, **held.nonlocals, **defaults}
    return [name for name, value in values.items() if isinstance(value, (Trial, World, np.ndarray))]
