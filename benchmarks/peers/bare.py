"""The fastest bare loop there is in Python: pyreqwest on uvloop, nothing checked, nothing kept.

`python bare.py URL REQUESTS CONNECTIONS` prints seconds and CPU seconds.
"""

import asyncio
import json
import resource
import sys
import time
from pathlib import Path

import uvloop
from pyreqwest.client import ClientBuilder


async def main(url: str, bodies: list[bytes], connections: int) -> tuple[float, float]:
    client = ClientBuilder().build()
    left = iter(bodies)

    async def ask() -> None:
        for body in left:
            request = client.post(f"{url}/v1/messages").header("content-type", "application/json")
            response = await request.body_bytes(body).build().send()
            assert response.status == 200
            await response.bytes()

    began, spent = time.perf_counter(), cpu()
    await asyncio.gather(*(ask() for _ in range(connections)))
    return time.perf_counter() - began, cpu() - spent


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    bodies = Path(sys.argv[2]).read_bytes().splitlines()
    print(json.dumps(uvloop.run(main(sys.argv[1], bodies, int(sys.argv[3])))), flush=True)
    import os

    os._exit(0)  # its threads outlive the interpreter, and abort the process
