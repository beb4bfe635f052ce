"""An endpoint is asked politely, strictly and once: every fault is one sentence, without keys and records."""

import json
import os
import stat
import subprocess
import sys
import threading
import time
from contextlib import closing

import msgspec
import numpy as np
import polars as pl
import pytest
from tests.endpoints import cut, mlflow, send, served

from unseen.access import Access
from unseen.errors import DataError, FolderError, ModelError, PlanError, TargetFailed, TargetStopped, UnseenError
from unseen.plan import PROTOCOLS, TargetPlan
from unseen.targets import asking, connection
from unseen.targets.http import HttpTarget, Surroundings
from unseen.targets.wire import FORMATS

KEY = "Rumpelstilzchen"
SECRET = 4711.25  # stands in every record
TABLE = pl.DataFrame({"a": np.arange(7.0), "b": np.full(7, SECRET)})
GOOD = json.dumps({"predictions": [[0.25, 0.75]] * 7}).encode()


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(asking, "FIRST_WAIT", 0.001)
    monkeypatch.setenv("UNSEEN_TEST_KEY", KEY)


def target(url, folder=None, classes=(0, 1), **said):
    said = {"protocol": "mlflow", "api_key": "env:UNSEEN_TEST_KEY", "requests_per_second": 1e4} | said
    around = Surroundings(folder or os.devnull, folder, 0)
    return HttpTarget(TargetPlan(url=url, **said), np.asarray(classes), around)


def half(rows):
    return np.column_stack([rows[:, 0], 10 - rows[:, 0]]) / 10


def failed(reply, kind, **said):
    with served(reply) as seen, pytest.raises(kind) as failure:
        target(seen.url, **said).answer(TABLE)
    message = str(failure.value)
    assert "\n" not in message
    assert message.endswith(".")
    assert message.count(". ") == 0
    assert KEY not in message
    assert str(SECRET) not in message
    assert failure.value.__cause__ is None
    assert failure.value.__suppress_context__ or failure.value.__context__ is None
    return message, seen


def test_every_protocol_of_a_plan_has_its_format():
    assert set(FORMATS) == set(PROTOCOLS)


def test_records_are_asked_in_requests_and_answered_in_order():
    with served(mlflow(half)) as seen:
        asked = target(seen.url, records_per_request=3)
        answers = asked.answer(TABLE)
    assert [len(body["dataframe_split"]["data"]) for _, _, body in seen.requests] == [3, 3, 1]
    assert np.allclose(np.exp(answers.log_probs)[:, 0], np.arange(7) / 10)
    assert answers.predicted.tolist() == [1, 1, 1, 1, 1, 0, 0]
    assert asked.access == {Access.LABELS, Access.SCORES, Access.PROBABILITIES}
    assert {headers["Authorization"] for _, headers, _ in seen.requests} == {f"Bearer {KEY}"}
    assert KEY not in repr(asked) + repr(vars(asked)["_said"]) + repr(vars(asked)["_asker"]._connection)


def test_a_key_goes_into_the_header_of_the_plan_and_comes_from_a_file(tmp_path):
    (tmp_path / "key").write_text(f"{KEY}\n")
    with served(mlflow(half)) as seen:
        target(seen.url, folder=tmp_path, header="X-API-Key", api_key="file:key").answer(TABLE)
    assert seen.requests[0][1]["X-API-Key"] == KEY
    assert "Authorization" not in seen.requests[0][1]


@pytest.mark.parametrize(
    ("api_key", "says"),
    [
        (KEY, "never the key itself"),
        ("env:NOT_SET_ANYWHERE", "NOT_SET_ANYWHERE is not set"),
        ("file:not-there", "not-there could not be read"),
    ],
)
def test_a_key_that_is_not_where_the_plan_says_is_refused(tmp_path, api_key, says):
    with pytest.raises(PlanError, match=says) as refusal:
        target("http://127.0.0.1:1/x", folder=tmp_path, api_key=api_key)
    assert KEY not in str(refusal.value)


def test_a_key_with_a_line_break_never_becomes_a_header(monkeypatch):
    monkeypatch.setenv("UNSEEN_TEST_KEY", f"{KEY}\nX-Admin: yes")
    with pytest.raises(PlanError, match="no key"):
        target("http://127.0.0.1:1/x")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("ftp://model/x", "http:// or https://"),
        ("nothing", "http:// or https://"),
        ("http://[half/x", "http:// or https://"),
        ("https://user:word@model/x", "no user"),
        ("https://model/a b", "without blanks"),
        ("http://model.example/x", "use https"),
    ],
)
def test_an_address_that_is_none_or_would_show_the_key_is_refused(url, says):
    with pytest.raises(PlanError, match=says):
        target(url)


def test_a_key_goes_over_plain_http_only_where_the_plan_says_so():
    assert target("http://model.example/x", insecure=True).classes.tolist() == [0, 1]


def test_labels_are_labels_whether_numbers_or_text():
    with served(mlflow(lambda rows: (rows[:, 0] > 2).astype(int))) as seen:
        asked = target(seen.url)
        assert asked.answer(TABLE).predicted.tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert asked.access == {Access.LABELS}
    with served(mlflow(lambda rows: np.where(rows[:, 0] > 2, "yes", "no"))) as seen:
        answers = target(seen.url, classes=("no", "yes")).answer(TABLE)
    assert answers.predicted.tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert answers.log_probs is None


def test_one_number_is_the_second_classs_probability_only_where_declared():
    message, _ = failed(mlflow(lambda rows: rows[:, 0] / 10), ModelError)
    assert 'answers = "probabilities"' in message
    with served(mlflow(lambda rows: rows[:, 0] / 10)) as seen:
        answers = target(seen.url, answers="probabilities").answer(TABLE)
    assert np.allclose(np.exp(answers.log_probs)[:, 1], np.arange(7) / 10)


def test_probabilities_that_become_labels_are_refused_and_not_read_as_certain():
    def reply(handler, body, turn):
        mlflow(half if turn == 0 else lambda rows: (rows[:, 0] > 4).astype(int))(handler, body, turn)

    message, _ = failed(reply, ModelError, records_per_request=3)
    assert 'one number is a label unless answers = "probabilities"' in message
    content = json.dumps({"predictions": [[0.5, 0.5], *[[0.5]] * 6]}).encode()
    message, _ = failed(lambda handler, *_: send(handler, 200, content), ModelError)
    assert "2 probabilities a record" in message


def test_a_regression_gives_values():
    with served(mlflow(lambda rows: rows[:, 0] * 2)) as seen:
        asked = target(seen.url, classes=())
        assert asked.answer(TABLE).value.tolist() == [0, 2, 4, 6, 8, 10, 12]
    assert asked.access == {Access.LABELS, Access.SCORES}


def test_probabilities_by_class_are_put_in_order():
    with served(mlflow(lambda rows: [{"1": 0.9, "0": 0.1}] * len(rows))) as seen:
        answers = target(seen.url).answer(TABLE)
    assert np.allclose(np.exp(answers.log_probs), [[0.1, 0.9]])


@pytest.mark.parametrize("row", [[0.33, 0.33, 0.33], [0.7, 0.0, 0.0], [0.3, 0.3, 0.3], [0.1666667, 0.3333333, 0.5]])
def test_rounded_and_withheld_probabilities_are_taken_as_they_are(row):
    with served(mlflow(lambda rows: [row] * len(rows))) as seen:
        answers = target(seen.url, classes=(0, 1, 2)).answer(TABLE)
    assert np.allclose(np.exp(answers.log_probs), row)


@pytest.mark.parametrize("row", [[0.7, 0.2, 0.3], [0.123456789, 0.2, 0.3], [0.0, 0.0, 0.0], [1.5, -0.5, 0.0]])
def test_what_is_no_distribution_is_refused(row):
    failed(mlflow(lambda rows: [row] * len(rows)), ModelError, classes=(0, 1, 2))


def test_equal_records_are_asked_about_once():
    with served(mlflow(half)) as seen:
        answers = target(seen.url).answer(pl.concat([TABLE, TABLE]))
    assert seen.records == 7
    assert answers.predicted.size == 14


@pytest.mark.parametrize(
    ("status", "kind", "says", "exit_code"),
    [
        (401, TargetStopped, "refused the key", 3),
        (402, TargetStopped, "budget that is spent", 3),
        (403, TargetStopped, "budget that is spent, or no permission", 3),
        (404, ModelError, "no endpoint at that url", 2),
        (413, TargetFailed, "lower records_per_request", 3),
        (422, TargetFailed, "HTTP 422", 3),
        (302, ModelError, "redirects", 2),
        (307, ModelError, "redirects", 2),
        (500, TargetStopped, "HTTP 500, 6 times in a row", 3),
    ],
)
def test_a_status_that_is_no_answer_is_one_sentence(status, kind, says, exit_code):
    def reply(handler, _body, _turn):
        send(
            handler,
            status,
            json.dumps({"detail": f"record {SECRET}"}).encode(),
            Location="http://127.0.0.1:1/elsewhere",
        )

    message, seen = failed(reply, kind)
    assert says in message
    assert kind.exit_code == exit_code
    assert len(seen.requests) == (6 if status == 500 else 1)


def test_who_never_answered_did_not_stop():
    message, _ = failed(lambda handler, _body, _turn: send(handler, 401, b"{}"), TargetStopped)
    assert "did not answer: it refused the key" in message

    def first_only(handler, body, turn):
        mlflow(half)(handler, body, turn) if turn == 0 else send(handler, 401, b"{}")

    message, _ = failed(first_only, TargetStopped, records_per_request=5)
    assert "stopped answering: it refused the key" in message
    assert "5 of 7 records in question were answered" in message


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_passes_is_asked_again_with_the_same_idempotency_key(status):
    def reply(handler, _body, turn):
        send(handler, status, b"{}", Retry_After="0") if turn < 2 else send(handler, 200, GOOD)

    with served(reply) as seen:
        asked = target(seen.url)
        asked.answer(TABLE)
    assert len({headers["Idempotency-Key"] for _, headers, _ in seen.requests}) == 1
    (note,) = asked.told()
    assert note == (
        f"the endpoint was asked about 7 different records in 3 requests; not answered at once: 2 x HTTP {status}."
    )


def test_other_records_have_another_idempotency_key():
    with served(mlflow(half)) as seen:
        target(seen.url, records_per_request=4).answer(TABLE)
    assert len({headers["Idempotency-Key"] for _, headers, _ in seen.requests}) == 2


@pytest.mark.parametrize("how", ["wait", "body"])
def test_a_spent_budget_stops_at_once_and_says_how_many_were_answered(tmp_path, how):
    def reply(handler, body, turn):
        if turn == 0:
            mlflow(half)(handler, body, turn)
        elif how == "wait":
            send(handler, 429, b"{}", Retry_After="3600")
        else:
            send(handler, 429, b'{"error": "budget_exhausted"}')

    message, seen = failed(reply, TargetStopped, folder=tmp_path, records_per_request=3)
    assert "3 of 7 records in question were answered and kept: the same command asks for the rest only" in message
    assert len(seen.requests) == 2


def test_connections_that_break_are_opened_again():
    def reply(handler, _body, turn):
        if turn == 0:
            cut(handler)
        elif turn == 1:  # in the middle of a body
            handler.send_response(200)
            handler.send_header("Content-Length", "1000")
            handler.end_headers()
            handler.wfile.write(GOOD[:20])
            cut(handler)
        elif turn == 2:  # whole by its connection, truncated by its length
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(GOOD)))
            handler.send_header("Connection", "close")
            handler.end_headers()
            handler.wfile.write(GOOD[:-5])
            handler.close_connection = True
        elif turn == 3:
            handler.send_response(200)
            handler.send_header("Content-Type", "application/json")
            handler.send_header("Transfer-Encoding", "chunked")
            handler.end_headers()
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(GOOD), GOOD[:-5]))
            handler.close_connection = True
        else:
            send(handler, 200, GOOD)

    with served(reply) as seen:
        asked = target(seen.url)
        assert asked.answer(TABLE).predicted.tolist() == [1] * 7
    assert len(seen.requests) == 5
    assert "4 x no whole answer" in asked.told()[0]


def test_an_answer_that_does_not_come_in_time_is_given_up():
    def reply(handler, _body, _turn):
        time.sleep(0.3)
        handler.close_connection = True

    start = time.monotonic()
    message, _ = failed(reply, TargetStopped, timeout_seconds=0.05)
    assert "no answer within 0.05 s" in message
    assert time.monotonic() - start < 5


def test_an_answer_that_trickles_is_given_up(monkeypatch):
    monkeypatch.setattr(asking, "MOST_TRIES", 1)

    def reply(handler, _body, _turn):
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        for _ in range(40):
            handler.wfile.write(b" ")
            time.sleep(0.02)

    message, _ = failed(reply, TargetStopped, timeout_seconds=0.1)
    assert "no answer within" in message


@pytest.mark.parametrize(
    ("start", "again"),
    [
        (b"HTTP/1.1 200 OK\r\nX-A: ", b"a"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n", b" "),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0"),
    ],
)
def test_an_answer_whose_head_or_end_never_comes_is_given_up(monkeypatch, start, again):
    monkeypatch.setattr(asking, "MOST_TRIES", 1)

    def reply(handler, _body, _turn):
        handler.close_connection = True
        handler.wfile.write(start)
        for _ in range(100):
            handler.wfile.write(again)
            time.sleep(0.05)

    start_s = time.monotonic()
    message, _ = failed(reply, TargetStopped, timeout_seconds=0.2)
    assert "no answer within 0.2 s" in message
    assert time.monotonic() - start_s < 3


@pytest.mark.parametrize("declared", [True, False])
def test_a_giant_answer_is_not_read(monkeypatch, declared):
    monkeypatch.setattr(connection, "MOST_BYTES", 2**20)
    monkeypatch.setattr(asking, "MOST_TRIES", 1)

    def reply(handler, _body, _turn):
        handler.send_response(200)
        if declared:
            handler.send_header("Content-Length", str(2**40))
        handler.end_headers()
        for _ in range(64 if not declared else 1):
            try:
                handler.wfile.write(b" " * 2**16)
            except OSError:
                break
        handler.close_connection = True

    message, _ = failed(reply, TargetStopped)
    assert "larger than 1 MiB" in message


@pytest.mark.parametrize(
    ("content", "kind", "says"),
    [
        (b"<html>login</html>", "text/html", "text/html, not JSON"),
        (GOOD, "application/octet-stream", "not JSON"),
        (GOOD[:-1], "application/json", "strict JSON"),
        (b'{"predictions": [[NaN, 1.0]]}', "application/json", "strict JSON"),
        (b"[" * 100_000, "application/json", "strict JSON"),
        (b"\xff\xfe", "application/json", "strict JSON"),
        (b'{"predictions": [[0.5, 0.5]]}', "application/json", "7 records and gave 1 predictions"),
        (b'{"predictions": 3}', "application/json", "no list"),
        (b'{"outputs": []}', "application/json", "has no 'predictions'"),
        (b"[]", "application/json", "has no 'predictions'"),
        (b'{"predictions": [[null, 1.0],0,0,0,0,0,0]}', "application/json", "2 probabilities a record"),
        (b'{"predictions": [[1e999, 1.0],0,0,0,0,0,0]}', "application/json", ""),
        (b'{"predictions": [[0.5, 0.5],[0.5],[0.5],[0.5],[0.5],[0.5],"x"]}', "application/json", "2 probabilities"),
        (b'{"predictions": [0, 0, 0, 0, 0, 0, "4711.25"]}', "application/json", "a label that is not among"),
        (b'{"predictions": [0, [0, 1], 0, 0, 0, 0, 0]}', "application/json", "now something else"),
    ],
)
def test_an_answer_that_is_none_is_one_sentence(content, kind, says):
    message, seen = failed(lambda handler, _body, _turn: send(handler, 200, content, kind), ModelError)
    assert says in message
    assert len(seen.requests) == 1


def test_a_compressed_answer_is_refused():
    message, _ = failed(lambda handler, *_: send(handler, 200, GOOD, Content_Encoding="gzip"), ModelError)
    assert "compressed" in message


def test_encryption_that_is_none_and_a_server_that_says_tomorrow_stop_the_audit():
    with served(mlflow(half)) as seen, pytest.raises(TargetStopped, match="certificate or encryption"):
        target(seen.url.replace("http:", "https:")).answer(TABLE)
    message, seen = failed(lambda handler, *_: send(handler, 503, b"{}", Retry_After="86400"), TargetStopped)
    assert "asks to wait longer than 120 s" in message
    assert len(seen.requests) == 1


def test_a_header_is_a_name():
    with pytest.raises(PlanError, match="X-API-Key"):
        target("http://127.0.0.1:1/x", header="X-API-Key: yes\r\nHost")


def test_nobody_there_is_one_sentence():
    with served(mlflow(half)) as seen:
        pass
    with pytest.raises(TargetStopped, match="the connection failed"):
        target(seen.url).answer(TABLE)


def test_requests_keep_their_distance_and_waits_grow_up_to_a_cap():
    now, slept = [0.0], []

    def sleep(seconds):
        slept.append(seconds)
        now[0] += seconds

    def reply(handler, _body, turn):
        status = {1: 429, 2: 500}.get(turn, 200)
        send(handler, status, GOOD, **({"Retry_After": "7"} if turn == 1 else {}))

    with served(reply) as seen:
        asked = target(seen.url)
        asker = asking.Asker(asked._connection, 4.0, 0, sleep, lambda: now[0])
        with closing(asked._connection):
            asker.ask("POST", seen.url, b"{}")
            asker.ask("POST", seen.url, b"{}")
    assert slept[0] == pytest.approx(0.25)
    assert 7 <= slept[1] <= 7.7
    again = asking.Asker(asked._connection, 4.0, 0)
    pauses = [again._pause(k, None) for k in range(30)]
    assert max(pauses) <= asking.LONGEST_WAIT
    assert pauses == [asking.Asker(None, 4.0, 0)._pause(0, None), *pauses[1:]]  # chance follows from the seed


@pytest.mark.parametrize("name", [KEY, f"Bearer {KEY}", f"x:{KEY}", f"record {SECRET}"])
def test_an_endpoint_that_names_its_outputs_after_the_key_or_a_record_is_not_quoted(name):
    outputs = [{"name": one, "shape": [1], "data": [1]} for one in (name, "y")]
    content = json.dumps({"outputs": outputs}).encode()
    failed(lambda handler, *_: send(handler, 200, content), ModelError, protocol="open-inference-v2")


def test_an_endpoint_that_names_its_inputs_after_the_key_is_not_quoted(monkeypatch):
    metadata = {"inputs": [{"name": name, "datatype": "FP64"} for name in (KEY, "y")]}
    monkeypatch.setattr(HttpTarget, "_described", lambda _: metadata)
    failed(mlflow(half), DataError, protocol="open-inference-v2")


@pytest.mark.parametrize("said", ["Thu, 01 Jan 2026 00:00:00 +999999999999999", "soon", "-1", "1 2 3"])
def test_a_wait_that_is_none_is_not_heeded(said):
    assert asking.wait_of(connection.Reply(429, {"retry-after": said}, b"")) is None


def test_what_was_answered_is_not_asked_again(tmp_path):
    with served(mlflow(half)) as seen:
        first = target(seen.url, folder=tmp_path).answer(TABLE)
        again = target(seen.url, folder=tmp_path)
        second = again.answer(TABLE)
        assert again.told() == target(seen.url, folder=tmp_path).told()
        assert seen.records == 7
        target(seen.url, folder=tmp_path, answers="probabilities").answer(TABLE)  # another question
        assert seen.records == 14
    assert np.array_equal(first.log_probs, second.log_probs)
    ledger = tmp_path / "endpoint.ledger"
    assert stat.S_IMODE(ledger.stat().st_mode) == 0o600
    assert str(SECRET) not in ledger.read_text()
    assert KEY not in ledger.read_text()


@pytest.mark.parametrize("lost", [1, 10, 60, 200])
def test_a_torn_end_is_cut_off_and_only_what_it_held_is_asked_again(tmp_path, lost):
    with served(mlflow(half)) as seen:
        whole = target(seen.url, folder=tmp_path, records_per_request=1).answer(TABLE)
        ledger = tmp_path / "endpoint.ledger"
        content = ledger.read_bytes()
        ledger.write_bytes(content[:-lost])  # as a kill -9 in the middle of a write leaves it
        again = target(seen.url, folder=tmp_path, records_per_request=1)
        assert ledger.read_bytes() == content[: content[:-lost].rfind(b"\n") + 1]
        assert 0 <= 7 - len(again.ledger.answers) <= 3
        missing = 7 - len(again.ledger.answers)
        assert np.array_equal(again.answer(TABLE).log_probs, whole.log_probs)
        assert seen.records == 7 + missing
        assert len(target(seen.url, folder=tmp_path).ledger.answers) == 7


def test_of_two_audits_in_one_folder_the_second_is_refused_while_the_first_asks_and_charges_nobody_twice(tmp_path):
    reached, on = threading.Event(), threading.Event()

    def reply(handler, body, turn):
        if turn == 0:
            reached.set()
            assert on.wait(30)
        mlflow(half)(handler, body, turn)

    with served(reply) as seen:
        first, second = (target(seen.url, folder=tmp_path) for _ in range(2))
        asking_now = threading.Thread(target=first.answer, args=(TABLE,))
        asking_now.start()
        assert reached.wait(30)
        with pytest.raises(FolderError, match=r"another audit is asking with endpoint\.ledger in"):
            second.answer(TABLE)
        with pytest.raises(FolderError, match="another audit is asking"):
            target(seen.url, folder=tmp_path)
        on.set()
        asking_now.join()
        assert second.answer(TABLE).predicted.tolist() == [1] * 5 + [0] * 2
        assert seen.records == 7
    assert second.told() == first.told()


@pytest.mark.parametrize("coarse", [np.round, lambda probs: np.round(probs, 1)])
@pytest.mark.parametrize("resumed", [False, True])
def test_answers_that_lose_decimals_on_the_way_are_told_of_across_runs_too(tmp_path, coarse, resumed):
    table = pl.DataFrame({"a": np.arange(300.0) + 0.123, "b": np.full(300, SECRET)})

    def fine(rows):
        return np.column_stack([rows[:, 0], 300 - rows[:, 0]]) / 300

    def reply(handler, body, _turn):
        first = body["dataframe_split"]["data"][0][0] < 140
        mlflow(fine if first else lambda rows: coarse(fine(rows)))(handler, body, 0)

    with served(mlflow(fine)) as seen:
        asked = target(seen.url, records_per_request=20)
        asked.answer(table)
        assert len(asked.told()) == 1
    with served(reply) as seen:
        asked = target(seen.url, folder=tmp_path, records_per_request=20)
        asked.answer(table[:200] if resumed else table)
        if resumed:
            assert len(asked.told()) == 1  # too few since, so far
            asked = target(seen.url, folder=tmp_path, records_per_request=20)
            asked.answer(table)
    assert "the answers changed form after record 140 of 300" in asked.told()[1]


def test_an_audit_that_was_killed_asks_for_the_rest_alone(tmp_path):
    program = (
        "import sys, polars as pl, numpy as np; from pathlib import Path\n"
        "from unseen.plan import TargetPlan; from unseen.targets.http import HttpTarget, Surroundings\n"
        "said = TargetPlan(url=sys.argv[1], protocol='mlflow', records_per_request=1, requests_per_second=1e4)\n"
        "around = Surroundings(Path(sys.argv[2]), Path(sys.argv[2]))\n"
        f"table = pl.DataFrame({{'a': np.arange(7.0), 'b': np.full(7, {SECRET})}})\n"
        "HttpTarget(said, np.array([0, 1]), around).answer(table)\n"
    )
    reached = threading.Event()

    def reply(handler, body, turn):
        if turn == 4:
            reached.set()
            time.sleep(0.5)
        mlflow(half)(handler, body, turn)

    with served(reply) as seen:
        with subprocess.Popen([sys.executable, "-c", program, seen.url, str(tmp_path)]) as process:
            assert reached.wait(60)
            process.kill()
        again = target(seen.url, folder=tmp_path, records_per_request=1, api_key=None)
        assert len(again.ledger.answers) == 4
        again.answer(TABLE)
        assert seen.records == 8  # the one in question when it was killed, twice
    keys = [headers["Idempotency-Key"] for _, headers, _ in seen.requests]
    assert keys[4] == keys[5]  # which a gateway that knows the header charges once


def test_a_damaged_line_is_asked_again_and_a_damaged_head_is_refused(tmp_path):
    with served(mlflow(half)) as seen:
        target(seen.url, folder=tmp_path).answer(TABLE)
        ledger = tmp_path / "endpoint.ledger"
        lines = ledger.read_bytes().splitlines(keepends=True)
        lines[3] = lines[3].replace(b"0.", b"1.", 1)
        ledger.write_bytes(b"".join(lines))
        target(seen.url, folder=tmp_path).answer(TABLE)
        assert seen.records == 8
        ledger.write_bytes(b"not ours\n")
        with pytest.raises(UnseenError, match="damaged or of another version"):
            target(seen.url, folder=tmp_path)


def test_a_ledger_that_was_torn_before_its_first_line_begins_anew(tmp_path):
    (tmp_path / "endpoint.ledger").write_bytes(b"0a1b")
    with served(mlflow(half)) as seen:
        target(seen.url, folder=tmp_path).answer(TABLE)
    assert len((tmp_path / "endpoint.ledger").read_bytes().splitlines()) == 9


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ({"model_name": None}, "needs target.model_name"),
        ({"url": "http://127.0.0.1:1/v1/completions"}, "the likelihood of a given text"),
        ({"prompt": ""}, "target.prompt"),
        ({"answers": "probabilities"}, "withhold the probability of a given text"),
        ({"classes": None}, "target.classes"),
    ],
)
def test_what_a_chat_endpoint_withholds_is_said(said, says):
    given = TargetPlan(
        url="http://127.0.0.1:1/v1/chat/completions",
        protocol="openai",
        model_name="m",
        prompt="?",
        classes=("no", "yes"),
    )
    with pytest.raises(PlanError, match=says):
        HttpTarget(msgspec.structs.replace(given, **said), np.array(["no", "yes"]), Surroundings(os.devnull))


def test_a_chat_model_is_asked_for_labels_one_text_a_question():
    def reply(handler, body, _turn):
        text = body["messages"][1]["content"]
        choice = {"message": {"role": "assistant", "content": f" {'yes' if 'win' in text else 'no'}.\n"}}
        send(handler, 200, json.dumps({"choices": [choice]}).encode())

    said = {"protocol": "openai", "model_name": "m", "prompt": "Spam? yes or no", "classes": ("no", "yes")}
    with served(reply, "/v1/chat/completions") as seen:
        given = TargetPlan(url=seen.url, requests_per_second=1e4, **said)
        asked = HttpTarget(given, np.array(["no", "yes"]), Surroundings(os.devnull))
        answers = asked.answer(pl.DataFrame({"text": ["you win", "hello"]}))
    assert answers.predicted.tolist() == [1, 0]
    assert len(seen.requests) == 2
