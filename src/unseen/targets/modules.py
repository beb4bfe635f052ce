"""Code that a plan names as `module:name`: found beside the plan or installed, imported only on trust."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from unseen.errors import ModelError, PlanError, did_you_mean


def find(name: str, home: Path, trust: bool, section: str = "target") -> Any:
    """Return the object that `package.module:name` names, from the folder `home` or an installed package.

    `trust` says that its code may run; without it nothing is imported. What comes from `home` leaves no module behind
    that another could import, so that two plans may have modules of one name; worker processes are given its code by
    value, since they find none to import. Raises `PlanError` where there is no such thing, `ModelError` where importing
    it raises (the type only).
    """
    module_name, attribute = _split(name)
    if not trust:
        raise PlanError(
            f"{name} names code, and importing it runs that code; if you know who wrote it, say trust = true under "
            f"[{section}] (command line: --trust)."
        )
    with importable(home):
        found: Any = _module(module_name, home)
        for part in attribute.split("."):
            if not hasattr(found, part):
                known = [one for one in dir(found) if not one.startswith("_")]
                raise PlanError(f"{module_name} has no {part!r}{did_you_mean(part, known) or '.'}")
            found = getattr(found, part)
    return found


def _split(name: str) -> tuple[str, str]:
    module, colon, attribute = name.partition(":")
    words = [*module.split("."), *attribute.split(".")]
    if not colon or not all(word.isidentifier() for word in words):
        raise PlanError(f"code is named as package.module:name, got {name!r}.")
    return module, attribute


def _module(name: str, home: Path) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = str(error.name)
        if name == missing or name.startswith(f"{missing}."):
            near = did_you_mean(name, sorted(path.stem for path in home.glob("*.py"))) or "."
            raise PlanError(
                f"there is no module {missing!r}, neither in the plan's folder nor installed{near}"
            ) from None
        raise ModelError(f"{name} imports {missing!r}, which is not installed.") from None
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a user's module raises
        raise ModelError(f"importing {name} raised {type(error).__name__}; import it by itself to see why.") from None


@contextmanager
def importable(home: Path | None) -> Iterator[None]:
    """Let modules in the folder `home` be imported, before all others but the standard library's; then as before.

    Modules from elsewhere that have a name of one in `home` are set aside meanwhile; those that came from `home` leave
    `sys.modules` at the end, and live on in what was taken from them. Nothing is written beside them.
    """
    if home is None:
        yield
        return
    home = home.resolve()
    path, written, roots = list(sys.path), sys.dont_write_bytecode, _roots(home)
    others = {name: module for name, module in _named(roots).items() if not _is_in(home, module)}
    for name in others:
        del sys.modules[name]
    before = set(sys.modules)
    sys.path.insert(0, str(home))
    sys.dont_write_bytecode = True
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path[:], sys.dont_write_bytecode = path, written
        for name in _named(roots).keys() - before:
            del sys.modules[name]
        sys.modules.update(others)


def _roots(home: Path) -> set[str]:
    """Return the names of the modules and packages in `home` that are not the standard library's."""
    inside = home.iterdir() if home.is_dir() else ()
    names = {path.stem for path in inside if path.suffix == ".py" or (path.is_dir() and any(path.glob("*.py")))}
    return names - sys.stdlib_module_names - {"unseen"}


def _named(roots: set[str]) -> dict[str, ModuleType]:
    return {name: module for name, module in sys.modules.items() if name.partition(".")[0] in roots}


def _is_in(home: Path, module: ModuleType) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and Path(file).resolve().is_relative_to(home)
