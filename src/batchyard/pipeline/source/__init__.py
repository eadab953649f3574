"""Where rows come from: a file of any common format, standard input, or a frame in memory."""

from batchyard.pipeline.source.contract import Source
from batchyard.pipeline.source.frames import source_of_frame
from batchyard.pipeline.source.opening import open_source

__all__ = ["Source", "open_source", "source_of_frame"]
