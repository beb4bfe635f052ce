"""Run one attack of another tool on one subject and print one JSON line.

    python peer_attacks.py digits forest sacroml-lira-offline

Needs the tools' own environment: sacroml 2.0.1 and adversarial-robustness-toolbox 1.20.1, with a CPU torch.
"""

import contextlib
import json
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import numpy as np
from subjects import Array, Subject, judge, subject, timed

SHADOWS, REPETITIONS, ART_SHADOWS = 100, 10, 3


def sacroml_lira(who: Subject, mode: str) -> dict[str, Any]:
    """Run sacroml's LiRA as shipped, report included, and judge the scores that it hands to its own metrics."""
    from sacroml.attacks.likelihood_attack import LIRAAttack
    from sacroml.attacks.target import Target

    class Kept(LIRAAttack):
        """The attack, with its per-record scores kept for us; nothing else changes."""

        def _save_attack_metrics(self, mia_scores: Any, *rest: Any) -> None:
            self.kept = np.array(mia_scores)[:, 1]
            super()._save_attack_metrics(mia_scores, *rest)

    (x, y), (x_out, y_out) = who.members, who.non_members
    with tempfile.TemporaryDirectory() as folder:
        target = Target(model=who.model, X_train=x, y_train=y, X_test=x_out, y_test=y_out)
        attack = Kept(output_dir=folder, n_shadow_models=SHADOWS, mode=mode)
        _, times = timed(lambda: attack.attack(target))
    own = {"own_auc": float(attack.attack_metrics[0]["AUC"])}
    return times | own | _judged(attack.kept, _labels(y.size, y_out.size))


def sacroml_worst_case(who: Subject) -> dict[str, Any]:
    """Run sacroml's WorstCase as shipped; each repetition scores a fifth of the records, so judge each and average."""
    from sacroml.attacks.target import Target
    from sacroml.attacks.worst_case_attack import WorstCaseAttack

    (x, y), (x_out, y_out) = who.members, who.non_members
    with tempfile.TemporaryDirectory() as folder:
        target = Target(model=who.model, X_train=x, y_train=y, X_test=x_out, y_test=y_out)
        attack = WorstCaseAttack(output_dir=folder, n_reps=REPETITIONS, report_individual=True)
        _, times = timed(lambda: attack.attack(target))
    parts = [metrics["individual"] for metrics in attack.attack_metrics]
    judged = [_judged(np.asarray(part["member_prob"]), np.asarray(part["member"]) == 1) for part in parts]
    own = {"own_auc": float(np.mean([metrics["AUC"] for metrics in attack.attack_metrics]))}
    means = {key: float(np.mean([part[key] for part in judged])) for key in judged[0]}
    return times | own | means | {"note": f"mean over {REPETITIONS} repetitions, each on a fifth of the records"}


def art_black_box(who: Subject) -> dict[str, Any]:
    """Run ART's learned attack: trained on a random half of members and non-members, scored on the other half."""
    from art.attacks.inference.membership_inference import MembershipInferenceBlackBox
    from art.estimators.classification import SklearnClassifier

    known, audited = _halves(who)

    def attack() -> Array:
        learned = MembershipInferenceBlackBox(SklearnClassifier(model=who.model), attack_model_type="rf")
        learned.fit(*known.members, *known.non_members)
        return _infer(learned, audited)

    scores, times = timed(attack)
    return (
        times
        | _judged(scores, _labels(audited.members[1].size, audited.non_members[1].size))
        | {"note": "attack model trained on half of the true members"}
    )


def art_shadow(who: Subject) -> dict[str, Any]:
    """Run ART's learned attack on shadow models, trained on a random half of all records; scored on the other half."""
    from art.attacks.inference.membership_inference import MembershipInferenceBlackBox, ShadowModels
    from art.estimators.classification import SklearnClassifier

    pool, audited = _halves(who)
    x, y = (np.concatenate(pair) for pair in zip(pool.members, pool.non_members, strict=True))

    def attack() -> Array:
        target = SklearnClassifier(model=who.model)
        shadows = ShadowModels(target, num_shadow_models=ART_SHADOWS, random_state=0)
        (x_in, y_in, p_in), (x_out, y_out, p_out) = shadows.generate_shadow_dataset(x, np.eye(y.max() + 1)[y])
        learned = MembershipInferenceBlackBox(target, attack_model_type="rf")
        learned.fit(x_in, y_in, x_out, y_out, p_in, p_out)
        return _infer(learned, audited)

    scores, times = timed(attack)
    return (
        times
        | _judged(scores, _labels(audited.members[1].size, audited.non_members[1].size))
        | {"note": "shadow models trained on half of all records"}
    )


def _infer(learned: Any, audited: Subject) -> Array:
    x, y = (np.concatenate(pair) for pair in zip(audited.members, audited.non_members, strict=True))
    return np.asarray(learned.infer(x, y, probabilities=True))


def _halves(who: Subject) -> tuple[Subject, Subject]:
    """Split members and non-members at random into what the attacker may learn from and what is audited."""
    rng = np.random.default_rng(1)
    (x, y), (x_out, y_out) = who.members, who.non_members
    a, b = np.array_split(rng.permutation(y.size), 2)
    c, d = np.array_split(rng.permutation(y_out.size), 2)
    first = Subject(who.model, (x[a], y[a]), (x_out[c], y_out[c]))
    return first, Subject(who.model, (x[b], y[b]), (x_out[d], y_out[d]))


def _labels(members: int, non_members: int) -> Array:
    return np.repeat([True, False], [members, non_members])


def _judged(scores: Array, member: Array) -> dict[str, float]:
    """AUC and TPR by our step convention, the count of non-members scored, and how many scores are distinct."""
    scores = np.asarray(scores, dtype=np.float64)
    scores = scores[:, -1] if scores.ndim == 2 else scores
    counts = {"non_members": int((~member).sum()), "distinct": int(np.unique(scores).size)}
    return judge(scores, member) | counts


ATTACKS: dict[str, tuple[str, Callable[[Subject], dict[str, Any]]]] = {
    "sacroml-lira-offline": ("sacroml", lambda who: sacroml_lira(who, "offline")),
    "sacroml-lira-online": ("sacroml", lambda who: sacroml_lira(who, "online-carlini")),
    "sacroml-worst-case": ("sacroml", sacroml_worst_case),
    "art-black-box": ("adversarial-robustness-toolbox", art_black_box),
    "art-shadow": ("adversarial-robustness-toolbox", art_shadow),
}


def main() -> None:
    """Fit the subject, attack it, and print what was found; the tool's own chatter goes to standard error."""
    data, model, name = sys.argv[1:]
    tool, attack = ATTACKS[name]
    with contextlib.redirect_stdout(sys.stderr):
        found = attack(subject(data, model))
    versions = {package: version(package) for package in (tool, "scikit-learn", "numpy")}
    print(json.dumps({"attack": name, "data": data, "model": model, "versions": versions} | found))


if __name__ == "__main__":
    main()
