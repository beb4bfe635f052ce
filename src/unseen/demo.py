"""The demonstration: a model that people really train, on census records that ship with the package."""

import io
from pathlib import Path

import numpy as np
import polars as pl
import skops.io
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from unseen.data import LABEL, adult
from unseen.disk import write_whole
from unseen.errors import FolderError
from unseen.options import Progress, quiet
from unseen.outcome import Outcome
from unseen.planned import audit_plan

SIZES = {"members": 5_000, "non_members": 10_000, "population": 5_000}
WEIGHT = "fnlwgt"  # the census's sampling weight, not a feature of the person
PLAN = """\
# The demonstration's plan: `unseen audit plan.toml` runs it again and uses the references that are kept.
seed = 0
folder = "run"

[target]
model = "model.skops"           # a scikit-learn random forest with default settings, on one-hot columns

[data]
members = "members.parquet"           # the 5,000 census records that it was trained on
non_members = "non_members.parquet"   # 10,000 others
population = "population.parquet"     # 5,000 more that an attacker may know
label = "income-per-year"
id = "id"

[slices]
columns = ["sex", "race"]
"""


def demo(folder: str | Path, progress: Progress = quiet) -> Outcome:
    """Train scikit-learn's default random forest on 5,000 Adult records, audit it, and leave everything in `folder`."""
    home = Path(folder)
    if home.exists() and not (home / "plan.toml").exists() and any(home.iterdir()):
        raise FolderError(f"{home} exists and does not hold a demonstration; name another folder with --out.")
    parts = census_parts()
    for name, table in parts.items():
        write_whole(home / f"{name}.parquet", _parquet(table))
    write_whole(home / "model.skops", skops.io.dumps(train(parts["members"])))
    write_whole(home / "plan.toml", PLAN.encode())
    return audit_plan(home / "plan.toml", progress=progress)


def census_parts() -> dict[str, pl.DataFrame]:
    """Return members, non-members and population: distinct Adult records in a seeded order, each with an id."""
    table = adult().drop(WEIGHT).with_row_index("id").with_columns(pl.format("adult-{}", "id").alias("id"))
    table = table.unique(subset=[name for name in table.columns if name != "id"], keep="none", maintain_order=True)
    order = np.random.default_rng(0).permutation(table.height)
    edges = np.cumsum([0, *SIZES.values()])
    return {name: table[order[edges[i] : edges[i + 1]]] for i, name in enumerate(SIZES)}


def train(members: pl.DataFrame) -> Pipeline:
    """Return scikit-learn's default random forest, fitted on the members."""
    features = members.drop("id", LABEL)
    words = [name for name in features.columns if features[name].dtype == pl.String]
    encode = ColumnTransformer(
        [("words", OneHotEncoder(handle_unknown="ignore"), words)], remainder="passthrough", sparse_threshold=0.0
    )
    model = Pipeline([("encode", encode), ("forest", RandomForestClassifier(random_state=0))])
    return model.fit(features, members[LABEL].to_numpy().astype(str))


def _parquet(table: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.write_parquet(buffer)
    return buffer.getvalue()
