"""Reports made by hand, every field filled: one of each state, some under a policy, one full of hostile names."""

from msgspec.structs import replace

from unseen.estimate import Estimate, Interval, Refused
from unseen.policy import Context, Limit, Policy
from unseen.report import (
    BROKEN,
    DECLARED,
    FAILED,
    HELD,
    INCONCLUSIVE,
    LEAK,
    NO_LEAK_FOUND,
    NOT_APPLICABLE,
    NOT_SEEN,
    PRESENT,
    AttackResult,
    Evidence,
    Exposure,
    FactorResult,
    GateResult,
    LimitResult,
    Provenance,
    ReferenceFacts,
    Report,
    Risk,
    RocCurve,
    SensitiveColumn,
    SliceResult,
    TargetFacts,
)

MEMBERS, NON_MEMBERS = 2_000, 4_000
IDS = ["patient-0007", "patient-0119", "patient-1408"]
HOSTILE = "<script>alert(1)</script>\n| `a` ]]> & \"b\" 'c' \x00\x07\x1b[31m\u202e ![x](http://x) @team #1 {{ 7 * 7 }}"
FAMILIES = (
    ("rank-combined", "S2", 0.83),
    ("lira-online", "S2", 0.77),
    ("rmia-offline", "S2", 0.81),
    ("loss", "S1", 0.64),
    ("modified-entropy", "S1", 0.66),
    ("attack-p", "S1", 0.62),
    ("gap", "S3", 0.58),
    ("noise-robustness", "S4", 0.535),
)


def area(value, attack="", cell="", *, found=True, half=0.012):
    return Estimate(
        quantity="auc",
        value=value,
        low=value - half,
        high=min(value + half, 1.0),
        confidence=0.95,
        method="Newcombe's method 5",
        counts={"members": MEMBERS, "non_members": NON_MEMBERS},
        condition="members and non-members drawn alike",
        attack=attack,
        slice=cell,
        p_value=1e-12 if found else 0.4,
        adjusted_p=1e-10 if found else 1.0,
        detectable=0.534,
    )


def rate(value, fpr, attack, *, found=True):
    called = {"true_positives": round(value * MEMBERS), "false_positives": round(fpr * NON_MEMBERS)}
    return Estimate(
        quantity="tpr",
        value=value,
        low=0.9 * value,
        high=1.1 * value,
        confidence=0.95,
        method="Clopper-Pearson given the threshold; exceedance test",
        counts={"members": MEMBERS, "non_members": NON_MEMBERS, "allowed": round(fpr * NON_MEMBERS)} | called,
        condition="threshold set on the non-members of this trial",
        attack=attack,
        fpr=fpr,
        achieved_fpr=Interval(fpr, 0.8 * fpr, 1.2 * fpr),
        p_value=1e-9 if found else 0.5,
        adjusted_p=1e-7 if found else 1.0,
        detectable=2.5 * fpr,
    )


def belief(value, fpr, prior, attack):
    return Estimate(
        quantity="ppv",
        value=value,
        low=0.7 * value,
        high=min(1.3 * value, 1.0),
        confidence=0.95,
        method="Bayes' rule on Clopper-Pearson ends",
        counts={"members": MEMBERS, "non_members": NON_MEMBERS},
        condition=f"a share {prior:g} of the records asked about are members",
        attack=attack,
        fpr=fpr,
        prior=prior,
    )


def attack(name, row, auc, *, found=True):
    scale = 2 * auc - 1 if found else 0.0
    estimates = [area(auc if found else 0.505, name, found=found)]
    for fpr in (0.1, 0.01):
        tpr = min(fpr * (1 + 20 * scale * scale), 0.9)
        estimates += [rate(tpr, fpr, name, found=found)]
        estimates += [belief(p * tpr / (p * tpr + (1 - p) * fpr), fpr, p, name) for p in (0.5, 0.05, 0.01)]
    return AttackResult(
        name=name,
        row=row,
        state=LEAK if found else NO_LEAK_FOUND,
        access=["labels", "probabilities"],
        estimates=estimates,
        refused=[Refused("tpr", 0.001, name, "a TPR at an FPR of 0.001 needs 10000 non-members, got 4000.", 10_000)],
        tie_share=0.31,
        flagged_members=180 if found else 19,
        flagged_non_members=40,
    )


def curve(name, row, auc, *, found=True):
    fpr = [round(0.00025 * 1.14**k, 6) for k in range(62)] + [1.0]
    power = (1 - auc) / auc if found else 1.0
    return RocCurve(
        attack=name,
        row=row,
        fpr=fpr,
        tpr=[x**power for x in fpr],
        band_low=[x * max(0.0, 1 - 0.06 / x**0.5) for x in fpr],
        band_high=[min(x * (1 + 0.06 / x**0.5), 1.0) for x in fpr],
    )


def cell(by, value, auc, *, found=True):
    estimates = [area(auc, "rank-combined", f"{by}={value}", found=found, half=0.04)]
    return SliceResult(by, value, suppressed=False, state=LEAK if found else NO_LEAK_FOUND, estimates=estimates)


def gates(*, broken=False):
    """Return three gates that hold, are broken if `broken`, and do not apply."""
    counts = {"members": MEMBERS, "non_members": NON_MEMBERS}
    blind = [area(0.71 if broken else 0.502, "blind baseline", half=0.02)]
    blind.append(
        Estimate("attack AUC minus blind AUC", 0.12, 0.09, 0.15, 0.95, "paired bootstrap of units", counts, "")
    )
    return [
        GateResult(
            name="blind-baseline",
            state=BROKEN if broken else HELD,
            meaning="Members cannot be told from others without asking the model.",
            finding="a classifier that never saw the model tells them apart with an AUC of 0.71"
            if broken
            else "a classifier that never saw the model is at chance",
            advice="Draw members and non-members from one table, at random, before training." if broken else "",
            estimates=blind,
        ),
        GateResult(
            name="duplicates",
            state=HELD,
            meaning="Few members are repeated among non-members.",
            finding="3 members equal a non-member in every column",
            advice="",
            counts={"pairs": 3, "members": MEMBERS},
        ),
        GateResult(
            name="person-disjointness",
            state=NOT_APPLICABLE,
            meaning="No person is on both sides.",
            finding="no column names the person",
            advice="",
        ),
    ]


def factors():
    """Return factors of most rows, one of each state."""
    gap = Estimate("accuracy gap", 0.159, 0.14, 0.178, 0.95, "Newcombe's method 10", {"members": MEMBERS}, "")
    return [
        FactorResult(
            "generalisation-gap",
            "F1",
            PRESENT,
            "The model is righter about members.",
            "it is right on 99.8 % of members and 83.9 % of others",
            ["regularisation", "early stopping"],
            [gap],
        ),
        FactorResult("repeats", "F2", NOT_SEEN, "Records repeat.", "no record repeats another", ["de-duplication"]),
        FactorResult(
            "output-detail", "F5", PRESENT, "Answers are fine-grained.", "probabilities", ["rounding", "top-k"]
        ),
        FactorResult("who-may-query", "F6", DECLARED, "Many may ask.", "anybody, 10,000 times a day", ["rate limits"]),
        FactorResult(
            "capacity",
            "F4",
            NOT_APPLICABLE,
            "Free parameters a record.",
            "they cannot be counted here",
            [],
            [],
            {"records": 9_000},
        ),
    ]


def specimen(state=LEAK):
    """Return a report with every field filled: "leak", "no_leak_found", "inconclusive" or "failed"."""
    found = state in {LEAK, INCONCLUSIVE}
    attacks = [attack(*one, found=found) for one in FAMILIES]
    attacks.append(AttackResult("qmia", "S2", NOT_APPLICABLE, ["population"], "no population was handed in"))
    values = [
        ("sex", "F", 0.79),
        ("sex", "M", 0.86),
        ("class", "0", 0.8),
        ("class", "1", 0.92),
        ("loss decile", "9 of 10", 0.94),
    ]
    slices = [cell(*one, found=True) if found else cell(*one[:2], 0.51, found=False) for one in values]
    slices.append(SliceResult("town", "(values under ten units a side)", suppressed=True, state=NOT_APPLICABLE))
    failures = [AttackResult(*one[:2], FAILED, ["labels"], "the model raised ValueError") for one in FAMILIES]
    reasons = {
        LEAK: [
            "8 of 8 attacks and 5 of 5 slices measured are above chance, at one error budget of 5 % for all of them"
        ],
        NO_LEAK_FOUND: ["no test found a leak; see what each would have found"],
        INCONCLUSIVE: [
            "gate blind-baseline: a classifier that never saw the model tells them apart with an AUC of 0.71",
            "what the attacks measured, and may not be believed: 8 of 8 attacks are above chance",
        ],
        FAILED: ["8 attacks failed: the model raised ValueError"],
    }
    return Report(
        state=state,
        reasons=reasons[state],
        recommended="" if state == FAILED else "rank-combined",
        unit="record",
        rule="",
        members=MEMBERS,
        non_members=NON_MEMBERS,
        population=1_500,
        family=58,
        target=TargetFacts("RandomForestClassifier", 2, ["labels", "probabilities"], 0.998, 0.839, 5_200, 90_000),
        references=ReferenceFacts(16, 15, {"MemoryError": 1}, 0.44),
        attacks=failures if state == FAILED else attacks,
        slices=[] if state == FAILED else slices,
        limits=[],
        gates=gates(broken=state == INCONCLUSIVE),
        factors=factors(),
        evidence=Evidence(
            ["8 attacks tell members from others (rank-combined, lira-online, rmia-offline, ...)"] if found else [],
            ["checks of the audit itself that hold: duplicates"],
            ["qmia: no population was handed in"],
        ),
        risk=Risk(
            {LEAK: "high", NO_LEAK_FOUND: "not found"}.get(state, "not measured"),
            "at least 9.8 times likelier to point at a member than at another",
            "severe",
            "that somebody was treated for addiction",
        ),
        sensitive=[SensitiveColumn("diagnosis", "health", "declared"), SensitiveColumn("postcode", "location", "name")],
        curves=[] if state == FAILED else [curve(*FAMILIES[i], found=found) for i in (0, 3, 6, 7)],
        exposure=None
        if state == FAILED
        else Exposure(
            "rank-combined",
            [1.0, 0.5, 0.1, 0.05, 0.01, 0.001, 0.0],
            [520, 480, 300, 350, 170, 180] if found else [1_005, 795, 104, 76, 18, 2],
            [2_010, 1_590, 205, 155, 30, 10],
            IDS,
        ),
        notes=["1 of 16 references failed (1 x MemoryError)."],
        policy=Policy(),
        context=Context(
            prior=0.05,
            domain="health",
            reveals="that somebody was treated for addiction",
            harm="loss of work",
            severity="severe",
            sensitive=("diagnosis",),
            access="api",
            queries_per_day=10_000,
            identifiers_removed=True,
        ),
        provenance=Provenance(
            seed=7,
            versions={"unseen": "0.1.0", "python": "3.11.9", "numpy": "2.4.6"},
            data_digest="1f0c9a3be2d45a67c8b90d1e2f3a4b5c",
            model_digest="9a8b7c6d5e4f30211203f4e5d6c7b8a9",
            plan={
                "target": {"model": "models/model.skops"},
                "data": {"members": "train.parquet", "label": "income"},
                "seed": 7,
            },
            started="2026-03-04T05:06:07+00:00",
            seconds=41.3,
        ),
    )


def judged(verdict="over"):
    """Return a leaky model's report under a policy whose limits are "over", "within" or "undecided"."""
    limits = (Limit("tpr", 0.05, fpr=0.01), Limit("auc", 0.9, every_slice=True))
    state = {"over": LEAK, "within": NO_LEAK_FOUND, "undecided": INCONCLUSIVE}[verdict]
    detail = "rank-combined: tpr 0.09, bounds [0.08, 0.10] at 95 %"
    return replace(
        specimen(LEAK),
        state=state,
        reasons=[f"{verdict} the limit, {limits[0]}: {detail}"],
        policy=Policy(limits=limits),
        limits=[LimitResult(str(limits[0]), verdict, detail), LimitResult(str(limits[1]), "within", "auc 0.83")],
        context=Context(),
        sensitive=[],
    )


def hostile():
    """Return a report in which every text that others choose is `HOSTILE`."""
    whole = judged()
    first, *others = whole.attacks
    return replace(
        whole,
        recommended=HOSTILE,
        reasons=[HOSTILE],
        target=replace(whole.target, kind=HOSTILE, access=[HOSTILE]),
        references=replace(whole.references, failures={HOSTILE: 1}),
        attacks=[
            replace(first, name=HOSTILE, estimates=[replace(e, attack=HOSTILE) for e in first.estimates]),
            replace(others[0], name=HOSTILE + "2", state=FAILED, reason=HOSTILE, estimates=[]),
            *others[1:],
        ],
        slices=[replace(one, by=HOSTILE, value=HOSTILE) for one in whole.slices],
        limits=[*whole.limits, LimitResult(HOSTILE, "undecided", HOSTILE)],
        gates=[
            replace(one, name=HOSTILE, meaning=HOSTILE, finding=HOSTILE, advice=HOSTILE, counts={HOSTILE: 1})
            for one in gates(broken=True)
        ],
        factors=[replace(one, name=HOSTILE, finding=HOSTILE, meaning=HOSTILE, controls=[HOSTILE]) for one in factors()],
        evidence=Evidence([HOSTILE], [HOSTILE], [HOSTILE]),
        risk=Risk(HOSTILE, HOSTILE, HOSTILE, HOSTILE),
        sensitive=[SensitiveColumn(HOSTILE, HOSTILE, HOSTILE)],
        curves=[replace(one, attack=HOSTILE) for one in whole.curves],
        exposure=replace(whole.exposure, attack=HOSTILE, ids=[HOSTILE]),
        notes=[HOSTILE],
        context=Context(prior=0.05, domain=HOSTILE, reveals=HOSTILE, harm=HOSTILE),
        provenance=replace(
            whole.provenance,
            versions={"unseen": HOSTILE, HOSTILE: HOSTILE},
            started=HOSTILE,
            plan={"target": {"model": HOSTILE}, HOSTILE: HOSTILE},
        ),
        not_tested=(HOSTILE,),
        identifiers={HOSTILE: HOSTILE},
    )
