"""The supervisor and its children as processes: restarts, ends, locks, signals, no orphans."""

from __future__ import annotations

import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.live.conftest import Serve
from tests.live.harness.serving import Server
from tests.live.harness.waiting import eventually
from tests.server.refusal import refused

pytestmark = [pytest.mark.xdist_group("processes"), pytest.mark.timeout(120)]

ENTRIES = [
    {
        "custom_id": f"r{number}",
        "params": {
            "model": "simulator-1",
            "max_tokens": 8,
            "messages": [{"role": "user", "content": f"number {number}"}],
        },
    }
    for number in range(20)
]


@pytest.fixture(scope="module")
def server(serve_module: Serve) -> Server:
    """A server that these tests share, as long as they leave it running."""
    return serve_module("--engine", "simulator:latency=1ms")


def niceness(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[16])


def test_the_first_lines_say_where_what_and_how(server: Server) -> None:
    eventually(lambda: "ANTHROPIC_API_KEY" in server.log.read_text(), within=20)
    said = server.log.read_text()
    assert f"· {server.url}\n" in said
    assert "✓ simulator   simulator-1" in said
    assert "claude-*  →  simulator-1" in said
    assert f"sqlite {server.data_dir}/batchyard.db · results kept 29 days" in said
    assert "auth      off, because the server listens on 127.0.0.1 only" in said
    assert f"    export ANTHROPIC_BASE_URL={server.url}\n" in said
    assert "    export ANTHROPIC_API_KEY=local\n" in said
    assert "\x1b" not in said


def test_only_the_owner_can_read_what_is_kept(server: Server) -> None:
    batch = server.calls.create(ENTRIES)
    server.calls.ended(batch["id"])
    open_ = [
        str(path)
        for path in (server.data_dir, *server.data_dir.rglob("*"))
        if path.stat().st_mode & 0o077
    ]
    assert open_ == []


def test_dispatch_runs_at_a_lower_priority(server: Server) -> None:
    roles = server.roles()
    assert niceness(roles["dispatch"]) == niceness(roles["api"]) + 10


def test_a_killed_api_comes_back_and_connections_wait_for_it(server: Server) -> None:
    server.calls.close()
    killed = server.kill("api")
    # No retry: the connection is taken by the kernel and answered by the next process.
    assert server.calls.ask("GET", "/v1/messages/batches").status == 200
    assert server.roles()["api"] != killed


def test_a_killed_dispatch_comes_back_and_goes_on(server: Server) -> None:
    killed = server.kill("dispatch")
    batch = server.calls.create(ENTRIES)
    server.calls.ended(batch["id"])
    assert server.roles()["dispatch"] != killed


def test_the_terminals_ctrl_c_is_no_business_of_the_children(server: Server) -> None:
    before = server.roles()
    for role in ("api", "dispatch"):
        os.kill(before[role], signal.SIGINT)
    assert server.calls.ask("GET", "/livez").status == 200
    batch = server.calls.create(ENTRIES)
    server.calls.ended(batch["id"])
    assert server.roles() == before


def test_a_second_server_on_the_same_data_is_refused_and_touches_nothing(server: Server) -> None:
    before = {path: path.stat().st_mtime_ns for path in server.data_dir.iterdir()}
    said = refused("--data-dir", str(server.data_dir), "--port", "0", "--engine", "simulator")
    assert said.startswith(f"error: the data directory {server.data_dir} is in use by another")
    assert f"process {server.roles()['supervisor']}" in said
    changed = [
        path.name
        for path in server.data_dir.iterdir()
        if "lock" in path.name and before.get(path) != path.stat().st_mtime_ns
    ]
    assert changed == []
    assert server.calls.ask("GET", "/livez").status == 200


def test_a_taken_port_is_one_plain_sentence_and_leaves_the_data_unlocked(
    server: Server, tmp_path: Path
) -> None:
    flags = ("--data-dir", str(tmp_path / "data"), "--engine", "simulator")
    for _ in range(2):
        said = refused(*flags, "--port", str(server.port))
        assert said.startswith(f"error: port {server.port} on 127.0.0.1 is taken by another")
        assert f"--port {server.port + 1}" in said


def test_upstream_keys_are_in_no_argument_and_no_variable(serve: Serve, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("sk-very-secret")
    spec = f"anthropic+http://127.0.0.1:9;name=gone;key_file={key}"
    server = serve("--engine", spec, "--engine", "simulator")
    for pid in server.pids():
        for place in ("cmdline", "environ"):
            assert b"sk-very-secret" not in Path(f"/proc/{pid}/{place}").read_bytes()
    eventually(lambda: "ANTHROPIC_API_KEY" in server.log.read_text(), within=20)
    assert "sk-very-secret" not in server.log.read_text()
    assert "· gone" in server.log.read_text()


def test_killing_the_supervisor_leaves_no_orphan_and_no_lock(serve: Serve) -> None:
    server = serve("--engine", "simulator:latency=1s", ready=True)
    server.calls.create(ENTRIES)
    server.calls.close()
    server.kill("supervisor")
    eventually(lambda: not server.pids(), within=5, what="the children to be gone")
    server.start()
    assert len(server.calls.batches()) == 1
    assert server.stop() == 0


def test_killing_the_supervisor_before_the_children_are_up_leaves_no_orphan(serve: Serve) -> None:
    server = serve("--engine", "simulator", ready=False)
    eventually(lambda: len(server.roles()) >= 2, within=20, every=0.002)
    server.kill("supervisor")
    eventually(lambda: not server.pids(), within=5, what="the children to be gone")


def test_sigterm_lets_answers_under_way_arrive(serve: Serve) -> None:
    server = serve("--engine", "simulator:latency=1s,slots=4", "--concurrency", "4")
    batch = server.calls.create(ENTRIES)["id"]
    answered = eventually(
        lambda: server.calls.batch(batch)["request_counts"]["succeeded"], within=20
    )
    server.calls.close()
    assert server.stop() == 0
    results = server.data_dir.glob("batches/*/results/*.jsonl")
    written = sum(file.read_bytes().count(b"\n") for file in results)
    assert written >= answered + 4, "what four slots had under way is asked again"
    server.start()
    server.calls.ended(batch)
    assert server.calls.batch(batch)["request_counts"]["succeeded"] == len(ENTRIES)


def test_a_second_signal_ends_the_wait_for_a_slow_engine(serve: Serve) -> None:
    server = serve("--engine", "simulator:latency=10m", "--drain-seconds", "600")
    batch = server.calls.create(ENTRIES)["id"]
    eventually(lambda: in_flight(server), within=20)
    assert server.process is not None
    server.process.send_signal(signal.SIGINT)
    # The api goes on answering while dispatch drains.
    assert server.calls.batch(batch)["request_counts"]["processing"] == len(ENTRIES)
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(15) == 0
    assert server.pids() == []


def test_drain_seconds_bound_the_wait_for_a_slow_engine(serve: Serve) -> None:
    server = serve("--engine", "simulator:latency=10m", "--drain-seconds", "1")
    server.calls.create(ENTRIES)
    assert server.stop(within=20) == 0


def test_each_half_runs_alone_on_the_same_data(serve: Serve, tmp_path: Path) -> None:
    api = serve("--role", "api", "--engine", "simulator")
    assert set(api.roles()) == {"supervisor", "api"}
    batch = api.calls.create(ENTRIES)["id"]
    whole = ("--data-dir", str(api.data_dir), "--port", "0", "--engine", "simulator")
    assert "in use by another Batchyard server" in refused(*whole)
    other = serve("--role", "dispatch", "--engine", "simulator", ready=False, data_dir=api.data_dir)
    api.calls.ended(batch)
    assert set(other.roles()) == {"supervisor", "dispatch"}
    eventually(lambda: "dispatch only" in other.log.read_text(), within=20)
    assert "in use by another Batchyard server" in refused(*whole, "--role", "dispatch")
    assert other.stop() == 0


def test_a_path_too_long_for_a_socket_is_no_obstacle(serve: Serve, tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 60)
    server = serve("--engine", "simulator", data_dir=deep)
    batch = server.calls.create(ENTRIES)["id"]
    server.calls.ended(batch)


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ("UPDATE alembic_version SET version_num = '9999'", 2, "9999"),
        (None, 1, "batchyard.db"),
    ],
    ids=["another version", "damaged"],
)
def test_a_catalog_it_cannot_work_with_ends_the_server_in_plain_words(
    serve: Serve, change: str | None, status: int, words: str
) -> None:
    server = serve("--engine", "simulator")
    assert server.stop() == 0
    catalog = server.data_dir / "batchyard.db"
    if change is None:
        catalog.write_bytes(catalog.read_bytes()[:100] + b"not what was written" * 500)
    else:
        with closing(sqlite3.connect(catalog)) as connection:
            connection.execute(change)
            connection.commit()
    server.log.write_bytes(b"")
    server.launch()
    assert server.process is not None
    assert server.process.wait(60) == status
    said = server.log.read_text()
    assert words in said
    assert said.count("error: ") == 1
    assert "Traceback" not in said
    assert "export ANTHROPIC" not in said


def test_a_child_killed_again_and_again_comes_back_every_time(serve: Serve) -> None:
    server = serve("--engine", "simulator")
    for _ in range(4):
        server.kill("dispatch")
    batch = server.calls.create(ENTRIES)["id"]
    server.calls.ended(batch)
    assert server.stop() == 0


def in_flight(server: Server) -> int:
    page = server.calls.ask("GET", "/readyz?verbose", headers={"accept": "application/json"})
    return sum(engine["in_flight"] for engine in page.json["engines"])
