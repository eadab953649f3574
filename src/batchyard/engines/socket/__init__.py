"""Engines that live in one process, used from another over a Unix socket."""

from batchyard.engines.socket.client import SocketEngine
from batchyard.engines.socket.serving import serve_engines

__all__ = ["SocketEngine", "serve_engines"]
