"""llama.cpp's own HTTP server on a tiny model, in a process of its own: a real upstream for tests.

It speaks both dialects, `/v1/messages` and `/v1/chat/completions`. In a test:

    from tests.tiny_model.serve import serving
    with serving(slots=1) as upstream: ... upstream.url, upstream.counters()

or take the fixture `llama_server`, one server for a whole session (import it into a conftest).
`python -m tests.tiny_model.serve MODEL.gguf` runs one by hand; it ends when its stdin does, so
nothing is left when whoever started it dies.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.tiny_model import Size, tiny_gguf

_COUNTER = re.compile(r"^llamacpp:(\w+)(?:\{[^}]*\})? ([0-9.e+-]+)$", re.MULTILINE)
_HTTP_THREADS = 128
"""Every kept-alive connection holds one: too few and some of them wait for half a minute."""


@dataclass(frozen=True, slots=True)
class LlamaServer:
    """A running server. `model` is the name it serves, `key` what it wants as a key."""

    url: str
    model: str
    key: str | None
    process: subprocess.Popen[str]

    def counters(self) -> dict[str, float]:
        """What its `/metrics` count, without the `llamacpp:` before each name."""
        request = urllib.request.Request(f"{self.url}/metrics")
        if self.key:
            request.add_header("authorization", f"Bearer {self.key}")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return {name: float(value) for name, value in _COUNTER.findall(answer.read().decode())}


@contextmanager
def serving(
    size: Size = "tiny",
    *,
    slots: int = 2,
    context: int = 4_096,
    cache_ram: int = 0,
    key: str | None = None,
) -> Iterator[LlamaServer]:
    """A server on a free loopback port until the block ends.

    `context` is tokens per slot. `cache_ram` is MiB of host memory for prompts pushed out of their
    slots; it is off, because with it the order of requests hardly matters.
    """
    options = {"slots": slots, "context": context, "cache-ram": cache_ram}
    command = [sys.executable, "-m", "tests.tiny_model.serve", str(tiny_gguf(size))]
    command += [f"--{name}={value}" for name, value in options.items()]
    process = subprocess.Popen(
        command,
        cwd=Path(__file__).parents[2],
        env=os.environ | {"LLAMA_KEY": key or ""},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        told = process.stdout.readline().split()
        assert told[:1] == ["listening"], f"llama.cpp did not start: {told}"
        yield LlamaServer(told[1], told[2], key, process)
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def llama_server() -> Iterator[LlamaServer]:
    """One server for the whole session: two slots, no host cache, no key."""
    with serving() as upstream:
        yield upstream


def _params(options: argparse.Namespace) -> Any:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = options.gguf
    params.model_alias = {options.alias}
    params.port, params.hostnames = options.port, ["127.0.0.1"]
    params.n_parallel, params.n_ctx = options.slots, options.slots * options.context
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.n_threads_http = _HTTP_THREADS
    params.cache_ram_mib = options.cache_ram
    params.n_gpu_layers, params.fit_params, params.offline = 0, False, True
    params.endpoint_metrics, params.ui, params.verbosity = True, False, 0
    if key := os.environ.get("LLAMA_KEY"):
        params.api_keys = [key]
    return params


def main() -> None:
    """Serve until stdin ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("gguf")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--context", type=int, default=4_096, help="tokens per slot")
    parser.add_argument("--cache-ram", type=int, default=0, help="MiB; 0 = off")
    parser.add_argument("--alias", default="tiny", help="the model's name")
    options = parser.parse_args()
    import xllamacpp

    server = xllamacpp.Server(_params(options))
    print("listening", server.listening_address, options.alias, flush=True)
    threading.Thread(target=_until_stdin_ends, daemon=True).start()
    threading.Event().wait()


def _until_stdin_ends() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
