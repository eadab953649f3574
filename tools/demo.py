"""`make demo`: a server on a throw-away folder, the example of examples/, the server stopped again.

The engine is the one named by ENGINE, else one found on this machine, else the simulator.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import anthropic

from batchyard.engines.probe import probe_loopback

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "classify_reviews.py"
SIMULATOR = "simulator:latency=80ms,slots=16,seed=7"


def main() -> int:
    """Run the demo and return the example's exit status."""
    engine = os.environ.get("ENGINE")
    if not engine and not asyncio.run(engine_nearby()):
        engine = SIMULATOR
        print("No engine runs on this machine's usual ports, so the simulator answers (its words")
        print("are made up). With an engine of yours: make demo ENGINE=http://HOST:PORT\n")
    with tempfile.TemporaryDirectory(prefix="batchyard-demo-") as folder:
        server, url = start(Path(folder), engine)
        if url is None:
            return server.wait() or 1
        try:
            return label_reviews(url)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(60)
            print(
                "\nThe server has been stopped. To start one that stays: .venv/bin/batchyard serve"
            )


async def engine_nearby() -> bool:
    """Whether anything answers where `batchyard serve` would look."""
    return any(look.detected for look in await probe_loopback())


def start(folder: Path, engine: str | None) -> tuple[subprocess.Popen[str], str | None]:
    """A server and its URL, None when it ended before it said one."""
    command = [sys.executable, "-m", "batchyard", "serve", "--port", "0"]
    command += ["--data-dir", str(folder / "data"), *(["--engine", engine] if engine else [])]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="utf-8")
    assert server.stdout is not None
    url = None
    for line in server.stdout:
        print(line, end="", flush=True)
        if found := re.search(r"export ANTHROPIC_BASE_URL=(\S+)", line):
            url = found[1]
        if "export ANTHROPIC_API_KEY" in line:
            return server, url
    server.wait()
    return server, None


def label_reviews(url: str) -> int:
    """The example as any user runs it: unchanged, told by two variables where to go."""
    model = {} if os.environ.get("MODEL") else served_model(url)
    environment = {**os.environ, **model, "ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": "local"}
    print(f"\n$ python {EXAMPLE.relative_to(ROOT)}", flush=True)
    return subprocess.run([sys.executable, str(EXAMPLE)], env=environment, check=False).returncode


def served_model(url: str) -> dict[str, str]:
    """The first model to ask for where several are served, so `claude-*` means none of them."""
    client = anthropic.Anthropic(base_url=url, api_key="local")
    models = [model.id for model in client.models.list()]
    return {"MODEL": models[0]} if len(models) > 1 else {}


if __name__ == "__main__":
    sys.exit(main())
