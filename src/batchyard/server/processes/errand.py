"""What a child process is told: one line of JSON on its standard input, keys included."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

from batchyard.config import Settings
from batchyard.server.engines.specs import EngineSpec

Role = Literal["api", "dispatch"]


@dataclass(frozen=True, slots=True)
class Errand:
    """The half of the server a child is to run, and everything it needs to know for it.

    `listen_fd` is the bound socket it inherited, None for dispatch. Upstream keys travel here and
    not in arguments or variables, where a process list would show them.
    """

    role: Role
    settings: Settings
    engines: tuple[EngineSpec, ...]
    listen_fd: int | None = None

    def line(self) -> bytes:
        """The errand as one line."""
        told = {
            "role": self.role,
            "settings": self.settings.model_dump(mode="json"),
            "engines": [asdict(spec) for spec in self.engines],
            "listen_fd": self.listen_fd,
        }
        return json.dumps(told).encode() + b"\n"

    @classmethod
    def read(cls, line: bytes) -> Errand:
        """The errand of a line; raises ValueError when the line is cut short."""
        told: dict[str, Any] = json.loads(line)
        return cls(
            role=told["role"],
            settings=Settings.model_validate(told["settings"]),
            engines=tuple(EngineSpec(**spec) for spec in told["engines"]),
            listen_fd=told["listen_fd"],
        )
