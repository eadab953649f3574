"""What the people at the terminal meet: a server away, a bad file, a mistake in the settings."""

from __future__ import annotations

from typing import ClassVar

from batchyard.errors.tree import BatchyardError


class ServerUnreachable(BatchyardError):
    """No answer from the server, or one cut short: nothing is wrong with the call, try again."""

    code: ClassVar[str] = "server_unreachable"


class NotThisApi(BatchyardError):
    """Something answered that does not speak this API: a proxy's page, another service."""

    code: ClassVar[str] = "not_this_api"


class BadRequestsFile(BatchyardError):
    """A requests file that would be refused: found before anything was sent."""

    code: ClassVar[str] = "requests_file"


class BadInput(BatchyardError):
    """A dataset, or a row of it, that cannot be asked about: found before anything was sent."""

    code: ClassVar[str] = "input"


class BadPrompt(BatchyardError):
    """A prompt, a schema or a parameter that cannot be used on this dataset."""

    code: ClassVar[str] = "prompt"


class BadOutput(BatchyardError):
    """Answers that cannot be written where they should go; they are kept in the run."""

    code: ClassVar[str] = "output"


class CapReached(BatchyardError):
    """A cap on cost, tokens or hours allows no further batch; the run can be continued."""

    code: ClassVar[str] = "cap"


class RunChanged(BatchyardError):
    """Input, prompt or schema are not those that the run began with; its answers stay."""

    code: ClassVar[str] = "run_changed"


class NoRun(BatchyardError):
    """There is no such run here, or another process is at work on it."""

    code: ClassVar[str] = "no_run"


class ConfigurationError(BatchyardError):
    """A flag, variable or config key that cannot be: exit code 2, one sentence and the fix."""

    code: ClassVar[str] = "configuration"
