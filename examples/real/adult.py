"""Adult, the 1994 US census, with a random forest: 48,842 people, one record each.

    python examples/real/adult.py

The table ships with unseen (UCI, CC BY 4.0). Of the rows that stand there once, 14,495 train
scikit-learn's default random forest.
"""

import time

import numpy as np
import polars as pl
from kept import HOME, keep
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

import unseen

if __name__ == "__main__":
    started = time.monotonic()
    table = (
        unseen.data.adult().drop("fnlwgt").with_row_index("id").with_columns(pl.format("adult-{}", "id").alias("id"))
    )
    features = [name for name in table.columns if name not in {"id", unseen.data.LABEL}]
    table = table.unique(subset=[*features, unseen.data.LABEL], keep="none", maintain_order=True)
    order = np.random.default_rng(0).permutation(table.height)
    parts = [table[rows] for rows in np.array_split(order, [table.height // 2, table.height // 2 + 5000])]
    out, population, inside = parts[0], parts[1], parts[2]

    def records(part: pl.DataFrame) -> unseen.Records:
        """Return the records of a part of the table."""
        return unseen.Records(part.select(features), part[unseen.data.LABEL].to_numpy(), part["id"].to_numpy())

    words = [name for name in features if table[name].dtype == pl.String]
    encode = ColumnTransformer([("words", OneHotEncoder(handle_unknown="ignore"), words)], remainder="passthrough")
    model = Pipeline([("encode", encode), ("forest", RandomForestClassifier(random_state=0))])
    model.fit(inside.select(features), inside[unseen.data.LABEL].to_numpy())
    context = unseen.Context(
        prior=0.1,
        domain="census",
        reveals="that a person was asked by the 1994 census, and lived in a household of the sample",
        harm="little by itself",
        severity="low",
        sensitive=("race", "sex"),
        access="api",
        identifiers_removed=True,
    )
    outcome = unseen.audit(
        model, records(inside), records(out), records(population), references=16, context=context, seed=0,
        folder=HOME / "runs" / "adult",
    )  # fmt: skip
    keep("adult", outcome, started)
