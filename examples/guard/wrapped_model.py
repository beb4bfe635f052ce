"""Put a guard's policy around a model of this process, and audit the model alone and behind the policy.

No server runs here: `wrap` keeps budgets, controls and the audit log of a guard around `predict` and `predict_proba`.
What an audit through a served guard shows is in docs/endpoints.md.
"""

import secrets
from pathlib import Path
from typing import Any

from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split

import unseen
from unseen.guard import wrap

ATTACKS = ["loss", "confidence", "gap", "noise-robustness"]  # two of scores; two that see labels alone
POLICY: dict[str, Any] = {
    "guard": {"state": "guard-state", "secret": "file:guard.secret"},  # budgets and the log; one secret for all runs
    "upstream": {"url": "http://127.0.0.1:5001"},  # not asked: the model is in this process
    "routes": [{"protocol": "mlflow", "answers": "probabilities"}],
    "tiers": {
        "partner": {"budget": {"lifetime": 100_000}, "controls": [{"name": "top-k", "k": 1}]},
        "public": {"budget": {"lifetime": 100_000}, "controls": [{"name": "label-only"}]},
    },
}


def main() -> None:
    """Train on 797 images of digits, hold out 1,000; the same attacks, seed and records each time."""
    secret = Path("guard.secret")
    if not secret.exists():
        secret.touch(mode=0o600)
        secret.write_text(secrets.token_hex(32))
    images, digits = load_digits(return_X_y=True)
    X_in, X_out, y_in, y_out = train_test_split(images, digits, test_size=1000, random_state=0)

    def audit(model: Any, name: str) -> None:
        outcome = unseen.audit(model, (X_in, y_in), (X_out, y_out), references=0, attacks=ATTACKS)
        for attack in ATTACKS:
            auc = next(e for e in outcome.estimates if e.attack == attack and e.quantity == "auc" and not e.slice)
            print(f"{name:8} {attack:17} {auc}")

    model = RandomForestClassifier(50, random_state=0).fit(X_in, y_in)
    audit(model, "alone")
    for tier in POLICY["tiers"]:
        guarded = wrap(model, POLICY, tier=tier)
        audit(guarded, tier)
        guarded.close()


if __name__ == "__main__":
    main()
