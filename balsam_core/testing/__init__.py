"""What plugin authors test their plugins with: contract suites, a played machine, recorded output, fake schedulers.

A suite is a class whose tests need no more than `assert`: pytest collects a subclass of it, and `balsam plugin check`
runs it from the command line. All is imported when it is first asked for: the fixtures in `fixtures.py` load with every
run of pytest, and the commands of a fake scheduler have no time to lose.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from balsam_core.testing.contracts import MpiLauncherContract, NodeSourceContract, SchedulerContract
    from balsam_core.testing.fake_batch.handle import FakeBatch
    from balsam_core.testing.playing import PlayedProbe, a_launch, a_request
    from balsam_core.testing.recorded import Recording, read_recordings

__all__ = [
    "FakeBatch",
    "MpiLauncherContract",
    "NodeSourceContract",
    "PlayedProbe",
    "Recording",
    "SchedulerContract",
    "a_launch",
    "a_request",
    "read_recordings",
]

_PLACES = {
    "contracts": ("MpiLauncherContract", "NodeSourceContract", "SchedulerContract"),
    "fake_batch.handle": ("FakeBatch",),
    "playing": ("PlayedProbe", "a_launch", "a_request"),
    "recorded": ("Recording", "read_recordings"),
}


def __getattr__(name: str) -> object:
    from importlib import import_module

    for module, names in _PLACES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
