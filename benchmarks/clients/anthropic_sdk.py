"""The official SDK as one would use it without a batch: AsyncAnthropic and asyncio.gather."""
# requires: anthropic==2.10.0

import asyncio
import json

from anthropic import AsyncAnthropic
from timed import Timed, arguments, told


async def main() -> Timed:
    """Every body once, so many at a time."""
    url, bodies, connections = arguments()
    left = iter([json.loads(body) for body in bodies])
    async with AsyncAnthropic(base_url=url, api_key="local", max_retries=0) as client:

        async def ask() -> None:
            for params in left:
                message = await client.messages.create(**params)
                assert message.content

        with Timed() as timed:
            await asyncio.gather(*(ask() for _ in range(connections)))
    return timed


if __name__ == "__main__":
    told(asyncio.run(main()))
