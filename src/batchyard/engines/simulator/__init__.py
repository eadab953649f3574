"""An engine without a model: deterministic answers, modelled time and cache, faults on demand."""

from batchyard.engines.simulator.engine import Simulator
from batchyard.engines.simulator.options import Options

__all__ = ["Options", "Simulator"]
