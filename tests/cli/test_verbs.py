"""The short verbs: data on stdout, talk on stderr, one envelope with `--json`."""

from __future__ import annotations

import json
import os
import re
import threading
from pathlib import Path

import pytest

from batchyard.cli import failures
from tests.cli.conftest import Shell
from tests.client.stub import HANG_UP, ROOT, Reply, Stub, answer, batch, error, page

LINE = '{"custom_id":"a","params":{"model":"tiny"}}\n'
ENDED = batch(status="ended", succeeded=2)
RESULTS = b'{"custom_id":"a","result":{"type":"canceled"}}\n' * 2


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "in.jsonl"
    path.write_text(LINE)
    return str(path)


# -- create ---------------------------------------------------------------------------------------


def test_create_prints_the_id_and_talks_beside_it(
    batchyard: Shell, server: Stub, file: str
) -> None:
    server.on(f"POST {ROOT}", answer(batch(processing=1)))
    done = batchyard("create", file)
    assert done.code == 0
    assert done.out == "msgbatch_1\n"
    assert "created with 1 request;" in done.err
    assert "batchyard watch msgbatch_1" in done.err


@pytest.mark.parametrize("stdin", [LINE, LINE.strip(), "\ufeff" + LINE, LINE.replace("\n", "\r\n")])
def test_create_reads_standard_input(batchyard: Shell, server: Stub, stdin: str) -> None:
    server.on(f"POST {ROOT}", answer(batch(processing=1)))
    done = batchyard("create", "-", "--json", stdin=stdin.encode())
    (event,) = done.events
    assert (event["event"], event["batch"]["id"], done.err) == ("created", "msgbatch_1", "")
    (asked,) = server.of(f"POST {ROOT}")
    assert json.loads(asked.body) == {"requests": [json.loads(LINE)]}


def test_create_reads_a_pipe_which_flows_only_once(
    batchyard: Shell, server: Stub, tmp_path: Path
) -> None:
    pipe = tmp_path / "requests.pipe"
    os.mkfifo(pipe)
    for line, code in ((LINE, 0), (LINE + LINE, failures.USAGE)):
        server.on(f"POST {ROOT}", answer(batch(processing=1)))
        writer = threading.Thread(target=pipe.write_text, args=[line])
        writer.start()
        done = batchyard("create", str(pipe))
        writer.join(10)
        assert done.code == code, done.err
    assert f"error: {pipe}:2: custom_id" in done.err
    (asked,) = server.of(f"POST {ROOT}")
    assert json.loads(asked.body) == {"requests": [json.loads(LINE)]}


def test_a_bad_line_is_told_with_its_number_before_anything_is_sent(
    batchyard: Shell, server: Stub, tmp_path: Path
) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(LINE + LINE)
    done = batchyard("create", str(path))
    assert done.code == failures.USAGE
    assert f"error: {path}:2: custom_id" in done.err
    assert "nothing was sent" in done.err
    assert server.asked == []
    assert "stdin:2: " in batchyard("create", "-", stdin=LINE + LINE).err


def test_a_missing_file_is_one_line(alone: Shell) -> None:
    done = alone("create", "nowhere.jsonl")
    assert done.code == failures.USAGE
    assert done.err.startswith("error: nowhere.jsonl: No such file or directory\n")


def test_a_lost_create_tells_how_to_go_on_without_a_second_batch(
    batchyard: Shell, server: Stub, file: str
) -> None:
    server.on(f"POST {ROOT}", HANG_UP)
    done = batchyard("create", file)
    assert done.code == failures.UNREACHABLE
    key = re.search(r"--idempotency-key (\w+)", done.err)
    assert key is not None
    server.on(f"POST {ROOT}", answer(batch(processing=1)))
    assert batchyard("create", file, "--idempotency-key", key[1]).code == 0
    keys = {asked.headers["idempotency-key"] for asked in server.of(f"POST {ROOT}")}
    assert keys == {key[1]}


def test_a_full_queue_is_a_refusal(batchyard: Shell, server: Stub, file: str) -> None:
    full = error(429, "rate_limit_error", "100 batches are in process.", retry_after="600")
    server.on(f"POST {ROOT}", full)
    done = batchyard("create", file)
    assert done.code == failures.REFUSED
    assert "error: 100 batches are in process." in done.err


# -- retrieve, list, cancel, delete ---------------------------------------------------------------


def test_retrieve_shows_everything_about_a_batch(batchyard: Shell, server: Stub) -> None:
    server.on(f"GET {ROOT}/msgbatch_1", answer(batch(processing=1_000, succeeded=999, errored=1)))
    out = batchyard("retrieve", "msgbatch_1").out
    assert "status    in_progress\n" in out
    assert "requests  2 000: 1 000 processing, 999 succeeded, 1 errored\n" in out
    assert "created   2026-01-01 00:00:00 UTC (" in out
    assert "ended" not in out


def test_retrieve_as_json_is_the_object_itself(batchyard: Shell, server: Stub) -> None:
    server.on(f"GET {ROOT}/msgbatch_1", answer(ENDED))
    (event,) = batchyard("retrieve", "msgbatch_1", "--json").events
    assert event == {"schema_version": 1, "event": "batch", "batch": ENDED}


@pytest.mark.parametrize(
    ("typed", "fix"),
    [
        ("msgbatch_011ngLBS4xn3akAZSZcfg59X", "did you mean msgbatch_011ngLBS4xn3akAZSZcfg59t?"),
        ("msgbatch_011ngLBS4", "did you mean msgbatch_011ngLBS4xn3akAZSZcfg59t?"),
        ("msgbatch_01", "`batchyard list` shows the batches there are"),
        ("nonsense", "`batchyard list` shows the batches there are"),
    ],
)
@pytest.mark.parametrize("verb", ["retrieve", "watch", "results", "cancel", "delete"])
def test_an_unknown_id_gets_the_nearest_one(
    batchyard: Shell, server: Stub, verb: str, typed: str, fix: str
) -> None:
    server.batchyard()
    server.on(
        f"GET {ROOT}",
        page(
            batch("msgbatch_011ngLBS4xn3akAZSZcfg59t"), batch("msgbatch_011ngLAzuicBSKbNAcSYVbE3")
        ),
    )
    done = batchyard(verb, typed)
    assert done.code == failures.USAGE
    assert f"  fix: {fix}\n" in done.err
    assert f" docs: {server.url}/docs/errors#the_code\n" in done.err


def test_list_is_one_line_for_each_batch(batchyard: Shell, server: Stub) -> None:
    server.on(f"GET {ROOT}", page(batch("msgbatch_2", processing=3, errored=1), ENDED))
    done = batchyard("list")
    head, first, second = done.out.splitlines()
    assert head.split() == ["ID", "STATUS", "DONE", "FAILED", "CREATED"]
    assert first.split()[:4] == ["msgbatch_2", "in_progress", "1/4", "1"]
    assert second.split()[:4] == ["msgbatch_1", "ended", "2/2", "-"]


@pytest.mark.parametrize(
    ("arguments", "asked", "shown"),
    [([], 2, 3), (["--limit", "2"], 1, 2), (["--limit", "3"], 2, 3), (["--all"], 2, 3)],
)
def test_list_stops_where_it_is_told(
    batchyard: Shell, server: Stub, arguments: list[str], asked: int, shown: int
) -> None:
    two = page(batch("msgbatch_3"), batch("msgbatch_2"), has_more=True)
    server.on(f"GET {ROOT}", two, page(batch("msgbatch_1")))
    (event,) = batchyard("list", "--json", *arguments).events
    assert len(event["batches"]) == shown
    assert event["has_more"] == (shown == 2)
    assert len(server.asked) <= asked + 1


def test_an_empty_list_says_what_to_do(batchyard: Shell, server: Stub) -> None:
    server.on(f"GET {ROOT}", page())
    done = batchyard("list")
    assert (done.code, done.out) == (0, "")
    assert "batchyard create" in done.err


def test_cancel_says_what_is_kept(batchyard: Shell, server: Stub) -> None:
    canceling = batch(status="canceling", processing=5, succeeded=31)
    server.on(f"POST {ROOT}/msgbatch_1/cancel", answer(canceling))
    done = batchyard("cancel", "msgbatch_1")
    assert "canceling" in done.out
    assert "31 finished results stay available" in done.err


def test_delete_says_that_it_is_gone(batchyard: Shell, server: Stub) -> None:
    gone = {"id": "msgbatch_1", "type": "message_batch_deleted"}
    server.on(f"DELETE {ROOT}/msgbatch_1", answer(gone))
    assert batchyard("delete", "msgbatch_1").out == "msgbatch_1\n"
    (event,) = batchyard("delete", "msgbatch_1", "--json").events
    assert (event["event"], event["id"]) == ("deleted", "msgbatch_1")


# -- results --------------------------------------------------------------------------------------


@pytest.fixture
def ended(server: Stub) -> Stub:
    server.on(f"GET {ROOT}/msgbatch_1", answer(ENDED))
    server.on(f"GET {ROOT}/msgbatch_1/results", Reply(body=RESULTS))
    return server


def test_results_go_to_stdout_byte_for_byte(batchyard: Shell, ended: Stub) -> None:
    done = batchyard("results", "msgbatch_1")
    assert done.out.encode() == RESULTS
    assert done.err == "2 results: 2 succeeded\n"


def test_results_go_to_a_file(batchyard: Shell, ended: Stub, tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    done = batchyard("results", "msgbatch_1", "-o", str(target))
    assert (done.code, done.out) == (0, "")
    assert target.read_bytes() == RESULTS


def test_the_summary_never_mixes_with_results(
    batchyard: Shell, ended: Stub, tmp_path: Path
) -> None:
    target = str(tmp_path / "out.jsonl")
    (event,) = batchyard("results", "msgbatch_1", "-o", target, "--json").events
    assert (event["event"], event["path"], event["lines"]) == ("done", target, 2)
    done = batchyard("results", "msgbatch_1", "--json")
    assert done.out.encode() == RESULTS
    assert json.loads(done.err)["bytes"] == len(RESULTS)


def test_results_before_the_end_say_how_far_it_is(batchyard: Shell, server: Stub) -> None:
    server.on(f"GET {ROOT}/msgbatch_1", answer(batch(processing=7, succeeded=3)))
    done = batchyard("results", "msgbatch_1")
    assert done.code == failures.USAGE
    assert "7 processing, 3 succeeded" in done.err
    assert "  fix: batchyard watch msgbatch_1\n" in done.err


def test_a_broken_download_keeps_what_came_and_goes_on(
    batchyard: Shell, ended: Stub, tmp_path: Path
) -> None:
    target = tmp_path / "out.jsonl"
    ended.on(f"GET {ROOT}/msgbatch_1/results", Reply(body=RESULTS[:60], length=len(RESULTS)))
    assert batchyard("results", "msgbatch_1", "-o", str(target)).code == failures.UNREACHABLE
    assert not target.exists()
    ended.on(f"GET {ROOT}/msgbatch_1/results", Reply(body=RESULTS))
    done = batchyard("results", "msgbatch_1", "-o", str(target))
    assert "going on after 60 bytes" in done.err
    assert target.read_bytes() == RESULTS


# -- which server, which key ----------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/"])
def test_an_address_may_be_written_as_people_do(alone: Shell, server: Stub, suffix: str) -> None:
    server.on(f"GET {ROOT}", page())
    assert alone("list", "--server", server.url + suffix).code == 0


def test_an_address_may_have_a_path(alone: Shell, server: Stub) -> None:
    server.on(f"GET /prefix{ROOT}", page())
    assert alone("list", "--server", f"{server.url}/prefix").code == 0


@pytest.mark.parametrize(
    "address",
    ["localhost:8484", "ftp://h", "http://", "http://h:x", "http://h?x=1", "http://u:p@h"],
)
def test_what_is_no_address_is_refused(alone: Shell, address: str) -> None:
    done = alone("list", "--server", address)
    assert done.code == failures.USAGE
    assert "--server" in done.err


def test_our_variables_come_before_the_sdks(server: Stub) -> None:
    server.on(f"GET {ROOT}", page())
    shell = Shell({"ANTHROPIC_BASE_URL": server.url, "ANTHROPIC_API_KEY": "theirs"})
    assert shell("list").code == 0
    assert shell("list", BATCHYARD_API_KEY="ours").code == 0
    assert shell("list", BATCHYARD_SERVER="http://127.0.0.1:1").code == failures.UNREACHABLE
    assert [asked.headers["x-api-key"] for asked in server.asked] == ["theirs", "ours"]


@pytest.mark.parametrize("key", [None, "by_wrong"])
def test_a_refused_key_says_where_keys_come_from(
    batchyard: Shell, server: Stub, key: str | None
) -> None:
    server.on(f"GET {ROOT}", error(401, "authentication_error", "API key is invalid."))
    done = batchyard("list", **({"BATCHYARD_API_KEY": key} if key else {}))
    assert done.code == failures.USAGE
    assert "BATCHYARD_API_KEY" in done.err
    assert "batchyard keys create" in done.err
    assert "by_wrong" not in done.err
