"""Every form is what its specification says, and no value of any field breaks a line or forges another field."""

import json
import re
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unseen.guard.exports import FORMATS
from unseen.guard.exports.event import one_line
from unseen.guard.exports.syslog import framed
from unseen.guard.log.entries import Asked, Done, Head, Seen, Start

PAIR = '\n|=]"\\ suser=root \r\x00\x85\u2028}{'
HOSTILE = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    st.text(st.sampled_from(PAIR + string.ascii_letters), max_size=40),
)
NUMBERS = st.floats(allow_nan=True, allow_infinity=True)
TIMES = st.floats(0, 4e9)
ASKED = st.builds(
    Asked,
    n=st.integers(1, 10**9),
    t=TIMES,
    id=HOSTILE,
    client=HOSTILE,
    key=HOSTILE,
    tenant=HOSTILE,
    tier=HOSTILE,
    route=HOSTILE,
    status=st.sampled_from([200, 401, 429, 502]),
    reason=HOSTILE,
    records=st.integers(0, 1000),
    ms=st.floats(0, 1e6),
    policy=HOSTILE,
    parameters=st.lists(HOSTILE, max_size=2).map(tuple),
    controls=st.lists(HOSTILE, max_size=2).map(tuple),
)
SEEN = st.builds(
    Seen,
    n=st.integers(1, 10**9),
    t=TIMES,
    client=HOSTILE,
    detector=HOSTILE,
    strength=st.floats(0, 1),
    evidence=st.dictionaries(HOSTILE, NUMBERS, max_size=3),
)
DONE = st.builds(Done, n=st.integers(1, 10**9), t=TIMES, what=HOSTILE, client=HOSTILE, detail=HOSTILE)
ENTRIES = st.one_of(ASKED, SEEN, DONE)
FORMS = FORMATS | {"cef in syslog": framed(FORMATS["cef"]), "ocsf in syslog": framed(FORMATS["ocsf"])}


def asked(**changes):
    plain = {"n": 1, "t": 1e9, "id": "ab", "client": "c", "key": "k", "tenant": "acme", "tier": "basic"}
    plain |= {"route": "mlflow", "status": 200, "reason": "answered", "records": 3, "ms": 1.5, "policy": "p"}
    return Asked(**(plain | changes))


@pytest.mark.parametrize("name", FORMS)
@given(entry=ENTRIES)
@settings(max_examples=15)
def test_an_entry_is_one_line_for_every_reader_of_lines(name, entry):
    line = FORMS[name](entry)
    assert len(line.splitlines()) == 1
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", line)
    line.encode()


@pytest.mark.parametrize("name", sorted(set(FORMS) - {"jsonl"}))
def test_what_only_the_chain_needs_is_not_told(name):
    assert FORMS[name](Head(1, 0.0, "")) is None
    assert FORMS[name](Start(1, 0.0, "", 1, "", 0, "", "", "")) is None


# CEF


def read_cef(line):
    """Head and extension of a line of CEF, read as ArcSight's guide says; its labelled fields by their labels."""
    parts = re.split(r"(?<!\\)(?:\\\\)*\|", line, maxsplit=7)
    cut, fields = [], line
    for _ in range(7):
        found = re.match(r"((?:[^\\|]|\\\\|\\\|)*)\|", fields)
        assert found, line
        cut.append(re.sub(r"\\([\\|])", r"\1", found[1]))
        fields = fields[found.end() :]
    assert len(parts) == 8
    keys = [(found.start(1), found.end(), found[1]) for found in re.finditer(r"(?:^|(?<= ))([A-Za-z0-9]+)=", fields)]
    extension = {}
    for place, (_, end, key) in enumerate(keys):
        until = keys[place + 1][0] - 1 if place + 1 < len(keys) else len(fields)
        value = fields[end:until]
        assert re.fullmatch(r"(?:[^\\=]|\\\\|\\=)*", value), (key, value)
        assert key not in extension
        extension[key] = re.sub(r"\\([\\=])", r"\1", value)
    labels = {key[:-5] for key in extension if key.endswith("Label")}
    named = {extension[f"{key}Label"]: extension[key] for key in labels}
    return cut, {key: value for key, value in extension.items() if key.removesuffix("Label") not in labels} | named


@given(entry=ASKED)
@settings(max_examples=60)
def test_cef_gives_back_every_field_and_no_other(entry):
    head, fields = read_cef(FORMATS["cef"](entry))
    assert head[:3] == ["CEF:0", "unseen", "guard"]
    assert 0 <= int(head[6]) <= 10
    expected = {"suser": entry.client, "suid": entry.key, "externalId": entry.id, "tenant": entry.tenant}
    expected |= {"tier": entry.tier, "destinationServiceName": entry.route, "policy": entry.policy}
    expected |= {"parameters": ",".join(entry.parameters), "controls": ",".join(entry.controls)}
    for name, value in expected.items():
        assert fields.get(name, "") == one_line(value)
    assert fields["n"] == str(entry.n)
    assert set(fields) <= {*expected, "rt", "outcome", "reason", "cnt", "status", "ms", "shadow", "n"}


@given(entry=SEEN)
@settings(max_examples=40)
def test_cef_says_evidence_as_one_text(entry):
    _, fields = read_cef(FORMATS["cef"](entry))
    assert set(fields) <= {"rt", "outcome", "suser", "detector", "strength", "evidence", "n"}


# RFC 5424

SYSLOG = re.compile(
    r"<(?P<pri>[1-9][0-9]{0,2}|0)>1"
    r" (?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d))"
    r" (?P<host>[!-~]{1,255}) (?P<app>[!-~]{1,48}) (?P<proc>[!-~]{1,128}) (?P<id>[!-~]{1,32})"
    r" (?P<data>-|(?:\[[^ =\]\"\x00-\x1f\x7f-\uffff]{1,32}"
    r"(?: [^ =\]\"\x00-\x1f\x7f-\uffff]{1,32}=\"(?:[^\"\\\]]|\\.)*\")*\])+)"
    r"(?: (?P<said>.*))?",
    re.DOTALL,
)


def read_syslog(line):
    """A message, read by the grammar of RFC 5424, section 6: its parts, and its parameters with escapes undone."""
    found = SYSLOG.fullmatch(line)
    assert found, line
    assert int(found["pri"]) <= 191
    pairs = re.findall(r' ([^ =\]"]+)="((?:[^"\\\]]|\\.)*)"', found["data"])
    return found, {name: re.sub(r'\\(["\\\]])', r"\1", value) for name, value in pairs}


@given(entry=ENTRIES)
@settings(max_examples=60)
def test_syslog_keeps_the_grammar_and_gives_back_every_field(entry):
    found, fields = read_syslog(FORMATS["syslog"](entry))
    assert found["data"].startswith("[unseen@32473 n=")
    assert fields["n"] == str(entry.n)
    assert fields.get("client", "") == one_line(entry.client)
    if isinstance(entry, Asked):
        assert fields.get("tenant", "") == one_line(entry.tenant)
        assert set(fields) <= set(Asked.__struct_fields__)


@given(entry=ENTRIES)
@settings(max_examples=30)
def test_another_form_inside_syslog_is_its_message(entry):
    found, _ = read_syslog(FORMS["cef in syslog"](entry))
    assert found["data"] == "-"
    assert found["said"] == FORMATS["cef"](entry)


# OCSF 1.8.0: what its schema says of the two classes, checked once against the schema itself

OBJECT = {
    "metadata": {"version", "product", "sequence", "log_name"},
    "metadata.product": {"name", "vendor_name", "version"},
    "actor": {"user"},
    "actor.user": {"uid", "type_id"},
    "api": {"operation", "request", "response", "service"},
    "api.request": {"uid"},
    "api.response": {"code", "error"},
    "api.service": {"uid", "name"},
    "src_endpoint": {"uid"},
    "finding_info": {"uid", "title", "desc", "created_time", "analytic", "attacks"},
    "finding_info.analytic": {"uid", "name", "type_id"},
    "finding_info.attacks": {"technique", "sub_technique", "tactic", "version"},
    "finding_info.attacks.technique": {"uid", "name"},
    "finding_info.attacks.sub_technique": {"uid", "name"},
    "finding_info.attacks.tactic": {"uid", "name"},
    "resources": {"uid", "type"},  # of both classes
    "evidences": {"data"},
}
BASE = {"category_uid", "class_uid", "activity_id", "activity_name", "type_uid", "time", "severity_id", "message"}
BASE |= {"metadata", "unmapped", "status_id", "resources"}
CLASSES = {
    6003: (6, BASE | {"actor", "api", "src_endpoint", "status_detail"}, {"actor", "api", "src_endpoint"}),
    2004: (2, BASE | {"finding_info", "evidences", "is_alert", "confidence_id"}, {"finding_info"}),
}
NAMES = {1: "Create", 2: "Read", 3: "Update", 4: "Delete"}


def walk(value, place=""):
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, dict) and place not in {"unmapped", "evidences.data"}:
            yield place, one
            for name, inner in one.items():
                yield from walk(inner, f"{place}.{name}".lstrip("."))


@given(entry=ENTRIES)
@settings(max_examples=40)
def test_ocsf_has_what_its_class_needs_and_nothing_it_does_not_know(entry):
    told = json.loads(FORMATS["ocsf"](entry))
    category, known, needed = CLASSES[told["class_uid"]]
    assert told["class_uid"] == (2004 if isinstance(entry, Seen) else 6003)
    assert told["category_uid"] == category
    assert told["type_uid"] == told["class_uid"] * 100 + told["activity_id"]
    assert NAMES[told["activity_id"]] == told["activity_name"]
    assert needed | {"metadata", "time", "severity_id"} <= set(told) <= known
    assert told["severity_id"] in range(1, 6)
    assert told["metadata"]["version"] == "1.8.0"
    assert isinstance(told["time"], int)
    for place, one in walk(told):
        assert not place or set(one) <= OBJECT[place]
    if "actor" in told:
        assert told["actor"]["user"]["uid"]
        assert told["api"]["operation"]


def test_a_finding_names_the_technique_of_atlas():
    told = json.loads(FORMATS["ocsf"](Seen(7, 1e9, "c1", "near-duplicates", 0.8, {"pairs": 12.0})))
    (attack,) = told["finding_info"]["attacks"]
    assert attack["technique"] == {"uid": "AML.T0024", "name": "Exfiltration via AI Inference API"}
    assert attack["sub_technique"] == {"uid": "AML.T0024.000", "name": "Infer Training Data Membership"}
    assert attack["tactic"] == {"uid": "AML.TA0010", "name": "Exfiltration"}
    assert told["evidences"] == [{"data": {"pairs": 12.0}}]


@pytest.mark.parametrize(
    ("what", "activity"), [("key-added", "Create"), ("key-revoked", "Delete"), ("policy", "Update")]
)
def test_what_was_done_is_an_activity(what, activity):
    assert json.loads(FORMATS["ocsf"](Done(1, 0.0, what)))["activity_name"] == activity


# Who did it, and to whom

DOERS = [
    ("tighten", "guard", 3),
    ("suspend", "guard", 3),
    ("would-suspend", "guard", 3),
    ("key-added", "administrator", 2),
    ("released", "administrator", 2),
]


@pytest.mark.parametrize(("what", "doer", "kind"), DOERS)
def test_what_was_done_to_a_client_names_the_client_as_its_target(what, doer, kind):
    entry = Done(1, 0.0, what, client="mallory")
    ocsf, ecs = (json.loads(FORMATS[name](entry)) for name in ("ocsf", "ecs"))
    assert ocsf["actor"] == {"user": {"uid": doer, "type_id": kind}}
    assert ocsf["src_endpoint"] == {"uid": doer}
    assert ocsf["resources"] == [{"uid": "mallory", "type": "client"}]
    assert ecs["user"] == {"id": doer, "target": {"id": "mallory"}}
    _, fields = read_cef(FORMATS["cef"](entry))
    assert (fields["suser"], fields["duser"]) == (doer, "mallory")


def test_what_was_done_to_no_client_names_no_target():
    entry = Done(1, 0.0, "policy")
    ocsf, ecs = (json.loads(FORMATS[name](entry)) for name in ("ocsf", "ecs"))
    assert "resources" not in ocsf
    assert ecs["user"] == {"id": "guard"}
    assert "duser" not in read_cef(FORMATS["cef"](entry))[1]


@pytest.mark.parametrize("entry", [asked(), Done(1, 0.0, "stream-end", client="c")], ids=["asked", "stream"])
def test_what_a_client_did_names_the_client_as_its_actor(entry):
    ocsf, ecs = (json.loads(FORMATS[name](entry)) for name in ("ocsf", "ecs"))
    assert ocsf["actor"] == {"user": {"uid": "c", "type_id": 0}}
    assert "resources" not in ocsf
    assert ecs["user"] == {"id": "c"}
    fields = read_cef(FORMATS["cef"](entry))[1]
    assert fields["suser"] == "c"
    assert "duser" not in fields


# ECS 8.17

CATEGORIES = {
    "api": {"access", "admin", "allowed", "change", "creation", "deletion", "denied", "end", "info", "start", "user"},
    "intrusion_detection": {"allowed", "denied", "info"},
}
FIELDS = {
    *(
        "@timestamp",
        "ecs.version",
        "message",
        "user.id",
        "user.target.id",
        "organization.id",
        "http.response.status_code",
    ),
    *("observer.vendor", "observer.product", "observer.version"),
    *(f"event.{name}" for name in ("kind", "category", "type", "action", "outcome", "severity", "sequence", "module")),
    *("event.id", "event.duration", "event.reason", "threat.framework"),
    *(f"threat.{what}.{name}" for what in ("tactic", "technique", "technique.subtechnique") for name in ("id", "name")),
}
LISTS = {"event.category", "event.type", *(field for field in FIELDS if re.match(r"threat\.t", field))}


def flat(told, place=""):
    for name, value in told.items():
        if isinstance(value, dict):
            yield from flat(value, f"{place}{name}.")
        else:
            yield place + name, value


@given(entry=ENTRIES)
@settings(max_examples=40)
def test_ecs_has_only_fields_of_the_schema_and_our_own(entry):
    told = json.loads(FORMATS["ecs"](entry))
    (category,), kinds = told["event"]["category"], told["event"]["type"]
    assert set(kinds) <= CATEGORIES[category]
    ours = told.pop("unseen")
    assert ours.get("client", "") == entry.client
    for name, value in flat(told):
        assert name in FIELDS
        assert isinstance(value, list) == (name in LISTS)
    assert isinstance(told["event"]["severity"], int)


def test_fingerprints_stay_in_the_log():
    entry = asked(fingerprints=("f1nger",))
    assert not [name for name, form in FORMATS.items() if name != "jsonl" and "f1nger" in form(entry)]


def test_ocsf_calls_a_refusal_an_error_and_an_answer_none():
    answers = [json.loads(FORMATS["ocsf"](one))["api"] for one in (asked(), asked(status=429, reason="rate"))]
    assert [answer["response"] for answer in answers] == [{"code": 200}, {"code": 429, "error": "rate"}]


@pytest.mark.parametrize("name", sorted(set(FORMATS) - {"jsonl"}))
def test_what_the_models_server_said_is_told(name):
    assert "upstream" in FORMATS[name](asked(status=502, reason="bad", upstream=401))
