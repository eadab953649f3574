"""The first look at engines, and the lines that tell of it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from batchyard.config import Settings
from batchyard.engine import Ask, Model
from batchyard.engines.probe import Look, probe_loopback
from batchyard.errors import ConfigurationError, Misconfigured, Unavailable
from batchyard.routing import Routing
from batchyard.server.banner import Found, banner
from batchyard.server.engines import building
from batchyard.server.engines.specs import parse_specs
from batchyard.server.engines.survey import survey
from batchyard.server.engines.undecided import Undecided
from tests.upstreams.scripted import Scripted

SETTINGS = Settings(data_dir=Path("/data"))


def lines(
    settings: Settings = SETTINGS, *, keys: bool = False, found: tuple[Found, ...] = ()
) -> str:
    routing = Routing(
        [one.label for one in found],
        aliases=settings.models.aliases,
        auto_alias=settings.auto_alias,
    )
    for one in found:
        if one.models is not None:
            routing.learn(one.label, [Model(model) for model in one.models])
    origin = f"http://{settings.host}:8484"
    return "\n".join(banner(settings, origin=origin, engines=found, routing=routing, keys=keys))


UP = Found(True, "vllm 0.32", "http://localhost:8000", ("qwen3",), "32k ctx   /v1/messages")
DOWN = Found(False, "sglang", "http://localhost:30000", None, "not running")


# -- looking --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("paths", "kind", "note"),
    [
        (("/v1/messages", "/v1/chat/completions"), "messages", "/v1/messages"),
        (("/v1/chat/completions",), "chat", "through /v1/chat/completions"),
    ],
)
async def test_a_url_is_asked_which_dialect_it_speaks(
    paths: tuple[str, ...], kind: str, note: str
) -> None:
    async with Scripted(paths=paths, models=("m1", "m2")) as upstream:
        looked = await survey(parse_specs([f"{upstream.url};name=mine"], {}), SETTINGS)
    assert [spec.kind for spec in looked.specs] == [kind]
    (found,) = looked.found
    assert (found.up, found.models) == (True, ("m1", "m2"))
    assert found.label.startswith("mine")
    assert found.note.endswith(note)


async def test_an_engine_that_is_down_stays_undecided_and_work_waits_for_it() -> None:
    looked = await survey(parse_specs(["http://127.0.0.1:9"], {}), SETTINGS)
    assert [spec.kind for spec in looked.specs] == ["detect"]
    assert not looked.found[0].up
    assert looked.found[0].note.endswith("work waits for it")


async def test_a_refused_key_is_told_and_pauses_the_engine() -> None:
    async with Scripted(key="right") as upstream:
        specs = parse_specs([f"{upstream.url};key_env=KEY"], {"KEY": "wrong"})
        looked = await survey(specs, SETTINGS)
        assert looked.found[0].note.endswith("paused")
        with pytest.raises(Misconfigured):
            await building.engine(looked.specs[0], SETTINGS).models()


async def test_an_undecided_engine_becomes_one_as_soon_as_something_answers() -> None:
    (spec,) = parse_specs(["http://127.0.0.1:9"], {})
    undecided = building.engine(spec, SETTINGS)
    assert isinstance(undecided, Undecided)
    with pytest.raises(Unavailable):
        await undecided.models()
    async with Scripted(models=("m1",)) as upstream:
        (spec,) = parse_specs([upstream.url], {})
        late = building.engine(spec, SETTINGS)
        assert [model.id for model in await late.models()] == ["m1"]
        params = b'{"model":"m1","max_tokens":9,"messages":[{"role":"user","content":"echo me"}]}'
        reply = await late.create_message(Ask(params=params, model="m1"))
        assert b"echo me" in reply.message
        await late.close()


async def test_an_engine_that_can_never_be_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="latncy"):
        await survey(parse_specs(["simulator:latncy=1"], {}), SETTINGS)


async def test_without_engines_the_usual_ports_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Scripted(models=("m1",)) as upstream:
        ports: Mapping[int, str] = {upstream.port: "vllm", 9: "ollama"}

        async def nearby() -> list[Look]:
            return await probe_loopback(ports)

        monkeypatch.setattr(building, "nearby", nearby)
        looked = await survey([], SETTINGS)
    (spec,) = looked.specs
    assert (spec.kind, spec.url) == ("messages", upstream.url)
    assert [(found.up, found.note) for found in looked.found][1:] == [(False, "not running")]


async def test_nothing_found_says_what_was_tried_and_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def nearby() -> list[Look]:
        return await probe_loopback({9: "vllm", 13: "ollama"})

    monkeypatch.setattr(building, "nearby", nearby)
    with pytest.raises(ConfigurationError, match="no engine was found") as caught:
        await survey([], SETTINGS)
    assert "http://127.0.0.1:9 " in caught.value.message
    assert "http://127.0.0.1:13" in caught.value.message
    assert "--engine simulator" in str(caught.value.fix)


async def test_what_engines_inside_say_later_fills_the_survey() -> None:
    looked = await survey(parse_specs(["simulator;name=sim"], {}), SETTINGS)
    assert looked.found[0].models is None
    assert looked.with_models({"sim": ["s1"]}).found[0].models == ("s1",)


# -- saying ---------------------------------------------------------------------------------------


def test_the_banner_names_what_is_up_and_what_is_not() -> None:
    said = lines(found=(UP, DOWN))
    assert "engines   ✓ vllm 0.32   http://localhost:8000    qwen3   32k ctx   /v1/messages" in said
    assert "          · sglang      http://localhost:30000   not running" in said


def test_claude_names_mean_the_only_model_unless_switched_off() -> None:
    assert "claude-*  →  qwen3    (only one model served" in lines(found=(UP,))
    off = Settings(data_dir=Path("/data"), auto_alias=False)
    assert "claude-*" not in lines(off, found=(UP,))
    two = Found(True, "vllm", "http://h:1", ("a", "b"), "")
    assert "claude-*" not in lines(found=(two,))


def test_aliases_are_told() -> None:
    settings = Settings.model_validate({"models": {"aliases": {"fast": "qwen3"}}})
    assert "models    fast  →  qwen3" in lines(settings, found=(UP,))


@pytest.mark.parametrize(
    ("settings", "keys", "auth", "key"),
    [
        ({}, False, "off, because the server listens on 127.0.0.1 only", "local"),
        ({}, True, "API keys", "<your key>"),
        ({"host": "0.0.0.0"}, True, "API keys", "<your key>"),
        (
            {"host": "0.0.0.0", "insecure_no_auth": True},
            False,
            "off, although the server listens on 0.0.0.0: anyone who reaches it may use it",
            "local",
        ),
    ],
)
def test_the_banner_says_whether_keys_are_needed(
    settings: dict[str, object], keys: bool, auth: str, key: str
) -> None:
    said = lines(Settings.model_validate(settings), keys=keys, found=(UP,))
    assert f"auth      {auth}\n" in said
    assert said.endswith(f"export ANTHROPIC_API_KEY={key}")


def test_the_public_url_is_the_one_to_export() -> None:
    said = lines(Settings(public_url="https://batches.example.com/"), found=(UP,))
    assert "export ANTHROPIC_BASE_URL=https://batches.example.com\n" in said


def test_many_models_are_counted_rather_than_listed() -> None:
    many = Found(True, "ollama", "http://h:1", ("a", "b", "c", "d", "e"), "")
    assert "a, b, c and 2 more" in lines(found=(many,))


def test_a_reader_who_has_left_ends_nothing() -> None:
    """As in `batchyard serve | head -1`."""
    code = "from batchyard.server.banner import show; show(['batchyard'] * 9); print(end='')"
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=writing, stderr=subprocess.PIPE, check=False
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_terminal_without_our_signs_gets_others() -> None:
    code = "from batchyard.server.banner import show; show(['a · b ✓ → ü'])"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    said = subprocess.check_output([sys.executable, "-c", code], env=environment)
    assert said == b"a - b + -> ?\n"
