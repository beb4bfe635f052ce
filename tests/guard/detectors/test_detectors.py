"""What every detector keeps: bounded memory, forgetting, repeatability, evidence without content; and the catalogue."""

import pickle
from functools import partial

import numpy as np
import pytest
from tests.guard.detectors import traffic

from unseen.errors import PolicyError
from unseen.guard.detector import Query
from unseen.guard.detectors import DETECTORS, from_settings

WORLD = traffic.world(0, 8)
MARK = bytes(range(16))
NEEDED = {"near-duplicates": {"tau": 1.0}, "decoys": {"file": "decoys.jsonl"}}
QUICK = {  # thresholds low enough for the traffic below
    "near-duplicates": {"threshold": 20.0},
    "geometry": {"threshold": 5.0},
    "volume": {"threshold": 3.0},
    "sharing": {"threshold": 5.0, "lines": 64},
    "seeking": {"threshold": 5.0},
}


def made(name, **settings):
    (detector,) = from_settings({name: NEEDED.get(name, {}) | QUICK.get(name, {}) | settings})
    if name == "decoys":
        detector.known = frozenset({MARK})
    return detector


def suspicious(client="probe"):
    """Traffic that every detector has reason to notice: a quiet month of a crowd, then everything at once."""
    for day in range(25):
        for key in range(5):
            yield Query(f"key-{key}", day * traffic.DAY + key, fingerprints=(bytes([day, key, 0, 0]),))
    probes = traffic.boundary_probing(np.random.default_rng(1), WORLD, 150)
    asks = frozenset({"logprobs"})
    for i, probe in enumerate(probes):
        moment = 25 * traffic.DAY + 10.0 * i
        for key in range(4):
            yield Query(f"key-{key}", moment, fingerprints=(MARK,))
        yield Query(client, moment, probe[None], fingerprints=(MARK,), parameters=asks)


def sightings(detector, queries):
    return [sighting for query in queries if (sighting := detector.observe(query))]


@pytest.mark.parametrize("name", DETECTORS)
def test_a_planted_attacker_is_seen_and_the_evidence_is_counts(name):
    seen = sightings(made(name), suspicious())
    ours = [sighting for sighting in seen if sighting.client == "probe"]
    assert ours
    for sighting in ours:
        assert sighting.detector == name
        assert sighting.strength >= 1
        assert all(type(value) in {int, float} for value in sighting.evidence.values())
        assert all(not isinstance(value, float) or value == int(value) for value in sighting.evidence.values())


@pytest.mark.parametrize("name", DETECTORS)
def test_the_same_queries_give_the_same_sightings(name):
    first, second = (sightings(made(name), suspicious()) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("name", DETECTORS)
def test_clients_are_capped_and_the_least_recently_seen_is_dropped(name):
    detector = made(name, clients=3)
    rows = traffic.independent(np.random.default_rng(0), WORLD, 1)
    for key in ("a", "b", "c", "a", "d", "e"):
        detector.observe(Query(key, 0.0, rows, None, (MARK,), frozenset({"echo"})))
    assert list(detector.clients) == ["a", "d", "e"]
    assert detector.clients.evicted == 2


@pytest.mark.parametrize("name", DETECTORS)
def test_memory_does_not_grow_with_the_queries_of_a_client(name):
    detector, rng = made(name, threshold=1e9), np.random.default_rng(0)
    rows = traffic.independent(rng, WORLD, 2400)

    def size(part):
        for i, row in enumerate(part):
            detector.observe(Query("key", float(i), row[None], (0,), (rng.bytes(16),), frozenset({"echo"})))
        return len(pickle.dumps(detector.clients.get("key")))

    assert size(rows[:1200]) >= size(rows[1200:]) - 64  # a counter or two may have gained a digit


@pytest.mark.parametrize("name", [name for name in DETECTORS if name != "decoys"])
def test_forgetting_a_client_forgets_its_level(name):
    detector = made(name, threshold=1e9)
    sightings(detector, suspicious())
    assert detector.level("probe") > 1
    detector.forget("probe")
    assert detector.level("probe") == 0
    assert "probe" not in list(detector.clients)
    detector.forget("never seen")


@pytest.mark.parametrize("name", ["near-duplicates", "geometry"])
def test_a_batch_is_so_many_single_queries(name):
    probes = traffic.boundary_probing(np.random.default_rng(1), WORLD, 100)
    single, batch = (made(name, threshold=1e9) for _ in range(2))
    sightings(single, [Query("key", 0.0, probe[None]) for probe in probes])
    sightings(batch, [Query("key", 0.0, probes)])
    assert single.level("key") == batch.level("key") > 1


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30, 0.0])
def test_queries_that_make_no_sense_raise_nothing_and_blind_nobody(name, value):
    detector, blinded = made(name), made(name)
    odd = Query("probe", 0.0, np.full((3, 8), value, dtype=np.float32))
    assert not sightings(blinded, [odd, Query("probe", 0.0), Query("probe", 0.0, np.zeros((0, 8), dtype=np.float32))])
    assert len(sightings(blinded, suspicious())) >= len(sightings(detector, suspicious())) > 0


@pytest.mark.parametrize("name", DETECTORS)
def test_no_detector_can_be_given_training_data(name):
    """A guard that tells training records apart is an oracle: the settings are numbers, names and made-up decoys."""
    given = {setting for kind in DETECTORS.values() for setting in kind.__init__.__kwdefaults__ or {}}
    assert not [setting for setting in given if "member" in setting or "train" in setting or "record" in setting]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"near-duplicate": {}}, "did you mean 'near-duplicates'"),
        ({"x": {}}, "known: near-duplicates, geometry"),
        ({"seeking": {"treshold": 3}}, "did you mean 'threshold'"),
        ({"near-duplicates": {}}, "calibration chooses it"),
        ({"near-duplicates": {"tau": "wide"}}, "tau: Expected `float`"),
        ({"near-duplicates": {"tau": 0}}, "positive"),
        ({"near-duplicates": {"tau": float("inf")}}, "positive"),
        ({"near-duplicates": {"tau": float("nan")}}, "positive"),
        ({"near-duplicates": {"tau": 1.0, "allowance": 1.5}}, "share between 0 and 1"),
        ({"geometry": {"clients": 0}}, "positive"),
        ({"decoys": {"file": 3}}, "file: Expected `str`"),
        ({"decoys": {}}, "needs 'file'"),
    ],
)
def test_settings_that_are_not_understood_are_refused(settings, said):
    with pytest.raises(PolicyError, match=said):
        from_settings(settings)


def test_edits_may_be_none_and_settings_may_be_whole_numbers():
    assert len(from_settings({"geometry": {"edits": 0, "threshold": 10}})) == 1


def test_a_query_says_nothing_of_what_was_asked():
    query = Query("key-7", 0.0, np.full((1, 3), 0.123, dtype=np.float32), (1,), (MARK,), frozenset({"echo"}))
    assert repr(query) == "Query(client='key-7', records=1)"


def test_a_query_whose_parts_disagree_is_refused():
    made_of = partial(Query, "key", 0.0, np.zeros((2, 3), dtype=np.float32))
    with pytest.raises(Exception, match="labels need one entry a record, got 1 for 2"):
        made_of(labels=(1,))
    with pytest.raises(Exception, match="fingerprints need one entry a record"):
        made_of(fingerprints=(b"a",))
    with pytest.raises(Exception, match="axes"):
        Query("key", 0.0, np.zeros(3, dtype=np.float32))
