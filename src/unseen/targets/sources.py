"""What a function would run, as a digest: its code, what it holds, the files it stands in, the versions they import."""

import ast
import functools
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)
from typing import Any

import joblib

INSTALLED = tuple({Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
PLAIN = (str, bytes, int, float, complex, bool, type(None), type(Ellipsis))
Seen = dict[Any, Any]


def code_digest(value: Any) -> str:
    """Return a digest of everything that calling `value` depends on, as far as it can be told without calling it.

    Of a function: its code, defaults, closure and the globals that it names; the bytes of the file it stands in and of
    those that this one imports, where they are not installed; of installed packages, the versions. A changed comment
    changes it too. It does not see what is read from disk or imported by a computed name.

    >>> code_digest(lambda: 1) == code_digest(lambda: 2)
    False
    """
    return blake2b("\n".join(_parts(value, {})).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _parts(value: Any, seen: Seen) -> Iterator[str]:
    if isinstance(value, PLAIN):
        yield f"{type(value).__name__} {value!r}"
    elif isinstance(value, set | frozenset):
        yield f"{type(value).__name__} {sorted(map(repr, value))}"
    elif isinstance(value, tuple | list):
        yield f"{type(value).__name__} {len(value)}"
        yield from _of_each(value, seen)
    elif isinstance(value, dict):
        yield f"dict {len(value)}"
        yield from _of_each(value.keys(), seen)
        yield from _of_each(value.values(), seen)
    elif id(value) not in seen:
        seen[id(value)] = value  # kept, so that no other takes its number
        for kind, read in KINDS:
            if isinstance(value, kind):
                yield from read(value, seen)
                return
        yield from _of_object(value, seen)


def _of_each(values: Iterable[Any], seen: Seen) -> Iterator[str]:
    for value in values:
        yield from _parts(value, seen)


def _of_code(code: CodeType, seen: Seen) -> Iterator[str]:
    yield f"{code.co_name} {code.co_code.hex()} {code.co_names} {code.co_varnames} {code.co_freevars} {code.co_flags}"
    yield from _of_each(code.co_consts, seen)


def _of_function(function: FunctionType, seen: Seen) -> Iterator[str]:
    yield from _parts(function.__code__, seen)
    yield from _of_each([function.__defaults__, function.__kwdefaults__], seen)
    for cell in function.__closure__ or ():
        try:
            yield from _parts(cell.cell_contents, seen)
        except ValueError:  # nothing was put into it yet
            yield "empty"
    named = function.__globals__
    if not _is_installed(_file(named.get("__file__"))):
        for name in sorted(_names(function.__code__) & named.keys()):
            yield name
            yield from _parts(named[name], seen)
    yield from _of_place(function.__module__, named.get("__file__"), seen)


def _names(code: CodeType) -> set[str]:
    """Return the global names that a function's code uses, and that of the functions inside it."""
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return set(code.co_names).union(*(_names(one) for one in inner))


def _of_class(kind: type, seen: Seen) -> Iterator[str]:
    yield f"{kind.__module__}.{kind.__qualname__}"
    if kind.__module__ != "builtins":
        file = getattr(sys.modules.get(kind.__module__), "__file__", None)
        if not _is_installed(_file(file)):
            for name, part in sorted(vars(kind).items()):
                if name not in OF_EVERY_CLASS and not isinstance(part, OF_LAYOUT):
                    yield name
                    yield from _parts(part, seen)
        yield from _of_each(kind.__bases__, seen)
        yield from _of_place(kind.__module__, file, seen)


def _of_module(module: ModuleType, seen: Seen) -> Iterator[str]:
    yield from _of_place(module.__name__, getattr(module, "__file__", None), seen)


def _of_partial(value: "functools.partial[Any]", seen: Seen) -> Iterator[str]:
    yield from _of_each([value.func, value.args, value.keywords], seen)


def _of_method(value: MethodType, seen: Seen) -> Iterator[str]:
    yield from _of_each([value.__func__, value.__self__], seen)


def _of_builtin(value: BuiltinFunctionType, seen: Seen) -> Iterator[str]:
    yield f"{value.__module__}.{value.__qualname__}"
    if not isinstance(value.__self__, ModuleType):
        yield from _parts(value.__self__, seen)


def _of_property(value: property, seen: Seen) -> Iterator[str]:
    yield from _of_each([value.fget, value.fset, value.fdel], seen)


def _of_wrapper(value: "staticmethod[Any, Any] | classmethod[Any, Any, Any]", seen: Seen) -> Iterator[str]:
    yield from _parts(value.__func__, seen)


def _of_cached(value: "functools.cached_property[Any]", seen: Seen) -> Iterator[str]:
    yield from _parts(value.func, seen)


def _of_object(value: Any, seen: Seen) -> Iterator[str]:
    yield from _parts(type(value), seen)
    inside = getattr(value, "__dict__", None)
    if (wrapped := getattr(value, "__wrapped__", None)) is not None:
        yield from _parts(wrapped, seen)  # of a cache, a decorator
    if isinstance(inside, dict) and not _is_own(type(value)):  # what is pickled by name hides its code
        yield from _of_each([part for part in inside.values() if isinstance(part, FunctionType | type)], seen)
    if hasattr(value, "detach") and hasattr(value, "numpy"):  # a tensor, whose pickle is another each time
        yield str(joblib.hash(value.detach().cpu().numpy()))
    elif isinstance(inside, dict) and _is_own(type(value)):
        yield from _parts(inside, seen)
    else:
        try:
            yield str(joblib.hash(value))
        except Exception:  # noqa: BLE001 - whatever an object raises when it is pickled
            if isinstance(
                inside, dict
            ):  # of a lock and its like, the type alone: its `repr` is another in each process
                yield from _parts(inside, seen)


def _is_own(kind: type) -> bool:
    """Say whether a class is the user's, or one that holds tensors: its attributes are read, and not its pickle."""
    tensors = any(base.__module__.partition(".")[0] == "torch" for base in kind.__mro__)
    return tensors or not _is_installed(_file(getattr(sys.modules.get(kind.__module__), "__file__", None)))


OF_EVERY_CLASS = {
    "__module__",
    "__qualname__",
    "__doc__",
    "__dict__",
    "__weakref__",
    "__firstlineno__",
    "__annotations__",
}
OF_LAYOUT = (GetSetDescriptorType, MemberDescriptorType)

KINDS: tuple[tuple[type, Any], ...] = (
    (CodeType, _of_code),
    (FunctionType, _of_function),
    (functools.partial, _of_partial),
    (MethodType, _of_method),
    (ModuleType, _of_module),
    (type, _of_class),
    (BuiltinFunctionType, _of_builtin),
    (property, _of_property),
    (staticmethod, _of_wrapper),
    (classmethod, _of_wrapper),
    (functools.cached_property, _of_cached),
)


def _of_place(module: str, file: str | None, seen: Seen) -> Iterator[str]:
    """Yield the version of an installed module's package; of another, its file and what that imports."""
    path = _file(file)
    if path is None or _is_installed(path) or module.partition(".")[0] == "unseen":
        yield _version(module)
    elif path not in seen:
        seen[path] = path
        content = path.read_bytes()
        yield f"{module} {blake2b(content, digest_size=16).hexdigest()}"
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        for name in sorted(_imports(content, package)):
            if name.partition(".")[0] not in sys.stdlib_module_names:
                yield from _of_place(name, _found(name, path.parent), seen)


@functools.lru_cache(maxsize=256)
def _imports(content: bytes, package: str) -> set[str]:
    """Return the absolute names of the modules that a file's code imports, anywhere in it."""
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):
        return set()
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            whole = ".".join([*base, *([node.module] if node.module else [])])
            names |= {whole} | {f"{whole}.{alias.name}" for alias in node.names}
    return names - {""}


def _found(name: str, beside: Path) -> str | None:
    """Return the file of a module: that already imported, one beside the file that imports it, or a package's."""
    if (loaded := getattr(sys.modules.get(name), "__file__", None)) is not None:
        return str(loaded)
    near = beside.joinpath(*name.split("."))
    for path in (near.with_suffix(".py"), near / "__init__.py"):
        if path.is_file():
            return str(path)
    return None


def _file(name: str | None) -> Path | None:
    path = None if name is None else Path(name)
    return path if path is not None and path.suffix == ".py" and path.is_file() else None


def _is_installed(path: Path | None) -> bool:
    return path is not None and any(path.is_relative_to(place) for place in INSTALLED)


@functools.cache
def _distributions() -> dict[str, list[str]]:
    return dict(packages_distributions())


def _version(module: str) -> str:
    """Return the version of a module's package, or that it has none."""
    package = module.partition(".")[0]
    if package in sys.stdlib_module_names:
        return package
    try:
        return " ".join(f"{name} {version(name)}" for name in sorted(set(_distributions()[package])))
    except (KeyError, PackageNotFoundError):
        return f"{package} without a version"
