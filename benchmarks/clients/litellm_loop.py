"""LiteLLM's async completion with asyncio.gather, against the Chat Completions door."""
# requires: litellm==1.110.2

import asyncio
import json
import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # or it waits for a server of price lists

import litellm
from timed import Timed, arguments, told

litellm.suppress_debug_info = True


async def main() -> Timed:
    """Every body once, so many at a time."""
    url, bodies, connections = arguments()
    left = iter([json.loads(body)["messages"] for body in bodies])

    async def ask() -> None:
        for messages in left:
            reply = await litellm.acompletion(
                model="openai/m", api_base=f"{url}/v1", api_key="local", messages=messages,
                max_tokens=64, num_retries=0,
            )  # fmt: skip
            assert reply.choices

    with Timed() as timed:
        await asyncio.gather(*(ask() for _ in range(connections)))
    return timed


if __name__ == "__main__":
    told(asyncio.run(main()))
