"""The child that holds the model: started, lost, replaced, gone; and how it is configured."""

from __future__ import annotations

import importlib.util
import os
import select
import subprocess
import sys
from pathlib import Path

import pytest

from batchyard.engines.llama import LlamaEngine, LlamaOptions, options_of
from batchyard.engines.llama import process as llama_process
from batchyard.engines.openai import ChatEngine
from batchyard.errors import ConfigurationError, Misconfigured, Spent, Unavailable
from tests.engines.llamas import SMALL, ask, said, text_of
from tests.tiny_model import tiny_gguf


async def test_a_child_that_dies_is_replaced(
    llama: LlamaEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await said(llama)
    child = llama._process._child
    assert child is not None
    child.kill()
    with pytest.raises((Spent, Unavailable)):
        await said(llama)
    await child.wait()
    with pytest.raises(Unavailable, match=r"llama\.cpp ended"):
        await llama.models()
    monkeypatch.setattr(llama_process, "RESTART_SECONDS", 0.0)
    assert text_of(await said(llama)) == text_of(first)
    assert llama._process.pid not in (child.pid, None)


async def test_nothing_is_left_when_it_is_closed() -> None:
    engine = LlamaEngine(tiny_gguf(), SMALL)
    await engine.models()
    child = engine._process.pid
    assert child is not None
    await engine.close()
    await engine.close()
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
    with pytest.raises(Unavailable, match="was closed"):
        await engine.models()


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="watches a process as Linux can")
def test_no_child_outlives_a_parent_that_was_killed() -> None:
    script = f"""
import asyncio
from pathlib import Path
from batchyard.engines.llama import LlamaEngine

async def main():
    engine = LlamaEngine(Path({str(tiny_gguf())!r}))
    await engine.models()
    print(engine._process.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = os.pidfd_open(int(parent.stdout.readline()))
    parent.kill()
    parent.communicate()
    gone, _, _ = select.select([child], [], [], 20)
    os.close(child)
    assert gone


async def test_while_the_model_is_loaded_calls_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llama_process, "PATIENCE_SECONDS", 0.0)
    async with LlamaEngine(tiny_gguf(), SMALL) as engine:
        with pytest.raises(Unavailable, match=r"llama\.cpp is loading model \(0 s so far\)"):
            await engine.models()


async def test_its_door_wants_the_key_that_only_we_know(llama: LlamaEngine) -> None:
    await llama.models()
    stranger = ChatEngine(await llama._process.address())
    with pytest.raises(Misconfigured):
        await stranger.create_message(ask())
    await stranger.close()


# -- configuration ---------------------------------------------------------------------------------


def test_options_are_read_as_they_are_written() -> None:
    written = {
        "slots": "8",
        "context": "4096",
        "threads": "2",
        "cache_ram": "0",
        "gpu_layers": "99",
    }
    assert options_of(written) == LlamaOptions(8, 4_096, 2, 0, 99)
    assert options_of({}) == LlamaOptions()


@pytest.mark.parametrize(
    ("pairs", "why"),
    [
        (
            {"speed": "1"},
            "unknown option speed; known: slots, context, threads, cache_ram, gpu_layers",
        ),
        ({"slots": "0"}, "slots=0; it takes a number from 1"),
        ({"context": "many"}, "context=many; it takes a number from 64"),
        ({"threads": "-1"}, "threads=-1; it takes a number from 0"),
    ],
)
def test_options_that_cannot_be_are_told(pairs: dict[str, str], why: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        options_of(pairs)
    assert why in caught.value.message


def test_a_file_that_is_no_model_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "notes.gguf").write_text("not a model")
    with pytest.raises(ConfigurationError, match=r"notes\.gguf is not a GGUF model"):
        LlamaEngine(tmp_path / "notes.gguf")
    with pytest.raises(ConfigurationError, match="cannot read"):
        LlamaEngine(tmp_path / "missing.gguf")


async def test_a_model_that_cannot_be_loaded_is_the_operators_fault(tmp_path: Path) -> None:
    (tmp_path / "torn.gguf").write_bytes(tiny_gguf().read_bytes()[:10_000])
    async with LlamaEngine(tmp_path / "torn.gguf", SMALL) as engine:
        with pytest.raises(Misconfigured, match=r"cannot run .*torn\.gguf: its last words: .*load"):
            await engine.models()


def test_without_the_wheel_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigurationError) as caught:
        LlamaEngine(tiny_gguf())
    assert caught.value.fix == "pip install 'batchyard[llama]'"
