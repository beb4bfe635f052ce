"""Audit a scikit-learn model of your own, before and after a remedy, against a limit that you set."""

from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split

import unseen


def main() -> None:
    """Train on 797 images of digits, hold out 1,000, audit two forests."""
    images, digits = load_digits(return_X_y=True)
    X_in, X_out, y_in, y_out = train_test_split(images, digits, test_size=1000, random_state=0)
    policy = unseen.Policy(limits=(unseen.Limit("auc", at_most=0.6), unseen.Limit("tpr", at_most=0.05, fpr=0.01)))
    for leaf in (1, 10):
        model = RandomForestClassifier(min_samples_leaf=leaf, random_state=0).fit(X_in, y_in)
        outcome = unseen.audit(model, (X_in, y_in), (X_out, y_out), references=4, policy=policy)
        facts = outcome.report.target
        print(f"leaves of {leaf} or more, accuracy {facts.non_member_accuracy:.3f} on others")
        print(outcome, end="\n\n")


if __name__ == "__main__":
    main()
