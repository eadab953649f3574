"""The fastest bare loop there is in Python: pyreqwest on uvloop, nothing checked, nothing kept."""
# requires: pyreqwest==0.15.1 uvloop==0.22.1

import asyncio
import os

import uvloop
from pyreqwest.client import ClientBuilder
from timed import Timed, arguments, told


async def main() -> Timed:
    """Every body once, over so many connections."""
    url, bodies, connections = arguments()
    client = ClientBuilder().build()
    left = iter(bodies)

    async def ask() -> None:
        for body in left:
            request = client.post(f"{url}/v1/messages").header("content-type", "application/json")
            response = await request.body_bytes(body).build().send()
            assert response.status == 200
            await response.bytes()

    with Timed() as timed:
        await asyncio.gather(*(ask() for _ in range(connections)))
    return timed


if __name__ == "__main__":
    told(uvloop.run(main()))
    os._exit(0)  # its threads outlive the interpreter, and abort the process
