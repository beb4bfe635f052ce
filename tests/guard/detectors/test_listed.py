"""The list of decoys: read as the route reads requests, refused by line number, and never shown."""

import json

import pytest
from tests.guard.guards import policy

from unseen.errors import PolicyError
from unseen.guard.commands import main
from unseen.guard.detectors import from_settings
from unseen.guard.detectors.listed import learn_decoys
from unseen.guard.policy import Route
from unseen.guard.protocols import adapter_of
from unseen.guard.shape import coarse_forms, fingerprint

KEY = b"k" * 32
GOOD = '{"inputs": [[13.34, 0.94]]}'


def learned(folder, lines, routes=({"protocol": "mlflow"},), **settings):
    path = folder / "decoys.jsonl"
    path.write_text("\n".join(lines) if isinstance(lines, list) else lines, encoding="utf-8")
    read = policy(folder, routes=list(routes), detectors={"decoys": {"file": str(path), **settings}})
    (detector,) = from_settings(read.detectors)
    learn_decoys([detector], read, KEY)
    return detector.known


@pytest.mark.parametrize(
    ("route", "bodies"),
    [
        ({"protocol": "mlflow", "features": ["a", "b"]}, [{"inputs": [[1, 2]]}, {"instances": [{"b": 4, "a": 3}]}]),
        ({"protocol": "kserve-v1"}, [{"instances": [[1.5, 2.5], [3.5, 4.5]]}]),
        (
            {"protocol": "open-inference-v2"},
            [{"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1.0, 2.0]}]}],
        ),
        (
            {"protocol": "json", "path": "/ask", "records": "/rows", "outputs": {"/p": "probabilities"}},
            [{"rows": [[1, 2]]}],
        ),
        (
            {"protocol": "openai", "embeddings": True},
            [
                {"prompt": "Nobody lives at 12 Elm Street."},
                {"messages": [{"role": "user", "content": "Nobody lives there."}]},
                {"input": ["Nobody."]},
            ],
        ),
    ],
)
def test_a_decoy_has_the_fingerprint_of_the_request_that_asks_about_it(tmp_path, route, bodies):
    lines = [json.dumps(body) for body in bodies]
    known = learned(tmp_path, [lines[0], "", *lines[1:]], [route])
    read = Route(**{name: tuple(value) if isinstance(value, list) else value for name, value in route.items()})
    adapter, asked = adapter_of(read), set()
    paths = {"prompt": "/v1/completions", "messages": "/v1/chat/completions", "input": "/v1/embeddings"}
    for body in bodies:
        question = adapter.read(paths.get(next(iter(body)), "/v2/models/m/infer"), body, frozenset())
        asked |= {fingerprint(KEY, form) for form in coarse_forms(question.rows, read)}
    assert known == asked
    assert len(known) >= len(bodies)


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("{", "json"),
        ('{"inputs": [[13.34, 0.94]], "inputs": [[1, 2]]}', "duplicate"),
        ('{"secret-name": [[13.34, 0.94]]}', "field"),
        ("[13.34, 0.94]", "field"),
        ('{"inputs": [[[13.34]]]}', "shape"),
        ('{"inputs": []}', "shape"),
    ],
)
def test_a_line_that_is_no_request_is_named_by_its_number_and_never_shown(tmp_path, bad, why):
    with pytest.raises(PolicyError, match=rf"line 3 is no request that route mlflow takes \({why}\)") as raised:
        learned(tmp_path, [GOOD, "", bad])
    assert "13.34" not in str(raised.value)
    assert "secret-name" not in str(raised.value)


@pytest.mark.parametrize("bad", ['{"text": "Nobody"}', '"Nobody"', '{"input": "Nobody"}'])
def test_a_line_that_asks_openai_nothing_is_refused(tmp_path, bad):
    with pytest.raises(PolicyError, match=r"line 1 is no request that route openai takes \(field\)"):
        learned(tmp_path, [bad], [{"protocol": "openai"}])


def test_a_list_that_is_not_there_or_empty_or_of_no_route_is_refused(tmp_path):
    with pytest.raises(PolicyError, match="holds none"):
        learned(tmp_path, "\n \n")
    with pytest.raises(PolicyError, match=r"nowhere.jsonl cannot be read: No such file"):
        learned(tmp_path, [GOOD], file=str(tmp_path / "nowhere.jsonl"))
    with pytest.raises(PolicyError, match=r"route must be one of \['mlflow'\], got 'x'"):
        learned(tmp_path, [GOOD], route="x")
    two = [{"protocol": "mlflow", "name": "a"}, {"protocol": "mlflow", "name": "b", "path": "/b"}]
    with pytest.raises(PolicyError, match=r"route must be one of \['a', 'b'\], got ''"):
        learned(tmp_path, [GOOD], two)
    assert len(learned(tmp_path, [GOOD], two, route="b")) == 1


def test_a_list_that_cannot_be_read_changes_nothing(tmp_path):
    path = tmp_path / "decoys.jsonl"
    path.write_text(GOOD)
    read = policy(tmp_path, detectors={"decoys": {"file": str(path)}})
    (detector,) = from_settings(read.detectors)
    learn_decoys([detector], read, KEY)
    known = detector.known
    path.write_text("{")
    with pytest.raises(PolicyError):
        learn_decoys([detector], read, KEY)
    assert detector.known == known


def test_check_says_what_is_wrong_with_a_list(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policy.toml").write_text(
        "[upstream]\nurl = 'http://127.0.0.1:9'\n[[routes]]\nprotocol = 'mlflow'\n"
        "[tiers.a]\nbudget = { lifetime = 10 }\n[detectors.decoys]\nfile = 'decoys.jsonl'\n"
    )
    (tmp_path / "decoys.jsonl").write_text(GOOD + "\n{}\n")
    assert main(["check", "policy.toml"]) == 1
    assert "refused: detectors: decoys: decoys.jsonl, line 2 is no request" in capsys.readouterr().out
    (tmp_path / "decoys.jsonl").write_text(GOOD)
    assert main(["check", "policy.toml"]) == 0
