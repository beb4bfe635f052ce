"""Bytes in a V1 request: where the policy says so, told apart by a digest, and never where a changed byte buys much."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.guard.guards import policy

from unseen.errors import PolicyError
from unseen.guard.checking import findings, refuse_useless
from unseen.guard.policy import Route
from unseen.guard.protocols.kserve_v1 import KServeV1
from unseen.guard.refusal import Refused
from unseen.guard.shape import coarse_forms, vectors

PATH = "/v1/models/m:predict"
TIER = {"budget": {"per_day": 5}}
NEAR = {"budget": {"per_day": 5, "per_neighbourhood": 3}}
KEYED = TIER | {"controls": [{"name": "keyed-noise", "scale": 0.1}]}


def b64(data):
    return {"b64": base64.b64encode(data).decode()}


def read(*instances, **route):
    adapter = KServeV1(Route(protocol="kserve-v1", **{"b64": True, **route}))
    return adapter.read(PATH, {"instances": list(instances)}, frozenset())


def forms(*instances, **route):
    return coarse_forms(read(*instances, **route).rows, Route(protocol="kserve-v1", b64=True, **route))


def test_bytes_are_refused_unless_the_route_says_so():
    for instance in (b64(b"a"), {"image": b64(b"a")}, [b64(b"a")]):
        assert read(instance).body == {"instances": [instance]}
        with pytest.raises(Refused):
            read(instance, b64=False)


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=5))
def test_what_is_sent_on_are_the_bytes_and_two_have_one_form_where_they_are_equal(blobs):
    question = read(*(b64(blob) for blob in blobs))
    assert [base64.b64decode(one["b64"]) for one in question.body["instances"]] == blobs
    found = forms(*(b64(blob) for blob in blobs))
    assert [[one == other for other in found] for one in found] == [[a == b for b in blobs] for a in blobs]


def test_texts_of_base64_that_differ_in_case_or_look_like_numbers_are_other_bytes():
    texts = ("aaaa", "AAAA", "1234", "0x12", "1e10", "1e11")
    assert len(set(forms(*({"b64": text} for text in texts)))) == len(texts)


def test_one_record_has_one_form_however_it_is_written():
    written = (b64(b"a"), [b64(b"a")], {"image": b64(b"a")})
    assert len({forms(one, features=("image",))[0] for one in written}) == 1
    mixed = {"features": ("age", "image")}
    assert forms({"image": b64(b"a"), "age": 41}, **mixed) == forms([41.0, b64(b"a")], **mixed)
    assert vectors(read([41, b64(b"a")], [41, b64(b"b")], **mixed).rows, Route(protocol="kserve-v1")).shape == (2, 2)


@pytest.mark.parametrize(
    "wrong",
    [
        "YQ",
        "YQ=",
        "YQ===",
        "YR==",
        "YQ==\n",
        " YQ==",
        "Y Q==",
        "YQ==YQ==",
        "Y-_=",
        "\u0661\u0661\u0661\u0661",
        7,
        None,
        ["YQ=="],
        {"b64": "YQ=="},
    ],
)
def test_base64_that_could_be_read_in_two_ways_is_refused(wrong):
    for instance in ({"b64": wrong}, [{"b64": wrong}], {"image": {"b64": wrong}}):
        with pytest.raises(Refused) as refused:
            read(instance)
        assert refused.value.status == 400


@pytest.mark.parametrize(
    "instance", [{"image": {"b64": "YQ==", "x": 1}}, [[{"b64": "YQ=="}]], {"a": [{"b64": "YQ=="}]}]
)
def test_bytes_deeper_in_a_record_or_with_more_beside_them_are_refused(instance):
    with pytest.raises(Refused) as refused:
        read(instance)
    assert refused.value.status == 400


@pytest.mark.parametrize("tier", [NEAR, KEYED])
@pytest.mark.parametrize("more", [{}, {"features": ["image"]}])
def test_nothing_that_rests_on_telling_records_apart_goes_with_bytes(tmp_path, tier, more):
    route = {"protocol": "kserve-v1", "b64": True, **more}
    with pytest.raises(PolicyError, match="every byte that a client changes"):
        refuse_useless(policy(tmp_path, routes=[route], tiers={"plain": TIER, "a": tier}))


def test_bytes_go_with_other_tiers_and_protocols_and_it_is_said_what_is_blind(tmp_path):
    read_ = policy(tmp_path, routes=[{"protocol": "kserve-v1", "b64": True}], tiers={"a": TIER})
    refuse_useless(read_)
    assert any("a changed byte is another record" in finding.sentence for finding in findings(read_))
    with pytest.raises(PolicyError, match="features names b64"):
        refuse_useless(policy(tmp_path, routes=[{"protocol": "kserve-v1", "features": ["b64"]}]))
    with pytest.raises(PolicyError, match="b64 says nothing for protocol mlflow"):
        refuse_useless(policy(tmp_path, routes=[{"protocol": "mlflow", "b64": True}]))


CONTENT = st.recursive(
    st.sampled_from(["YQ==", "YR==", "", "1", 1, 0.5, True, None]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["b64", "a", "c"]), inner, max_size=2),
    max_leaves=8,
)


@given(st.lists(CONTENT, max_size=3), st.booleans(), st.sampled_from([(), ("a",), ("a", "c")]))
def test_whatever_is_sent_has_a_form_or_is_refused(instances, b64, features):
    route = Route(protocol="kserve-v1", b64=b64, features=features)
    try:
        question = KServeV1(route).read(PATH, {"instances": instances}, frozenset())
        found = coarse_forms(question.rows, route)
    except Refused as refused:
        if refused.status != 400:
            raise
        return
    assert len(found) == len(instances)
    assert b64 or not any(isinstance(one, dict) and one.keys() == {"b64"} for one in instances)
    assert question.body == {"instances": instances}
