"""What is asked of each row, and how to read what comes back."""

from batchyard.pipeline.prompt.answer import Misfit, Reading
from batchyard.pipeline.prompt.asked import Said
from batchyard.pipeline.prompt.ready import FORMATS as READY_MADE
from batchyard.pipeline.prompt.ready import ReadyMade, task_from
from batchyard.pipeline.prompt.task import Task

__all__ = ["READY_MADE", "Misfit", "Reading", "ReadyMade", "Said", "Task", "task_from"]
