"""Audit a model of any framework by its answers: here, ridge regression on one-hot labels in four lines of NumPy."""

import numpy as np
from numpy.typing import NDArray

import unseen

RECORDS, COLUMNS, CLASSES, REFERENCES = 4000, 300, 3, 8


def trained(features: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the weights `(columns, classes)` that fit one-hot labels best."""
    square = features.T @ features + 10 * np.eye(features.shape[1])
    return np.linalg.solve(square, features.T @ np.eye(CLASSES)[labels])


def main() -> None:
    """Make records, train a target and references on random halves, and audit their logits."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(RECORDS, COLUMNS))
    labels = (features[:, :CLASSES] + rng.normal(size=(RECORDS, CLASSES))).argmax(axis=1)
    member = rng.random(RECORDS) < 0.5
    ref_member = rng.random((REFERENCES, RECORDS)) < 0.5  # coins that never look at `member`

    def logits(rows: NDArray[np.bool_]) -> NDArray[np.float64]:
        return 5 * features @ trained(features[rows], labels[rows])

    answers = {
        "member": member,
        "label": labels,
        "logit": logits(member),
        "ref_member": ref_member,
        "ref_logit": np.stack([logits(rows) for rows in ref_member]),
    }
    outcome = unseen.audit_table(answers)
    print(outcome)
    outcome.save("arrays-only-run")
    print(outcome.records.select("id", "member", "rank-combined score", "rank-combined p").head(5))


if __name__ == "__main__":
    main()
