"""`batchyard run` as a process: with an engine of its own, on a terminal, interrupted, killed."""

from __future__ import annotations

import csv
import json
import os
import pty
import re
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.conftest import Serve
from tests.live.harness.serving import clean_environment, free_port
from tests.live.harness.waiting import eventually, throughout

SLOW = "simulator:latency=100ms,slots=8,seed=7"
ASK = (
    "run", "in.csv", "--prompt", "Rate: {{ text }}", "--schema", "sentiment: positive|negative",
)  # fmt: skip


@pytest.fixture
def here(tmp_path: Path) -> Path:
    write(tmp_path / "in.csv", 400)
    return tmp_path


def write(path: Path, many: int) -> None:
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "text"])
        rows.writerows([n, f"number {n} is great"] for n in range(many))


def labelled(here: Path) -> list[dict[str, str]]:
    with (here / "in.labelled.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def start(here: Path, *words: str, **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "batchyard", *words],
        cwd=here,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment(env),
    )


def batchyard(here: Path, *words: str, code: int = 0) -> tuple[str, str]:
    process = start(here, *words)
    out, err = process.communicate(timeout=120)
    assert process.returncode == code, (out, err)
    return out, err


def until(process: subprocess.Popen[str], enough: int) -> None:
    """Read events until so many rows have succeeded."""
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line)
        assert event["event"] != "error", event
        if event["event"] == "progress" and event["succeeded"] >= enough:
            return
    pytest.fail("it ended before")


def servers_of(here: Path) -> Iterator[int]:
    """Processes that work in the folder."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if os.fsencode(here) in words:
                yield int(entry.name)


def test_an_engine_alone_is_enough(here: Path) -> None:
    _, err = batchyard(here, *ASK, "--engine", "simulator:seed=7")
    assert "sample        5 of 5 rows valid" in err
    assert "wrote  in.labelled.csv   400 rows (input order) + sentiment, _status, …" in err
    rows = labelled(here)
    assert [row["id"] for row in rows] == [str(n) for n in range(400)]
    assert {row["_status"] for row in rows} == {"succeeded"}
    assert {row["_attempts"] for row in rows} == {"1"}
    assert list(servers_of(here)) == []


def test_an_engine_that_is_not_there_is_told_at_once(here: Path) -> None:
    _, err = batchyard(here, *ASK, "--engine", f"http://127.0.0.1:{free_port()}", code=5)
    assert "error: no engine answers: " in err
    assert "connection refused; nothing was sent" in err
    assert "--engine" in err
    assert list((here / ".batchyard").iterdir()) == []


def test_ctrl_c_saves_what_is_in_flight_and_resume_goes_on(here: Path) -> None:
    process = start(here, *ASK, "--engine", SLOW, "--json")
    until(process, 40)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, (out, err)
    last = json.loads(out.splitlines()[-1])
    assert (last["event"], last["interrupted"], last["output"]) == ("done", True, None)
    assert not (here / "in.labelled.csv").exists()
    assert list(servers_of(here)) == []
    out, err = batchyard(here, "resume", "--json")
    resumed = json.loads(out.splitlines()[0])
    assert resumed["event"] == "resumed"
    assert resumed["done"] >= 40
    assert resumed["done"] + resumed["left"] == 400
    rows = labelled(here)
    assert len(rows) == 400
    assert {row["_attempts"] for row in rows} == {"1"}, "nothing was asked twice"


def test_after_a_kill_the_same_command_goes_on(here: Path) -> None:
    process = start(here, *ASK, "--engine", SLOW, "--json")
    until(process, 40)
    process.kill()
    process.communicate(timeout=60)
    _, err = batchyard(here, *ASK, "--engine", SLOW)
    assert re.search(r"run_\w+  \d+ done, 0 failed, \d+ left\. Prompt, model and schema", err)
    assert [row["id"] for row in labelled(here)] == [str(n) for n in range(400)]


def test_two_at_work_on_one_run_are_one_too_many(here: Path) -> None:
    process = start(here, *ASK, "--engine", SLOW, "--json")
    until(process, 10)
    _, err = batchyard(here, "resume", code=2)
    assert f"another process ({process.pid}) works on run_" in err
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)


def test_ctrl_c_leaves_the_batches_of_a_server_alone_and_says_so(here: Path, serve: Serve) -> None:
    server = serve("--engine", SLOW)
    process = start(here, *ASK, "--progress", "none", BATCHYARD_SERVER=server.url)
    listing = ("list", "--server", server.url)
    eventually(lambda: "msgbatch_" in batchyard(here, *listing)[0], within=60)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    said = err.splitlines()
    goes_on = "The batch keeps running on the server. Attach with `batchyard watch msgbatch_"
    assert goes_on in said[-2]
    assert "stop it with `batchyard cancel msgbatch_" in said[-2]
    assert "Continue with:   batchyard resume" in said[-1]
    batchyard(here, "resume")
    assert len(labelled(here)) == 400


def test_ctrl_c_twice_ends_it_at_once(here: Path) -> None:
    engine = "simulator:latency=60s,slots=8"
    process = start(here, *ASK, "--engine", engine, "--no-sample", "--json")
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line).get("batches_in_process"):
            break
    throughout(lambda: process.poll() is None, seconds=2)  # until engines have something to do

    def ended() -> bool:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        return process.poll() is not None

    eventually(ended, within=10, every=1.0)  # two signals at the same moment would be one
    out, _ = process.communicate(timeout=15)  # the answers in flight would take a minute
    assert process.returncode == 130
    assert "batchyard resume" in json.loads(out.splitlines()[-1])["message"]
    assert list(servers_of(here)) == []


def test_on_a_terminal_there_is_a_question_and_a_bar(here: Path) -> None:
    leader, follower = pty.openpty()
    termios.tcsetwinsize(follower, (40, 80))
    process = subprocess.Popen(
        [sys.executable, "-m", "batchyard", *ASK, "--engine", "simulator:latency=20ms"],
        cwd=here,
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env=clean_environment({"TERM": "xterm"}),
    )
    os.close(follower)
    seen = b""
    answered = False
    while True:
        try:
            seen += os.read(leader, 65536)
        except OSError:
            break
        if b"Run 400 rows? [Y/n] " in seen and not answered:
            os.write(leader, b"y\n")
            answered = True
    os.close(leader)
    assert process.wait(60) == 0
    text = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", seen).decode()
    assert answered
    assert "█" in text
    assert "400 ok   0 failed  100 %   finished in" in text
    assert max(len(line) for line in re.split(r"[\r\n]+", text)) <= 80
