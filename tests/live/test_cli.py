"""The command line against a real server: processes, signals, terminals that are none."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.live.conftest import Serve
from tests.live.harness.calls import requests
from tests.live.harness.serving import Server, clean_environment, free_port
from tests.live.harness.waiting import eventually

MODEL = "claude-haiku-4-5"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "requests.jsonl"
    write(path, 40)
    return path


def write(path: Path, count: int) -> None:
    lines = (json.dumps(one, ensure_ascii=False) for one in requests(count, model=MODEL))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def start(server: Server | None, *words: str, **env: str) -> subprocess.Popen[str]:
    url = {"BATCHYARD_SERVER": server.url} if server else {}
    return subprocess.Popen(
        [sys.executable, "-m", "batchyard", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment({**url, **env}),
    )


def batchyard(server: Server | None, *words: str, code: int = 0, **env: str) -> tuple[str, str]:
    """Run to the end; returns stdout and stderr."""
    process = start(server, *words, **env)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, (out, err)
    return out, err


def events(out: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.splitlines()]


def test_a_batch_from_file_to_file(server: Server, file: Path, tmp_path: Path) -> None:
    batch_id = batchyard(server, "create", str(file))[0].strip()
    assert re.fullmatch(r"msgbatch_01\w{22}", batch_id)
    out, err = batchyard(server, "watch", batch_id)
    assert out == f"{batch_id}  ended  40 succeeded\n"
    assert "100 %" in err
    target = tmp_path / "results.jsonl"
    batchyard(server, "results", batch_id, "-o", str(target))
    lines = [json.loads(line) for line in target.read_bytes().splitlines()]
    assert {line["custom_id"] for line in lines} == {f"r-{n}" for n in range(40)}
    assert batchyard(server, "results", batch_id)[0].encode() == target.read_bytes()
    assert batch_id in batchyard(server, "list", "--limit", "1000")[0]
    assert "already" in batchyard(server, "cancel", batch_id)[1]
    assert batchyard(server, "delete", batch_id)[0] == f"{batch_id}\n"
    assert "not found" in batchyard(server, "retrieve", batch_id, code=2)[1]


def test_the_same_idempotency_key_finds_the_same_batch(server: Server, file: Path) -> None:
    create = ("create", str(file), "--idempotency-key", "nightly-7")
    assert batchyard(server, *create)[0] == batchyard(server, *create)[0]
    assert batchyard(server, "create", str(file))[0] != batchyard(server, *create)[0]


def test_requests_that_failed_are_exit_3(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "mixed.jsonl"
    good, bad = requests(2, model=MODEL)
    bad["params"].pop("messages")
    path.write_text("\n".join(map(json.dumps, (good, bad))))
    batch_id = batchyard(server, "create", str(path))[0].strip()
    out, _ = batchyard(server, "watch", batch_id, "--json", code=3)
    done = events(out)[-1]
    assert (done["event"], done["exit_code"]) == ("done", 3)


def test_doctor_is_content_with_a_server_that_works(server: Server, file: Path) -> None:
    batchyard(server, "watch", batchyard(server, "create", str(file))[0].strip())
    out, err = batchyard(server, "doctor", "--json", "--data-dir", str(server.data_dir))
    (report,) = events(out)
    verdicts = {one["name"]: one["verdict"] for one in report["findings"]}  # type: ignore[index]
    assert err == ""
    assert set(verdicts.values()) == {"ok"}, out
    assert {"server", "key", "clock", "engine", "results url", "data", "space"} <= verdicts.keys()


@contextmanager
def watching(server: Server, *words: str) -> Iterator[subprocess.Popen[str]]:
    process = start(server, "watch", *words)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            stream.close()


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_ctrl_c_stops_watching_and_not_the_batch(serve: Serve, tmp_path: Path) -> None:
    server = serve("--engine", "simulator:latency=100ms", "--concurrency", "2")
    write(tmp_path / "long.jsonl", 200)
    batch_id = batchyard(server, "create", str(tmp_path / "long.jsonl"))[0].strip()
    with watching(server, "--json") as process:
        assert json.loads(first_line(process))["batch_id"] == batch_id
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert err == ""
    assert events(out)[-1]["interrupted"] is True
    assert server.calls.batch(batch_id)["processing_status"] == "in_progress"
    assert server.calls.batch(batch_id)["cancel_initiated_at"] is None


def test_watching_outlives_a_server_that_is_killed_and_started_again(
    serve: Serve, tmp_path: Path
) -> None:
    server = serve("--engine", "simulator:latency=50ms", "--concurrency", "4")
    write(tmp_path / "long.jsonl", 150)
    batch_id = batchyard(server, "create", str(tmp_path / "long.jsonl"))[0].strip()
    with watching(server, batch_id, "--json") as process:
        first_line(process)
        server.kill_all()
        states = set()
        while "not answering" not in states:
            states.add(json.loads(first_line(process))["state"])
        server.start()
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0, out
    done = events(out)[-1]
    assert done["batch"]["request_counts"]["succeeded"] == 150  # type: ignore[index]


def test_an_engine_that_is_away_is_the_reason_one_sees(serve: Serve, file: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    server = serve("--engine", f"openai+{url}")
    batchyard(server, "create", str(file))
    with watching(server, "--json") as process:
        state = json.loads(first_line(process))
        while state["state"] != "waiting for engine":
            state = json.loads(first_line(process))
    assert "refused" in state["reason"].lower()
    out, _ = batchyard(server, "doctor", code=5)
    assert f"{url}" in out
    assert "its work waits" in out


def test_from_the_first_key_on_a_key_is_needed(serve: Serve, file: Path) -> None:
    server = serve("--engine", "simulator")
    where = ("--data-dir", str(server.data_dir))
    batchyard(server, "list")
    secret = batchyard(None, "keys", "create", "--name", "me", *where)[0].strip()

    def refused() -> bool:
        process = start(server, "list")
        _, err = process.communicate(timeout=30)
        return process.returncode == 2 and "BATCHYARD_API_KEY" in err

    eventually(refused, within=10, what="a call without a key to be refused")
    batchyard(server, "list", BATCHYARD_API_KEY=secret)
    batchyard(server, "list", ANTHROPIC_API_KEY=secret)
    (made,) = events(batchyard(None, "keys", "list", "--json", *where)[0])
    batchyard(None, "keys", "revoke", made["keys"][0]["id"], *where)  # type: ignore[index]

    def revoked() -> bool:
        process = start(server, "list", BATCHYARD_API_KEY=secret)
        process.communicate(timeout=30)
        return process.returncode == 2

    eventually(revoked, within=10, what="the revoked key to be refused")


def test_a_second_server_on_the_same_data_is_one_sentence(server: Server) -> None:
    out, err = batchyard(
        None, "serve", "--engine", "simulator", "--data-dir", str(server.data_dir),
        "--port", str(free_port()), code=2,
    )  # fmt: skip
    assert out == ""
    assert err.startswith(f"error: the data directory {server.data_dir} is in use")
    assert server.calls.ask("GET", "/readyz").status == 200


def test_a_watched_batch_in_a_terminal_is_a_bar(server: Server, file: Path) -> None:
    batch_id = batchyard(server, "create", str(file))[0].strip()
    shown = in_terminal(server, "watch", batch_id)
    assert "\N{FULL BLOCK}" in shown
    assert "40 ok" in shown
    assert "100 %" in shown
    plain = in_terminal(server, "watch", batch_id, TERM="dumb")
    assert "\x1b" not in plain
    assert "ended 100 %: 40 ok" in plain
    colourless = in_terminal(server, "watch", batch_id, NO_COLOR="1")
    assert not re.search(r"\x1b\[[0-9;]*3[1-7]", colourless)


def in_terminal(server: Server, *words: str, **env: str) -> str:
    """What a terminal of 80 columns is sent."""
    ours, theirs = pty.openpty()
    size = {"COLUMNS": "80", "LINES": "24", "TERM": "xterm-256color", **env}
    process = subprocess.Popen(
        [sys.executable, "-m", "batchyard", *words],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=clean_environment({"BATCHYARD_SERVER": server.url, **size}),
    )
    os.close(theirs)
    try:
        shown = b"".join(_until_closed(ours))
    finally:
        os.close(ours)
        process.wait(30)
    return shown.decode()


def _until_closed(fd: int) -> Iterator[bytes]:
    while True:
        try:
            piece = os.read(fd, 65_536)
        except OSError:  # how Linux says that the other side is closed
            return
        if not piece:
            return
        yield piece
