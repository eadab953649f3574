"""`doctor`: what it finds, what it advises, and its exit code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from batchyard import __version__
from batchyard.cli import examination, failures
from tests.cli.conftest import Shell
from tests.client.stub import ROOT, Reply, Stub, answer, batch, error, page


def ready(*engines: dict[str, Any], **checks: bool) -> Reply:
    shown = [{"name": name, "ok": ok, "detail": f"about {name}"} for name, ok in checks.items()]
    return answer({"status": "ok", "version": "1", "checks": shown, "engines": list(engines)})


def engine(name: str, state: str = "up", reason: str = "") -> dict[str, Any]:
    return {"name": name, "state": state, "reason": reason, "url": f"http://{name}",
            "models": ["tiny"], "in_flight": 1, "limit": 8}  # fmt: skip


@pytest.fixture
def healthy(server: Stub) -> Stub:
    server.on("GET /livez", answer({"status": "ok", "version": __version__}))
    server.on("GET /readyz", ready(engine("vllm"), catalog=True))
    server.on(f"GET {ROOT}", page())
    return server


def found(done: Any) -> dict[str, dict[str, Any]]:
    (event,) = done.events
    assert event["event"] == "doctor"
    assert event["exit_code"] == done.code
    return {finding["name"]: finding for finding in event["findings"]}


def test_a_healthy_server_is_all_in_order(batchyard: Shell, healthy: Stub) -> None:
    done = batchyard("doctor")
    assert done.code == 0
    assert done.err == ""
    *lines, verdict = done.out.splitlines()
    assert verdict == "all in order; exit 0"
    assert {line[0] for line in lines} == {"✓", "·"}
    assert any("vllm   http://vllm   tiny   1 of 8 in flight" in line for line in lines)


def test_without_a_server_there_is_one_finding_and_exit_5(alone: Shell) -> None:
    done = alone("doctor")
    assert done.code == failures.UNREACHABLE
    assert "✗ server        cannot reach http://127.0.0.1:1: Connection refused" in done.out
    assert "fix:  start one with `batchyard serve`" in done.out


def test_another_version_is_a_warning(batchyard: Shell, healthy: Stub) -> None:
    healthy.on("GET /livez", answer({"status": "ok", "version": "9.9"}))
    done = batchyard("doctor", "--json")
    assert done.code == 0
    assert found(done)["server"]["verdict"] == "warning"


def test_a_server_of_another_make_is_looked_at_as_far_as_possible(
    batchyard: Shell, server: Stub
) -> None:
    server.on(f"GET {ROOT}", page())
    done = batchyard("doctor", "--json")
    assert done.code == 0
    findings = found(done)
    assert findings["server"]["verdict"] == "warning"
    assert findings["key"]["verdict"] == "ok"
    assert "engine" not in findings


def test_a_refused_key_is_an_error_with_the_way_out(batchyard: Shell, healthy: Stub) -> None:
    healthy.on(f"GET {ROOT}", error(401, "authentication_error", "API key is invalid."))
    done = batchyard("doctor", "--json")
    assert done.code == failures.USAGE
    assert "BATCHYARD_API_KEY" in found(done)["key"]["fix"]


@pytest.mark.parametrize(
    ("engines", "code", "verdicts"),
    [
        ([engine("a")], 0, ["ok"]),
        ([engine("a"), engine("b", "waiting", "connection refused")], 0, ["ok", "warning"]),
        ([engine("a"), engine("b", "paused", "401")], 2, ["ok", "error"]),
        ([engine("b", "waiting", "connection refused")], 5, ["error"]),
        ([], 5, ["error"]),
    ],
)
def test_engines_that_are_away_are_told_with_their_reason(
    batchyard: Shell, healthy: Stub, engines: list[dict[str, Any]], code: int, verdicts: list[str]
) -> None:
    healthy.on("GET /readyz", ready(*engines))
    done = batchyard("doctor", "--json")
    shown = [one for one in done.events[0]["findings"] if one["name"] == "engine"]
    assert done.code == code
    assert [one["verdict"] for one in shown] == verdicts
    for one, told in zip(engines, shown, strict=False):
        assert one["reason"] in told["detail"]
        assert bool(told["fix"]) == (told["verdict"] != "ok")


def test_a_failed_check_is_an_error(batchyard: Shell, healthy: Stub) -> None:
    healthy.on("GET /readyz", ready(engine("a"), catalog=True, dispatch=False))
    done = batchyard("doctor", "--json")
    findings = found(done)
    assert (done.code, findings["dispatch"]["verdict"]) == (2, "error")
    assert findings["dispatch"]["detail"] == "about dispatch"


def test_a_results_url_that_leads_nowhere_is_found(batchyard: Shell, healthy: Stub) -> None:
    lost = {**batch(status="ended"), "results_url": f"http://127.0.0.1:1{ROOT}/msgbatch_1/results"}
    healthy.on(f"GET {ROOT}", page(lost))
    done = batchyard("doctor", "--json")
    finding = found(done)["results url"]
    assert (done.code, finding["verdict"]) == (2, "error")
    assert f"--public-url {healthy.url}" in finding["fix"]


def test_a_results_url_by_another_name_of_the_server_is_fine_and_sees_no_key(
    batchyard: Shell, healthy: Stub
) -> None:
    other = healthy.url.replace("127.0.0.1", "localhost")
    elsewhere = {**batch(status="ended"), "results_url": f"{other}{ROOT}/msgbatch_1/results"}
    healthy.on(f"GET {ROOT}", page(elsewhere))
    done = batchyard("doctor", "--json", BATCHYARD_API_KEY="by_secret")
    assert found(done)["results url"]["verdict"] == "ok"
    strangers = [asked for asked in healthy.asked if asked.headers["host"].startswith("localhost")]
    assert [asked.path for asked in strangers] == ["/livez"]
    assert "x-api-key" not in strangers[0].headers


@pytest.mark.parametrize(("away", "verdict"), [(0, "ok"), (60, "warning"), (-60, "warning")])
def test_clocks_that_differ_are_found(away: int, verdict: str) -> None:
    finding = examination._clock(1_000 + away, 1_000)
    assert finding.verdict == verdict
    assert ("60 s" in finding.detail) == bool(away)


def test_the_servers_clock_is_read_from_its_answers(batchyard: Shell, healthy: Stub) -> None:
    assert found(batchyard("doctor", "--json"))["clock"]["verdict"] == "ok"


def test_a_data_directory_open_to_others_is_an_error(
    batchyard: Shell, healthy: Stub, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    data.chmod(0o755)
    done = batchyard("doctor", "--json", "--data-dir", str(data))
    finding = found(done)["data"]
    assert (done.code, finding["verdict"]) == (2, "error")
    assert finding["fix"] == f"chmod 700 {data}"
    data.chmod(0o700)
    assert found(batchyard("doctor", "--json", "--data-dir", str(data)))["data"]["verdict"] == "ok"


@pytest.mark.parametrize(
    ("free", "verdict"), [(10 * 1024**3, "ok"), (512 * 1024**2, "warning"), (1024, "error")]
)
def test_a_disk_that_fills_is_found_before_it_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, verdict: str
) -> None:
    usage = type("usage", (), {"free": free})
    monkeypatch.setattr(examination.shutil, "disk_usage", lambda _: usage)
    *_, space = examination.examine_data(tmp_path)
    assert (space.name, space.verdict) == ("space", verdict)


def test_a_bad_config_is_a_finding(batchyard: Shell, healthy: Stub, tmp_path: Path) -> None:
    config = tmp_path / "batchyard.toml"
    config.write_text("prot = 1")
    done = batchyard("doctor", "--json", "--config", str(config))
    assert (done.code, found(done)["config"]["verdict"]) == (2, "error")


def test_data_of_another_machine_is_not_looked_for(
    healthy: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchyard.cli.verbs.doctor._LOCAL", ())
    assert "data" not in found(Shell({"BATCHYARD_SERVER": healthy.url})("doctor", "--json"))
