"""The process that holds the model: llama.cpp's own HTTP server, for its parent alone.

A process of its own, because loading a model holds Python's lock for as long as it takes, and
because what llama.cpp cannot handle ends the process it runs in. It listens on loopback, on a port
of its own choice, under a key that only the parent knows; what it is to run comes as one JSON line
on stdin, and when stdin ends (the parent is gone) it ends too.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
from typing import Any

import msgspec

from batchyard.engines.llama.options import LlamaOptions

HTTP_THREADS = 128
"""Every kept-alive connection holds one; requests beyond them wait however free the slots are."""

CACHE_RAM_MIB_MAX = 8_192
LISTENING = "listening"
"""What the line on stdout begins with that tells where the model is served."""

_ERRORS_ONLY = 1
_PR_SET_PDEATHSIG = 1


class Orders(msgspec.Struct, frozen=True):
    """What the parent asks for. `model` is the name the model is served under."""

    path: str
    model: str
    key: str
    options: LlamaOptions


def main() -> None:
    """Load the model, say where it is served, and stay until the parent is gone."""
    _die_with_parent()
    # Ctrl-C reaches the whole group, but work in flight is drained by the parent, not cut off here.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    orders = msgspec.json.decode(sys.stdin.buffer.readline(), type=Orders)
    threading.Thread(target=_until_stdin_ends, daemon=True).start()
    import xllamacpp

    try:
        server = xllamacpp.Server(_params(xllamacpp.CommonParams(), orders))
    except (RuntimeError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        sys.stderr.flush()
        os._exit(1)
    sys.stdout.write(f"{LISTENING} {server.listening_address}\n")
    sys.stdout.flush()
    threading.Event().wait()


def _params(params: Any, orders: Orders) -> Any:
    """llama.cpp's own parameters. Each slot has a cache of its own, so contexts add up."""
    options = orders.options
    params.model.path = orders.path
    params.model_alias = {orders.model}
    params.hostnames, params.port, params.api_keys = ["127.0.0.1"], 0, [orders.key]
    params.n_parallel, params.n_ctx = options.slots, options.slots * options.context
    params.n_threads_http = HTTP_THREADS
    if options.threads:
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = options.threads
    if options.gpu_layers is not None:
        params.n_gpu_layers, params.fit_params = options.gpu_layers, False
    cache_ram = _an_eighth_of_memory() if options.cache_ram is None else options.cache_ram
    params.cache_ram_mib = min(CACHE_RAM_MIB_MAX, cache_ram)
    params.offline, params.ui, params.endpoint_metrics = True, False, True
    params.verbosity = _ERRORS_ONLY
    return params


def _an_eighth_of_memory() -> int:
    """In MiB."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 8 // (1024 * 1024)


def _die_with_parent() -> None:
    """Linux kills us with the parent, also while loading; elsewhere the end of stdin must do."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _until_stdin_ends() -> None:
    while sys.stdin.buffer.read(1):
        pass
    os._exit(0)
