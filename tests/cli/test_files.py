"""`submit` and `convert`: many batches of one file, and files as other files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from batchyard.cli import failures
from tests.cli.conftest import Shell
from tests.client.stub import LIVE, ROOT, Reply, Stub, answer, batch, error


def requests(folder: Path, many: int) -> str:
    path = folder / "in.jsonl"
    lines = [{"custom_id": f"r-{n}", "params": {"model": "tiny"}} for n in range(many)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


def created(*names: str) -> list[Reply]:
    return [answer(batch(name, processing=2)) for name in names]


def test_submit_prints_the_id_of_each_batch(batchyard: Shell, server: Stub, tmp_path: Path) -> None:
    server.on(f"POST {ROOT}", *created("msgbatch_1", "msgbatch_2", "msgbatch_3"))
    done = batchyard("submit", requests(tmp_path, 5), "--batch-size", "2")
    assert done.code == 0
    assert done.out == "msgbatch_1\nmsgbatch_2\nmsgbatch_3\n"
    assert "5 requests in 3 batches" in done.err
    sent = [json.loads(asked.body)["requests"] for asked in server.of(f"POST {ROOT}")]
    assert [len(part) for part in sent] == [2, 2, 1]
    assert [one["custom_id"] for part in sent for one in part] == [f"r-{n}" for n in range(5)]


def test_the_parts_of_one_submit_have_keys_of_their_own_and_the_same_again(
    batchyard: Shell, server: Stub, tmp_path: Path
) -> None:
    server.on(f"POST {ROOT}", *created("a", "b"), *created("a", "b"))
    file = requests(tmp_path, 2)
    for _ in range(2):
        batchyard("submit", file, "--batch-size", "1", "--idempotency-key", "night")
    keys = [asked.headers["idempotency-key"] for asked in server.of(f"POST {ROOT}")]
    assert keys == ["night-1", "night-2"] * 2


def test_a_fault_in_the_last_line_sends_nothing(
    batchyard: Shell, server: Stub, tmp_path: Path
) -> None:
    file = requests(tmp_path, 3)
    with Path(file).open("a") as lines:
        lines.write("{}\n")
    done = batchyard("submit", file, "--batch-size", "1")
    assert done.code == failures.USAGE
    assert "in.jsonl:4: custom_id is missing" in done.err
    assert "nothing was sent" in done.err
    assert server.of(f"POST {ROOT}") == []


def test_submit_that_is_refused_midway_says_how_far_it_came_and_how_to_go_on(
    batchyard: Shell, server: Stub, tmp_path: Path
) -> None:
    server.on("GET /livez", LIVE)
    full = error(429, "rate_limit_error", "queue is full", x_should_retry="false")
    server.on(f"POST {ROOT}", *created("msgbatch_1"), full)
    done = batchyard("submit", requests(tmp_path, 2), "--batch-size", "1")
    assert done.code == failures.REFUSED
    assert done.out == "msgbatch_1\n"
    assert "1 of 2 batches created" in done.err
    assert "--batch-size 1 --idempotency-key " in done.err


def test_submit_speaks_json(batchyard: Shell, server: Stub, tmp_path: Path) -> None:
    server.on(f"POST {ROOT}", *created("a", "b"))
    done = batchyard("submit", requests(tmp_path, 2), "--batch-size", "1", "--json")
    assert [event["event"] for event in done.events] == ["created", "created", "done"]
    assert done.events[-1]["batches"] == ["a", "b"]
    assert done.err == ""


def test_convert_turns_one_format_into_another(alone: Shell, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,text\n1,=x\n2,y\n")
    target = tmp_path / "b.jsonl"
    done = alone("convert", str(tmp_path / "a.csv"), str(target))
    assert (done.code, done.out) == (0, "")
    assert f"wrote  {target}   2 rows" in done.err
    assert [json.loads(line)["text"] for line in target.read_text().splitlines()] == ["=x", "y"]


def test_convert_makes_messages_of_chat_completions(alone: Shell, tmp_path: Path) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5}
    line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": body}
    (tmp_path / "openai.jsonl").write_text(json.dumps(line) + "\n")
    target = tmp_path / "requests.jsonl"
    done = alone("convert", str(tmp_path / "openai.jsonl"), str(target), "--json")
    assert done.events[-1] == {
        "schema_version": 1, "event": "done", "path": str(target), "rows": 1, "exit_code": 0,
    }  # fmt: skip
    made = json.loads(target.read_text())
    assert made["custom_id"] == "a"
    assert made["params"]["messages"][0]["role"] == "user"


@pytest.mark.parametrize("force", [False, True])
def test_convert_replaces_nothing_unless_told(alone: Shell, tmp_path: Path, force: bool) -> None:
    (tmp_path / "a.csv").write_text("id\n1\n")
    target = tmp_path / "b.csv"
    target.write_text("mine\n")
    done = alone("convert", str(tmp_path / "a.csv"), str(target), *(["--force"] if force else []))
    assert (done.code, target.read_text().startswith("mine")) == (
        (0, False) if force else (2, True)
    )
    assert force or "--force replaces it" in done.err


def test_convert_to_standard_output_keeps_the_talk_apart(alone: Shell, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id\n1\n")
    done = alone("convert", str(tmp_path / "a.csv"), "-", "--json")
    assert json.loads(done.out) == {"id": "1"}
    assert json.loads(done.err)["rows"] == 1
