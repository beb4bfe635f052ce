"""Training: what one fit cannot tell is trained, what a recipe does wrong is told, an interrupted run ends the same."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.datasets import load_digits, make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

import unseen
from unseen.errors import PlanError, TargetFailed
from unseen.models import as_recipe
from unseen.options import Options
from unseen.policy import Policy
from unseen.records import as_records
from unseen.repeating import repeat

X, Y = make_classification(800, 6, n_informative=5, n_redundant=0, flip_y=0.3, random_state=0)
SIDES = (X[:300], Y[:300]), (X[300:600], Y[300:600])
QUICK = {"workers": 1, "attacks": ["learned", "loss"]}


def tree(features, labels, seed):
    return DecisionTreeClassifier(random_state=seed).fit(features, labels)


def notes_of(recipe, **more):
    return " ".join(
        unseen.audit(tree(*SIDES[0], 0), *SIDES, recipe=recipe, references=4, **(QUICK | more)).report.notes
    )


# --- what one fit cannot tell


def test_targets_of_a_procedure_are_models_of_their_own_though_free_references_were_asked_for():
    model = KNeighborsClassifier(3).fit(X, Y)
    given = {"targets": 2, "references": 4, "attacks": QUICK["attacks"], "workers": 1}
    free, trained = (unseen.audit_recipe(model, (X, Y), engine=engine, **given) for engine in ("free", "processes"))
    assert free.report.attacks == trained.report.attacks
    assert any("had for nothing: every target must be a model of its own" in note for note in free.report.notes)


def test_copies_of_images_are_asked_of_trained_references():
    images, digits = load_digits(return_X_y=True)
    sides = (images[:200], digits[:200]), (images[200:400], digits[200:400])
    model = KNeighborsClassifier(3).fit(*sides[0])
    given = {
        "references": 4,
        "image": (1, 8, 8),
        "attacks": ["moderated-t-augmented", "moderated-t-online"],
        "workers": 1,
    }
    free, trained = (unseen.audit(model, *sides, engine=engine, **given) for engine in ("free", "processes"))
    assert free.report.attacks == trained.report.attacks
    assert any("had for nothing: changed copies of records" in note for note in free.report.notes)


def test_free_references_in_a_cache_are_not_taken_for_trained_ones(tmp_path):
    model = KNeighborsClassifier(3).fit(*SIDES[0])
    given = {"references": 4, "cache": tmp_path} | QUICK
    unseen.audit(model, *SIDES, engine="free", **given)
    trained = unseen.audit(model, *SIDES, engine="processes", **given)
    assert trained.reused == 0
    assert (
        trained.report.attacks == unseen.audit(model, *SIDES, engine="processes", references=4, **QUICK).report.attacks
    )


@pytest.mark.parametrize("model", [KNeighborsClassifier(3), RandomForestClassifier(10, random_state=0)])
def test_free_references_are_no_targets_to_learn_from(model):
    attacks = ["learned", "learned-near", "rank-combined"]
    fitted = model.fit(*SIDES[0])
    free = unseen.audit(fitted, *SIDES, engine="free", references=4, attacks=attacks, workers=1).report
    assert free.recommended == "rank-combined"
    assert free.references.derived
    assert [one.state for one in free.attacks[:2]] == ["not_applicable"] * 2
    trained = unseen.audit(fitted, *SIDES, references=4, attacks=attacks, workers=1).report
    assert (trained.recommended, trained.references.derived) == ("learned", False)


# --- what a recipe does wrong


class Labels:
    """A model that names a class and nothing else."""

    def __init__(self, model):
        self.classes_, self.predict = model.classes_, model.predict


def test_references_that_give_less_than_the_target_are_failures_and_the_audit_does_not_pass():
    outcome = unseen.audit(
        DecisionTreeClassifier(max_depth=1).fit(*SIDES[0]),
        *SIDES,
        recipe=lambda features, labels, seed: Labels(tree(features, labels, seed)),
        references=4,
        **QUICK,
    )
    assert outcome.state == "inconclusive"
    (failure,) = outcome.report.references.failures
    assert failure.startswith("signals: the recipe's model gives neither probabilities nor decision scores")


def test_what_a_recipe_returned_wrongly_is_said_in_words():
    def nothing(features, labels, seed):
        return None

    outcome = unseen.audit(tree(*SIDES[0], 0), *SIDES, recipe=nothing, references=4, **QUICK)
    (failure,) = outcome.report.references.failures
    assert failure.startswith("fit: ")
    assert failure.endswith("returned nothing; it must return the trained model.")


def test_a_recipe_that_repeats_itself_and_learns_is_told_nothing_of():
    assert "recipe" not in notes_of(tree)
    assert "learned" not in notes_of(tree)


def test_trees_without_a_seed_do_not_repeat_themselves():
    def unseeded(features, labels, seed):
        return DecisionTreeClassifier(splitter="random", max_features=2).fit(features, labels)

    assert "not deterministic under its own seed" in notes_of(unseeded)


class Careless(DecisionTreeClassifier):
    """Sets its own seed."""

    def fit(self, features, labels, sample_weight=None, check_input=True):
        self.random_state = int(np.random.default_rng().integers(2**31))
        self.splitter, self.max_features = "random", 2
        return super().fit(features, labels)


def test_an_estimator_of_ones_own_that_ignores_its_seed_is_found_out():
    outcome = unseen.audit(Careless().fit(*SIDES[0]), *SIDES, references=4, **QUICK)
    assert "not deterministic under its own seed" in " ".join(outcome.report.notes)


def test_a_model_that_was_not_trained_is_told_though_it_answers_everybody_differently():
    def untrained(features, labels, seed):
        rng = np.random.default_rng(seed)
        return tree(features, rng.permutation(labels), seed) if seed < 0 else Guess(rng.normal(size=features.shape[1]))

    assert "learned nothing or little" in notes_of(untrained)


def test_a_model_that_is_sure_of_its_few_mistakes_has_learned():
    class Sure:
        """A tree of a few leaves that gives all to the class it names."""

        def __init__(self, model):
            self.classes_, self.predict = model.classes_, model.predict

        def predict_proba(self, features):
            return np.eye(2)[self.predict(features)]

    def train(features, labels, seed):
        return Sure(DecisionTreeClassifier(max_depth=4, random_state=seed).fit(features, labels))

    outcome = unseen.audit(train(*SIDES[0], 0), *SIDES, recipe=train, references=4, **QUICK)
    assert "learned" not in " ".join(outcome.report.notes)


class Guess:
    """A logistic model with random weights."""

    classes_ = np.array([0, 1])

    def __init__(self, weight):
        self.weight = weight

    def predict_proba(self, features):
        chance = 1 / (1 + np.exp(-np.asarray(features) @ self.weight))
        return np.column_stack([1 - chance, chance])

    def predict(self, features):
        return self.predict_proba(features).argmax(axis=1)


def test_what_looks_like_a_mistake_in_the_target_is_said():
    guess = Guess(np.random.default_rng(3).normal(size=6))
    wrong = guess if (guess.predict(X) == Y).mean() < 0.5 else Guess(-guess.weight)
    notes = unseen.audit(wrong.predict_proba, *SIDES, classes=[0, 1], references=0, attacks=["loss"]).report.notes
    assert any("was this model trained on them?" in note for note in notes)
    right = unseen.audit(tree(*SIDES[0], 0), *SIDES, references=0, attacks=["loss"]).report.notes
    assert not any("was this model trained on them?" in note for note in right)
    values = DecisionTreeRegressor(max_depth=3).fit(*SIDES[0])
    notes = unseen.audit(values, *SIDES, references=0, attacks=["loss"]).report.notes
    assert any("audited as a regression" in note for note in notes)


def test_the_classes_of_a_recipe_are_those_of_a_module_of_ones_own():
    torch = pytest.importorskip("torch")

    def network():
        return torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))

    recipe = unseen.TorchRecipe(network, classes=[0, 1], epochs=2)
    data = [(side[0].astype(np.float32), side[1]) for side in SIDES]
    outcome = unseen.audit(network(), *data, recipe=recipe, references=2, attacks=["loss"], workers=1)
    assert outcome.report.target.classes == 2


def test_why_references_failed_is_among_the_reasons():
    def raising(features, labels, seed):
        raise FloatingPointError

    flat = Guess(np.full(6, 1e-9)).predict_proba
    outcome = unseen.audit(flat, *SIDES, classes=[0, 1], recipe=raising, references=4, **QUICK)
    assert "only 0 of 4 references could be trained (4 x fit: FloatingPointError)" in " ".join(outcome.report.reasons)
    assert any("lower the learning rate" in note for note in outcome.report.notes)


LOG = []


def writing(features, labels, seed):
    LOG.append(seed)
    return tree(features, labels, seed)


def test_a_recipe_that_writes_to_a_global_ends_its_audit_and_is_told(tmp_path):
    repeated = unseen.audit_recipe(
        writing, (X, Y), targets=2, references=3, folder=tmp_path / "run", attacks=QUICK["attacks"]
    )
    repeated.save(tmp_path / "run")
    assert any("writes to something that its code names" in note for note in repeated.report.notes)


def test_a_procedure_that_cannot_be_trained_is_one_sentence_and_one_bad_target_is_counted():
    def raising(features, labels, seed):
        raise LookupError("Rumpelstilzchen")

    with pytest.raises(TargetFailed, match="none of the first 4 models could be trained: LookupError") as caught:
        unseen.audit_recipe(raising, (X, Y), targets=2, references=4, attacks=QUICK["attacks"])
    assert "Rumpelstilzchen" not in str(caught.value)
    first = []

    def once(features, labels, seed):
        first.append(seed)
        if seed == first[0]:
            raise FloatingPointError
        return tree(features, labels, seed)

    report = unseen.audit_recipe(once, (X, Y), targets=4, references=4, workers=1, attacks=QUICK["attacks"]).report
    assert report.targets == 3
    assert report.failures == {"fit: FloatingPointError": 1}


@pytest.mark.parametrize("more", [{"adaptive": True}, {"seconds": 60.0}])
def test_a_procedure_is_not_audited_adaptively_or_by_the_clock(more):
    options = Options(references=3, policy=Policy(), recipe=as_recipe(tree, None))
    with pytest.raises(PlanError, match="adaptive and max_time are for the audit of one model"):
        repeat(as_records((X, Y), "records"), 2, replace(options, **more))


# --- what was interrupted


def test_a_run_of_stacks_that_lost_references_ends_with_the_same_numbers_and_notes(tmp_path):
    torch = pytest.importorskip("torch")

    def network():
        return torch.nn.Sequential(
            torch.nn.Linear(6, 16), torch.nn.BatchNorm1d(16), torch.nn.ReLU(), torch.nn.Linear(16, 2)
        )

    recipe = unseen.TorchRecipe(network, classes=[0, 1], epochs=6, batch_size=300)
    data = [(side[0].astype(np.float32), side[1]) for side in SIDES]
    model = recipe.refit(*data[0], 0)
    given = {"recipe": recipe, "references": 8, "engine": "stacked", "folder": tmp_path} | QUICK
    whole = unseen.audit(model, *data, **given)
    kept = sorted(tmp_path.rglob("reference-*"))
    for file in kept[::3]:
        file.unlink()
    again = unseen.audit(model, *data, **given)
    assert again.reused == 8 - len(kept[::3])
    assert again.records.equals(whole.records)
    assert again.report.notes == whole.report.notes
    assert any("fewer records than a batch" in note for note in whole.report.notes)


def test_the_report_has_a_digest_of_what_trained_its_references():
    model = tree(*SIDES[0], 0)
    with_them, without = (unseen.audit(model, *SIDES, references=count, recipe=tree, **QUICK) for count in (2, 0))
    assert with_them.report.provenance.recipe_digest == as_recipe(tree, model.classes_).fingerprint()
    assert without.report.provenance.recipe_digest == ""
