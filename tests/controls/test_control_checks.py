"""A million rows keep every promise of every control, and each broken specimen fails the check made for it."""

from dataclasses import replace

import numpy as np
import pytest

from unseen.control import Control
from unseen.controls import CONTROLS, find
from unseen.controls.allowed_parameters import ALLOWED_PARAMETERS
from unseen.controls.label_only import LABEL_ONLY
from unseen.controls.value_rounding import VALUE_ROUNDING
from unseen.testing import checks as of_attacks
from unseen.testing.control_checks import PROMISES, answered, check_control
from unseen.testing.promise import BrokenPromise

KEY = b"a key of sixteen or more bytes"
REQUIRED = {"top-k": {"k": 1}, "value-rounding": {"step": 0.1}}
OTHERS = [
    ("rounding", {"decimals": 1}),
    ("rounding", {"decimals": 4}),
    ("top-k", {"k": 3}),
    ("clip-confidence", {"at_most": 0.3}),
    ("clip-confidence", {"at_most": 0.999}),
    ("keyed-noise", {"scale": 1.0}),
    ("value-rounding", {"step": 7.0}),
    ("no-logprobs", {"strict": False}),
    ("cap-logprobs", {"alternatives": 0, "decimals": 2, "floor": -0.25}),
    ("allowed-parameters", {"otherwise": "strip"}),
]


def keyed(control, **settings):
    return control.with_settings(key=KEY if control.keyed else None, **settings)


@pytest.mark.slow
@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.name)
def test_a_million_rows_keep_every_promise(control):
    check_control(keyed(control, **REQUIRED.get(control.name, {})), rows=1_000_000)


@pytest.mark.parametrize(("name", "settings"), OTHERS)
def test_other_settings_keep_every_promise(name, settings):
    check_control(keyed(find(name), **settings), rows=4000)


def sharpener(probabilities):
    return probabilities**2 / (probabilities**2).sum(axis=1, keepdims=True)


def fresh_noise(probabilities):
    pull = np.random.default_rng().random((len(probabilities), 1))  # drawn anew for each call: the fault
    return probabilities + pull * (1 / probabilities.shape[1] - probabilities)


def batch_normaliser(probabilities):
    pull = probabilities.max(initial=0) / 2
    return probabilities + pull * (1 / probabilities.shape[1] - probabilities)


def order_breaker(probabilities):
    answer = np.full_like(probabilities, 0)
    top = probabilities.argmax(axis=1) if probabilities.size else []
    answer[np.arange(len(probabilities)), top] = 0.5 if probabilities.shape[1] > 2 else probabilities.max(axis=1)
    answer[:, 0] += 1 - answer.sum(axis=1)
    return np.minimum(answer, 1)


def label_changer(probabilities):
    return probabilities[:, ::-1]


def unfinished(probabilities):
    return np.round(probabilities, 2)


def input_changer(probabilities):
    probabilities += 0.1 * (1 / probabilities.shape[1] - probabilities)
    return probabilities


def confider(probabilities):
    return probabilities


def last_marker(row):
    return [0.0] * (len(row) - 1) + [1.0]


def counter(values, step):
    return values[:1]


def chatterbox(answer, allow, otherwise):
    return {**answer, "log": len(answer)}


def of_probabilities(function, **declared):
    return replace(
        LABEL_ONLY, harden=function, **({"reads": "probabilities", "sharper": ""} | declared)
    ).with_settings()


CAUGHT_BY = {
    "never_sharper": of_probabilities(sharpener),
    "repeats_itself": of_probabilities(fresh_noise),
    "hardens_each_record_by_itself": of_probabilities(batch_normaliser),
    "keeps_the_order": of_probabilities(order_breaker, reads="argmax", sharper="a mark", keeps=("order",)),
    "keeps_the_label": of_probabilities(label_changer),
    "gives_valid_distributions": of_probabilities(unfinished),
    "leaves_its_input_alone": of_probabilities(input_changer),
    "reads_what_it_declares": of_probabilities(confider, reads="argmax", sharper="a mark"),
    "a_row_alone_is_the_same": replace(LABEL_ONLY, row=last_marker).with_settings(),
    "gives_numbers_in_place": replace(VALUE_ROUNDING, harden=counter).with_settings(step=1.0),
    "adds_nothing_to_text": replace(ALLOWED_PARAMETERS, harden=chatterbox).with_settings(),
}


@pytest.mark.parametrize("promise", CAUGHT_BY)
def test_each_broken_specimen_is_caught_by_the_check_made_for_it(promise):
    hardening = CAUGHT_BY[promise]
    with pytest.raises(BrokenPromise, match=f"{hardening.name} breaks"):
        check_control(hardening, rows=2000)
    check = next(one for promises in PROMISES.values() for one in promises if one.__name__ == promise)
    with pytest.raises(BrokenPromise, match=f"breaks {promise}"):
        check(hardening, answered(hardening, 2000))


def test_text_that_is_not_treated_alike_is_caught():
    seen = []

    def counting(answer, allow, otherwise):
        seen.append(1)
        return {name: len(seen) for name in answer}

    with pytest.raises(BrokenPromise, match="treats_text_alike"):
        check_control(replace(ALLOWED_PARAMETERS, harden=counting).with_settings())


def test_every_promise_has_a_specimen_that_breaks_it():
    promises = {check.__name__ for of_surface in PROMISES.values() for check in of_surface}
    assert promises == {*CAUGHT_BY, "treats_text_alike"}


def test_the_checks_are_where_those_of_attacks_are():
    assert of_attacks.check_control is check_control
    assert of_attacks.BrokenPromise is BrokenPromise
    assert isinstance(LABEL_ONLY, Control)
