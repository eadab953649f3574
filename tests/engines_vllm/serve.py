"""vLLM on the tiny model, in a process of its own, for as long as a test session."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from tests.engines_vllm.install import HOME
from tests.tiny_model import tiny_model

CONTEXT = 4_096
BLOCKS = 64
"""Of 128 tokens each: room for five of the eight long system prompts of the tests."""

START_SECONDS = 180
_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_SERVER_DEV_MODE": "1",
    # One process instead of three, one thread on shared cores: faster here and half the memory.
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "OMP_NUM_THREADS": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
}
_OPTIONS = (
    "--served-model-name=tiny --dtype=float32 --enforce-eager --enable-prompt-tokens-details "
    "--enable-request-id-headers --scheduling-policy=priority --shutdown-timeout=20 "
    "--enable-auto-tool-choice --tool-call-parser=hermes"
)
_COUNTER = re.compile(r"^vllm:(\w+)(?:\{[^}]*\})? ([0-9.e+-]+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class VllmServer:
    """A running server; its model is called `tiny`."""

    url: str

    def cached_share(self) -> float:
        """The share of prompt tokens found in its prefix cache, by its own metrics, so far."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=30) as answer:
            counted = dict(_COUNTER.findall(answer.read().decode()))
        hits = float(counted["prefix_cache_hits_total"])
        return hits / max(1.0, float(counted["prefix_cache_queries_total"]))

    def forget(self) -> None:
        """Empty its prefix cache."""
        request = urllib.request.Request(f"{self.url}/reset_prefix_cache", method="POST")
        urllib.request.urlopen(request, timeout=30).close()


@contextmanager
def serving() -> Iterator[VllmServer]:
    """A server on a free loopback port until the block ends; its whole process group with it."""
    url = f"http://127.0.0.1:{_free_port()}"
    command = [str(HOME / "bin" / "vllm"), "serve", str(tiny_model()), "--host=127.0.0.1"]
    command += [f"--port={url.rpartition(':')[2]}", f"--max-model-len={CONTEXT}"]
    command += [f"--num-gpu-blocks-override={BLOCKS}", *_OPTIONS.split()]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command,
            env=os.environ | _ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            if not _healthy(url, process):
                log.seek(0)
                raise RuntimeError(f"vLLM did not start:\n{log.read().decode()[-4_000:]}")
            yield VllmServer(url)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _healthy(url: str, process: subprocess.Popen[bytes]) -> bool:
    """Whether it answers in time. Nothing tells when it will: it has to be asked."""
    for _ in range(START_SECONDS * 4):
        if process.poll() is not None:
            return False
        try:
            urllib.request.urlopen(f"{url}/health", timeout=2).close()
        except OSError:
            time.sleep(0.25)
        else:
            return True
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
