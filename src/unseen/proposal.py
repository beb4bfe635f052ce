"""A plan proposed by looking at files: what `unseen init` writes."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
from jinja2 import Environment, PackageLoader, StrictUndefined

from unseen.disk import write_whole
from unseen.errors import DataError, FolderError, ModelError, PlanError, did_you_mean
from unseen.features.files import present, read_table
from unseen.sensitive import suggest
from unseen.targets.files import WEIGHTS, load_model, unknown_types

ID_NAMES = ("id", "record_id", "row_id", "uuid")
GROUP_NAMES = ("person", "patient", "user", "subject", "member_id", "person_id", "patient_id", "user_id", "customer_id")
MOST_CLASSES = 100
LABEL_NAMES = ("label", "target", "y", "class", "outcome")


def propose(  # noqa: PLR0913 - one file or column each
    model: Path | None,
    members: Path,
    non_members: Path,
    population: Path | None = None,
    *,
    url: str | None = None,
    protocol: str | None = None,
    label: str | None = None,
    group: str | None = None,
    id: str | None = None,  # noqa: A002
    relative_to: Path | None = None,
    trust: bool = False,
) -> str:
    """Return a commented plan (TOML) for these files; what it could not tell it says in a comment.

    With a `url` the plan asks that endpoint in its `protocol`; a model then says how models like it are trained.
    The label column is the one given, else one whose values are the model's classes, else one named like a label. A
    pickled model is only looked into with `trust`.
    """
    tables = [read_table(members, "members"), read_table(non_members, "non_members")]
    if population is not None:
        tables.append(read_table(population, "population"))
    columns = tables[0].columns
    for given in (label, group, id):
        if given is not None and given not in columns:
            raise DataError(f"{members.name} has no column {given!r}{did_you_mean(given, columns) or '.'}")
    if (model is None and url is None) or (url is None) != (protocol is None):
        raise PlanError("name a model (--model), or an endpoint and what it speaks (--url and --protocol).")
    fitted = None if model is None else _model(model, trust=trust)
    found = label or find_label(tables[0], fitted, opened=fitted is not None or model is None)
    home = (relative_to or Path.cwd()).resolve()
    keep = {found, group or _named(columns, GROUP_NAMES), id or _named(columns, ID_NAMES, tables)}
    return _template().render(
        model=None if model is None else _text(model, home),
        url=url,
        protocol=protocol,
        classes=_classes([table[found] for table in tables]),
        pickled=model is not None and model.suffix.lower() != ".skops",
        trust=trust,
        members=_text(members, home),
        non_members=_text(non_members, home),
        population=None if population is None else _text(population, home),
        label=found,
        group=group or _named(columns, GROUP_NAMES),
        id=id or _named(columns, ID_NAMES, tables),
        counts=[table.height for table in tables],
        drop=_unknown_to(fitted, columns, keep),
        repeats=_may_be_persons(_unknown_to(fitted, columns, keep), tables[0], keep),
        unknown=unknown_types(model) if model is not None and model.suffix.lower() == ".skops" else [],
        columns=_sliceable(tables[0], keep),
        sensitive=_sensitive(tables[0], {*keep, *_unknown_to(fitted, columns, keep)}),
        lowest=_lowest_rate(tables[1].height),
    )


def find_label(table: pl.DataFrame, model: Any, *, opened: bool = True) -> str:
    """Return the label column of `table`, or raise `DataError` that asks for it."""
    classes = {str(label) for label in getattr(model, "classes_", [])}
    if classes:
        unknown = set(getattr(model, "feature_names_in_", []))
        fits = [name for name in table.columns if name not in unknown and _values(table[name]) <= classes]
        if len(fits) == 1:
            return fits[0]
    if (named := _named(table.columns, LABEL_NAMES)) is not None:
        return named
    closed = "" if opened else " The model could not be opened to tell: its file holds types that need trust."
    raise DataError(f"which of the {table.width} columns is the label? Say --label NAME.{closed}")


def _values(column: pl.Series) -> set[str]:
    return {str(value) for value in column.unique().to_list()}


def _classes(columns: Sequence[pl.Series]) -> list[Any]:
    """Return the values of a label column in their order, or none where it looks like a regression's."""
    values = pl.concat([column.drop_nulls() for column in columns], how="vertical").unique().sort()
    few = values.dtype in {pl.String, pl.Boolean} or values.dtype.is_integer()
    return values.to_list() if few and values.len() <= MOST_CLASSES else []


def _model(path: Path, *, trust: bool) -> Any:
    """Return the model, or None where looking into it takes a trust that was not given; the plan's comment says so."""
    present(path, "model")
    if path.suffix.lower() in WEIGHTS:
        raise ModelError(
            f"{path.name} holds weights alone, and a plan for a PyTorch module also says what module they belong to "
            "and how it is trained: write it after the example in docs/engines.md."
        )
    if path.suffix.lower() == ".skops":
        return None if unknown_types(path) else load_model(path)
    return load_model(path, trust=True) if trust else None


def _may_be_persons(columns: Sequence[str], table: pl.DataFrame, keep: set[str | None]) -> str | None:
    """Return a column that looks like an identifier and repeats, which may name persons."""
    for name in columns:
        if name not in keep and "id" in name.lower() and 1 < table[name].n_unique() < table.height:
            return name
    return None


def _named(columns: Sequence[str], names: Sequence[str], tables: Sequence[pl.DataFrame] = ()) -> str | None:
    """Return the column with one of the names; as an id it must name each row once."""
    for column in columns:
        if column.lower() in names and all(table[column].n_unique() == table.height for table in tables):
            return column
    return None


def _unknown_to(model: Any, columns: Sequence[str], keep: set[str | None]) -> list[str]:
    known = getattr(model, "feature_names_in_", None)
    return [] if known is None else [name for name in columns if name not in set(known) and name not in keep]


def _sliceable(table: pl.DataFrame, keep: set[str | None]) -> list[str]:
    return [
        name
        for name in table.columns
        if name not in keep
        and table[name].dtype in {pl.String, pl.Boolean, pl.Categorical}
        and table[name].n_unique() <= 8
    ][:4]


def _sensitive(table: pl.DataFrame, keep: set[str | None]) -> list[str]:
    """Return the feature columns that look sensitive by their names or values."""
    features = table.select([name for name in table.columns if name not in keep])
    return [one.column for one in suggest(features)]


def _lowest_rate(non_members: int) -> float | None:
    return next((fpr for fpr in (0.001, 0.01, 0.1) if fpr * non_members >= 10), None)


def _text(path: Path, home: Path) -> str:
    resolved = path.resolve()
    return str(resolved.relative_to(home) if resolved.is_relative_to(home) else resolved)


def _template() -> Any:
    environment = Environment(
        loader=PackageLoader("unseen", "renderers/templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - TOML, with every value through `toml`
    )
    environment.filters["toml"] = _toml
    return environment.get_template("plan.toml.jinja")


def _toml(value: Any) -> str:
    """Return a string, a number, a truth value or a list of them as TOML."""
    if isinstance(value, str | int | float):
        return json.dumps(value, ensure_ascii=False)  # a JSON string is a TOML basic string
    return f"[{', '.join(map(_toml, value))}]"


def write_new(path: Path, text: str) -> None:
    """Write `text` to `path`, which must not exist yet."""
    if path.exists():
        raise FolderError(f"{path} exists and is not overwritten; name another file with --out.")
    write_whole(path, text.encode())
