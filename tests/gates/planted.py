"""Cases with and without planted flaws, made from simulated worlds through the code that judges every audit."""

import numpy as np

from unseen.attacks import ATTACKS
from unseen.case import Case
from unseen.judgement import judge
from unseen.options import Options
from unseen.policy import DEFAULT_FPRS, Policy
from unseen.report import ReferenceFacts, TargetFacts
from unseen.signal import Signals
from unseen.testing.worlds import classifier
from unseen.trial import Trial


def case_of(signals, member, attacks=ATTACKS, **fields):
    """The case of an audit of `signals (records,)`, whose units are records or, with `unit_of`, persons."""
    unit_of = fields.pop("unit_of", None)
    ids = np.array([f"r{i}" for i in range(member.size)])
    trial = Trial(member, ids) if unit_of is None else Trial(member, ids, "person", unit_of)
    references = signals["ref_member"].shape[0] if "ref_member" in signals else 0
    facts = ReferenceFacts(references, references, {}, 0.5)
    judged = judge(signals, trial, attacks, [], Options(policy=fields.get("policy", Policy())), facts)
    given = {
        "features": signals.get("features"),
        "label_index": signals.get("label"),
        "fprs": DEFAULT_FPRS,
        "target": TargetFacts("simulated", 3, [], None, None, 0, member.size),
    }
    return Case(
        trial=trial,
        signals=signals,
        attacks=attacks,
        results=judged.attacks,
        scores=judged.scores,
        p_values=judged.p_values,
        recommended=judged.recommended,
        references=facts,
        **(given | fields),
    )


def clean(seed, records=600, references=8, leak=0.0, **fields):
    """A world in which nothing is wrong with the audit, whether it finds a leak or not."""
    world = classifier(seed, records, references, leak, population=200)
    return case_of(world.signals, world.member, **fields)


def changed(case, **arrays):
    """The signals of a case, with some of them others."""
    return Signals(**(dict(case.signals) | arrays))


def balanced(seed, records=600, models=8):
    """References of a design in which every record is in exactly half of the models, one of which is the target."""
    world = classifier(seed, records, models, 0.0, population=200)
    rng = np.random.default_rng(seed)
    design = np.stack([rng.permutation(np.arange(models) < models // 2) for _ in range(records)], axis=1)
    signals = dict(world.signals) | {
        name: array[1:] for name, array in world.signals.items() if name.startswith("ref_")
    }
    return case_of(Signals(**(signals | {"ref_member": design[1:]})), design[0])
