"""`watch` from the first look to the exit code."""

from __future__ import annotations

import pytest

from batchyard.cli import display, failures
from batchyard.cli.progress import View
from batchyard.client import watching
from tests.cli.conftest import Shell
from tests.client.stub import ROOT, Stub, answer, batch, page

WHERE = f"GET {ROOT}/msgbatch_1"
RUNNING = answer(batch(processing=2, succeeded=1))


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(watching, "LOOK_SECONDS_ELSEWHERE", 0.0)


def ends(server: Stub, **counts: int) -> None:
    server.batchyard()
    server.on(WHERE, RUNNING, answer(batch(status="ended", **counts)))


def test_a_batch_that_ended_well_is_exit_0(batchyard: Shell, server: Stub) -> None:
    ends(server, succeeded=3)
    done = batchyard("watch", "msgbatch_1")
    assert done.code == 0
    assert done.out == "msgbatch_1  ended  3 succeeded\n"
    first, last, results = done.err.splitlines()
    assert "msgbatch_1 running 33 %: 1 ok, 0 errored, 2 left" in first
    assert "msgbatch_1 ended 100 %: 3 ok, 0 errored, 0 left, took 10 min" in last
    assert results == "results: batchyard results msgbatch_1 -o results.jsonl"


@pytest.mark.parametrize("outcome", ["errored", "canceled", "expired"])
def test_one_request_without_an_answer_is_exit_3(
    batchyard: Shell, server: Stub, outcome: str
) -> None:
    ends(server, succeeded=2, **{outcome: 1})
    done = batchyard("watch", "msgbatch_1")
    assert done.code == failures.FAILED_REQUESTS == 3
    assert f"2 succeeded, 1 {outcome}" in done.out
    assert 'select(.result.type != "succeeded")' in done.err


@pytest.mark.parametrize("arguments", [["--json"], ["--progress", "json"]])
def test_as_json_the_last_event_is_done(
    batchyard: Shell, server: Stub, arguments: list[str]
) -> None:
    ends(server, succeeded=2, errored=1)
    done = batchyard("watch", "msgbatch_1", *arguments)
    assert (done.code, done.err) == (3, "")
    events = done.events
    assert [event["event"] for event in events] == ["progress", "progress", "done"]
    assert events[-1]["batch"]["request_counts"]["succeeded"] == 2
    assert (events[-1]["exit_code"], events[-1]["interrupted"]) == (3, False)


def test_without_progress_only_the_end_is_told(batchyard: Shell, server: Stub) -> None:
    ends(server, succeeded=3)
    done = batchyard("watch", "msgbatch_1", "--progress", "none")
    assert done.out == "msgbatch_1  ended  3 succeeded\n"
    assert len(done.err.splitlines()) == 1


def test_without_an_id_it_is_the_newest_unfinished_one(batchyard: Shell, server: Stub) -> None:
    ends(server, succeeded=3)
    old = batch("msgbatch_0", processing=1)
    server.on(f"GET {ROOT}", page(batch("msgbatch_2", status="ended"), batch(processing=1), old))
    assert batchyard("watch").out.startswith("msgbatch_1  ended")


def test_when_all_have_ended_it_is_the_newest(batchyard: Shell, server: Stub) -> None:
    ends(server, succeeded=3)
    finished = [batch(f"msgbatch_{n}", status="ended", errored=1) for n in (1, 0)]
    server.on(f"GET {ROOT}", page(*finished))
    server.on(WHERE, answer(finished[0]))
    assert batchyard("watch").code == 3


def test_with_none_at_all_it_says_so(batchyard: Shell, server: Stub) -> None:
    server.on(f"GET {ROOT}", page())
    done = batchyard("watch")
    assert done.code == failures.USAGE
    assert "there is no batch to watch" in done.err


@pytest.mark.parametrize("as_json", [False, True])
def test_to_stop_watching_stops_nothing(
    batchyard: Shell, server: Stub, monkeypatch: pytest.MonkeyPatch, as_json: bool
) -> None:
    def interrupt(_: object, __: View) -> None:
        raise KeyboardInterrupt

    ends(server, succeeded=3)
    monkeypatch.setattr(display.PlainLines, "show", interrupt)
    monkeypatch.setattr(display.JsonEvents, "show", interrupt)
    done = batchyard("watch", "msgbatch_1", *(["--json"] if as_json else []))
    assert done.code == failures.INTERRUPTED == 130
    assert [asked for asked in server.asked if asked.method != "GET"] == []
    if as_json:
        (event,) = done.events
        assert (event["event"], event["interrupted"]) == ("done", True)
    else:
        assert "msgbatch_1 keeps running on the server" in done.err
        assert "batchyard watch msgbatch_1" in done.err
        assert "batchyard cancel msgbatch_1" in done.err


def test_the_bar_goes_to_stderr(batchyard: Shell, server: Stub) -> None:
    ends(server, succeeded=3)
    done = batchyard("watch", "msgbatch_1", "--progress", "bar", TERM="xterm")
    assert done.out == "msgbatch_1  ended  3 succeeded\n"
    assert "3 ok" in done.err
    assert "100 %" in done.err
