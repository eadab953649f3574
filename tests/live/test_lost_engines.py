"""Engines that are not there, cannot be spoken to or refuse our key: work waits, and says why."""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.live.conftest import Serve
from tests.live.harness.calls import request, requests
from tests.live.harness.serving import PROGRAM, Server, clean_environment, free_port
from tests.live.harness.upstream import Upstream
from tests.live.harness.waiting import eventually, throughout

pytestmark = pytest.mark.timeout(120)


def engines(server: Server) -> dict[str, dict[str, Any]]:
    """The engines as `/readyz?verbose` tells them, by name."""
    answer = server.calls.ask("GET", "/readyz?verbose", headers={"accept": "application/json"})
    return {engine["name"]: engine for engine in answer.json["engines"]}


def in_state(server: Server, name: str, state: str) -> dict[str, Any]:
    def look() -> dict[str, Any]:
        engine = engines(server).get(name, {"state": "not told yet"})
        assert engine["state"] == state, engine
        return engine

    return eventually(look, within=15)


def watched(server: Server, batch_id: str, words: str) -> str:
    """What `batchyard watch` prints, until it has printed `words`."""
    command = [PROGRAM, "watch", batch_id, "--server", server.url]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=clean_environment({}),
    )
    alarm = threading.Timer(20, process.kill)
    alarm.start()
    said = ""
    assert process.stdout is not None
    try:
        for line in process.stdout:
            said += line
            if words in said:
                break
    finally:
        alarm.cancel()
        process.kill()
        process.wait(10)
        process.stdout.close()
    assert words in said, said
    return said


@pytest.fixture(scope="module")
def yard(serve_module: Serve) -> Iterator[tuple[Server, Upstream]]:
    """One server, five engines nobody can use and one that works."""
    with Upstream(models=["good"]) as good, Upstream(models=["locked"], key="right") as locked:
        yield (
            serve_module(
                *("--engine", f"anthropic+{good.url};name=good"),
                *("--engine", f"anthropic+http://127.0.0.1:{free_port()};name=refused"),
                *("--engine", "anthropic+http://no-such-host.invalid:8000;name=unknown-host"),
                *("--engine", f"anthropic+{good.url.replace('http', 'https')};name=no-tls"),
                *("--engine", f"anthropic+{locked.url};name=locked;key_env=WRONG_KEY"),
                *("--engine", f"openai+{locked.url};name=locked-chat;key_env=WRONG_KEY"),
                env={"WRONG_KEY": "wrong"},
            ),
            locked,
        )


@pytest.mark.parametrize(
    ("name", "state", "words"),
    [
        ("refused", "waiting", ("refused",)),
        ("unknown-host", "waiting", ("no-such-host.invalid",)),
        ("no-tls", "waiting", ("TLS", "connection reset")),
        ("locked", "paused", ("401", "key", "credential")),
        ("locked-chat", "paused", ("401", "key", "credential")),
    ],
)
def test_readyz_says_why_an_engine_is_not_up(
    yard: tuple[Server, Upstream], name: str, state: str, words: tuple[str, ...]
) -> None:
    reason = in_state(yard[0], name, state)["reason"]
    assert any(word in reason for word in words), reason
    assert "Traceback" not in reason
    page = yard[0].calls.ask("GET", "/readyz?verbose").body.decode()
    assert any(name in line and state in line and reason in line for line in page.splitlines())


def test_one_lost_engine_does_not_touch_the_work_of_another(
    yard: tuple[Server, Upstream],
) -> None:
    results = yard[0].calls.run(requests(50, model="good"), within=20)
    assert {result["type"] for result in results.values()} == {"succeeded"}


def test_no_secret_is_in_the_page_or_the_log(yard: tuple[Server, Upstream]) -> None:
    server = yard[0]
    in_state(server, "locked", "paused")
    page = server.calls.ask("GET", "/readyz?verbose").body.decode()
    assert "wrong" not in page.replace("no-such", "")
    assert "wrong" not in server.log.read_text()


def test_a_wrong_key_pauses_the_engine_and_burns_no_request(serve: Serve) -> None:
    """Models are listed to anybody; only the first real request is refused."""
    with Upstream(models=["m"], fault="status:401") as upstream:
        server = serve("--engine", f"anthropic+{upstream.url};name=locked")
        batch = server.calls.create(requests(200, model="m"))
        engine = in_state(server, "locked", "paused")
        assert "scripted 401" in engine["reason"]
        said = watched(server, batch["id"], "scripted 401")
        assert "locked" in said
        tried = len(upstream.exchanges)
        assert tried <= 40, "many requests were spent on a key that cannot work"
        assert server.calls.batch(batch["id"])["request_counts"]["processing"] == 200
        upstream.set(fault=None)
        ended = server.calls.ended(batch["id"], within=60)
        assert ended["request_counts"]["succeeded"] == 200


def test_a_redirect_is_not_followed_and_names_its_target(serve: Serve) -> None:
    with Upstream(models=["m"], fault="redirect") as upstream:
        server = serve("--engine", f"anthropic+{upstream.url};name=moved")
        batch_id = server.calls.create(requests(20, model="m"))["id"]
        assert "http://127.0.0.1:9/elsewhere" in in_state(server, "moved", "paused")["reason"]
        assert server.calls.batch(batch_id)["request_counts"]["processing"] == 20


def test_a_dead_engine_means_waiting_not_errors(serve: Serve) -> None:
    with Upstream(models=["m"], latency=0.02) as upstream:
        server = serve("--engine", f"anthropic+{upstream.url};name=engine;concurrency=8")
        batch_id = server.calls.create(requests(600, model="m"))["id"]
        eventually(lambda: len(upstream.exchanges) > 100, within=20)
        upstream.down()
        reason = in_state(server, "engine", "waiting")["reason"]
        assert "refused" in reason
        said = watched(server, batch_id, "waiting")
        assert "refused" in said

        def nothing_is_errored() -> bool:
            counts = server.calls.batch(batch_id)["request_counts"]
            return bool(counts["errored"] == 0 and counts["processing"] > 0)

        throughout(nothing_is_errored, seconds=2)
        upstream.up()
        ended = server.calls.ended(batch_id, within=60)
        assert ended["request_counts"]["succeeded"] == 600


def test_a_server_started_before_its_engine_begins_when_it_comes(serve: Serve) -> None:
    with Upstream(models=["m"]) as upstream:
        upstream.down()
        server = serve("--engine", f"{upstream.url};name=late")
        batch_id = server.calls.create(requests(20, model="m"))["id"]
        in_state(server, "late", "waiting")
        assert server.calls.batch(batch_id)["request_counts"]["processing"] == 20
        upstream.up()
        ended = server.calls.ended(batch_id, within=60)
        assert ended["request_counts"]["succeeded"] == 20


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl on the PATH")
def test_a_certificate_nobody_signed_is_not_accepted(serve: Serve, tmp_path: Path) -> None:
    with Upstream(models=["m"], tls=_self_signed(tmp_path)) as upstream:
        url = upstream.url.replace("http:", "https:")
        server = serve("--engine", f"anthropic+{url};name=selfsigned")
        reason = in_state(server, "selfsigned", "waiting")["reason"]
        assert "certificate" in reason
        assert upstream.exchanges == []


def test_a_live_call_to_a_lost_engine_is_told_so_at_once(yard: tuple[Server, Upstream]) -> None:
    ask = request("x", "hi", model="refused-model")["params"]
    answer = yard[0].calls.ask("POST", "/v1/messages", json.dumps(ask).encode())
    status, kind, _ = answer.error
    assert (status, kind) == (503, "api_error")
    assert int(answer.headers["retry-after"]) >= 1


def _self_signed(folder: Path) -> ssl.SSLContext:
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context
