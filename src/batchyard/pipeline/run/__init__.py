"""A run: rows to batches, batches to a server, answers to their rows, whatever dies on the way."""

from batchyard.pipeline.run.collecting.harvest import Collected
from batchyard.pipeline.run.contract import Allowance, ServerLike, SourceLike, TaskLike
from batchyard.pipeline.run.progress import Progress
from batchyard.pipeline.run.runner import Runner
from batchyard.pipeline.run.store import (
    Caps,
    Input,
    Manifest,
    Options,
    Output,
    RunStore,
    Totals,
    Where,
    named,
    newest,
    runs,
)

__all__ = [
    "Allowance",
    "Caps",
    "Collected",
    "Input",
    "Manifest",
    "Options",
    "Output",
    "Progress",
    "RunStore",
    "Runner",
    "ServerLike",
    "SourceLike",
    "TaskLike",
    "Totals",
    "Where",
    "named",
    "newest",
    "runs",
]
