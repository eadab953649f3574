"""What is asked of each row, and how to read what comes back."""

from batchyard.pipeline.prompt.answer import Misfit, Reading
from batchyard.pipeline.prompt.asked import Said
from batchyard.pipeline.prompt.task import Task

__all__ = ["Misfit", "Reading", "Said", "Task"]
