"""The exceptions of Balsam 0.5's launcher."""

from __future__ import annotations

from balsam_core.errors import BalsamError

__all__ = [
    "BalsamLauncherError",
    "BalsamRunnerError",
    "BalsamTransitionError",
    "ExceededMaxConcurrentRunners",
    "MPIEnsembleError",
    "NoAvailableWorkers",
    "TransitionNotFoundError",
]


class BalsamLauncherError(BalsamError):
    """The launcher cannot go on."""


class BalsamRunnerError(BalsamError):
    """A job cannot be started."""


class ExceededMaxConcurrentRunners(BalsamRunnerError):
    """More MPI commands at once than the machine allows."""


class NoAvailableWorkers(BalsamRunnerError):
    """No node is free."""


class BalsamTransitionError(BalsamError):
    """A job cannot be moved on: staging or a script failed."""


class TransitionNotFoundError(BalsamTransitionError, ValueError):
    """There is no transition out of a state."""


class MPIEnsembleError(BalsamError):
    """The ensemble of serial jobs cannot go on."""
