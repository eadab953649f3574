"""What is known of a run, on disk: written before anything leaves, and as soon as it has come."""

from batchyard.pipeline.run.store.batches import Batch
from batchyard.pipeline.run.store.folder import named, newest, runs
from batchyard.pipeline.run.store.manifest import Caps, Input, Manifest, Options, Output, Where
from batchyard.pipeline.run.store.rows import Settled, Waiting
from batchyard.pipeline.run.store.store import RunStore
from batchyard.pipeline.run.store.totals import Totals

__all__ = [
    "Batch",
    "Caps",
    "Input",
    "Manifest",
    "Options",
    "Output",
    "RunStore",
    "Settled",
    "Totals",
    "Waiting",
    "Where",
    "named",
    "newest",
    "runs",
]
