"""Where rows go: a file that is complete or not there, or a frame like the one that came in."""

from batchyard.pipeline.sink.contract import Sink
from batchyard.pipeline.sink.convert import convert
from batchyard.pipeline.sink.frames import frame_like
from batchyard.pipeline.sink.opening import open_sink

__all__ = ["Sink", "convert", "frame_like", "open_sink"]
