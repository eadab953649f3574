"""`python -m tests.pipeline.another_server --port 0 --state DIR`: says its URL as one JSON line."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
from pathlib import Path

from tests.pipeline.another_server.faults import Faults
from tests.pipeline.another_server.server import MODELS, AnotherServer


async def serve(options: argparse.Namespace) -> None:
    """Run until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with AnotherServer(
        options.state,
        port=options.port,
        faults=Faults(**json.loads(options.faults)),
        keys=options.key,
        models=options.model or MODELS,
        live=options.live,
        count_tokens=options.count_tokens,
    ) as server:
        print(json.dumps({"url": server.url}), flush=True)
        await stop.wait()


def main() -> None:
    """Parse the options and serve."""
    parser = argparse.ArgumentParser(prog="another_server", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--faults", default="{}", help="fields of Faults as a JSON object")
    parser.add_argument("--key", action="append", default=[])
    parser.add_argument("--model", action="append", default=[])
    parser.add_argument("--live", action="store_true", help="answer /v1/messages too")
    parser.add_argument("--count-tokens", action="store_true")
    asyncio.run(serve(parser.parse_args()))


main()
