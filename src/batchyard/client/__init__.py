"""The user's side: the verbs of the Message Batches API over HTTP, against any server of it."""

from batchyard.client.http import Lost
from batchyard.client.requests_file import RequestsFile
from batchyard.client.results import Arrival, PartFile, Receipt, Sink, WrongCount
from batchyard.client.verbs import Client
from batchyard.client.watching import Snapshot

__all__ = [
    "Arrival",
    "Client",
    "Lost",
    "PartFile",
    "Receipt",
    "RequestsFile",
    "Sink",
    "Snapshot",
    "WrongCount",
]
