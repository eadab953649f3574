"""A second, independent Message Batches server: small, strict, and wrong only where it is told to.

Written from what is documented of the hosted API, so it has none of our extensions: no idempotency
keys, no probes, and counts that move once. It imports nothing of the package under test.
"""

from tests.pipeline.another_server.faults import Faults, row_of
from tests.pipeline.another_server.ledger import Asked, read_ledger, times_asked
from tests.pipeline.another_server.process import Process, started
from tests.pipeline.another_server.server import MODELS, AnotherServer

__all__ = [
    "MODELS",
    "AnotherServer",
    "Asked",
    "Faults",
    "Process",
    "read_ledger",
    "row_of",
    "started",
    "times_asked",
]
