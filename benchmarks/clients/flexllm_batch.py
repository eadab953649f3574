"""flexllm's batch over Chat Completions, which keeps a JSON Lines checkpoint (without fsync)."""
# requires: flexllm==0.17.10

import asyncio
import json
import tempfile
from pathlib import Path

from flexllm import LLMClient
from timed import Timed, arguments, told


async def main() -> Timed:
    """All bodies as one batch, so many at a time."""
    url, bodies, connections = arguments()
    asked = [json.loads(body)["messages"] for body in bodies]
    client = LLMClient(
        base_url=f"{url}/v1", api_key="local", model="m",
        concurrency_limit=connections, max_qps=1_000_000,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder, Timed() as timed:
        found = await client.chat_batch(
            asked, show_progress=False, output_jsonl=str(Path(folder, "out.jsonl")), max_tokens=64
        )
        assert all(reply.ok for reply in found)
    return timed


if __name__ == "__main__":
    told(asyncio.run(main()))
