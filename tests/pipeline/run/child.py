"""`python -m tests.pipeline.run.child HOME URL FILE`: a run as a process, which can be killed."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from batchyard.client import Client
from batchyard.pipeline.prompt import Task
from batchyard.pipeline.run import Input, Options, Progress, Runner, RunStore
from batchyard.pipeline.source import open_source

OPTIONS = Options(batch_size=150, in_process_max=3, look_seconds=0.02)


def show(progress: Progress) -> None:
    """One line, at once."""
    os.write(1, f"{progress.state} {progress.succeeded} {progress.failed}\n".encode())


async def run(home: Path, url: str, file: str) -> None:
    """Begin or go on, to the end."""
    source = open_source(file)
    task = Task.make(prompt="Classify: {{ text }}", model="claude-haiku-4-5")
    if any(home.glob("run_*/manifest.json")):
        store = RunStore.open(home)
    else:
        given = Input(source.name, file, source.format, source.fingerprint())
        store = RunStore.create(home, given, task.as_manifest(), 0, options=OPTIONS)
    async with Client(url, key="local") as client:
        with store:
            runner = Runner(store, source, task, client, on_progress=show)
            await runner.prepare()
            await runner.run()


asyncio.run(run(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
