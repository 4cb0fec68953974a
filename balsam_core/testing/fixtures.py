"""The pytest plugin: fixtures that put fake schedulers on PATH. Nothing is imported until one is asked for.

Whoever installs Balsam beside pytest has them; `docs/plugins.md` shows their use.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from balsam_core.testing.fake_batch.handle import FakeBatch
    from balsam_core.testing.fake_batch.jobs import Config


@pytest.fixture
def fake_pbs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeBatch]:
    """A fake PBS of four nodes, whose qsub, qstat, qselect and qdel are on PATH; its batch jobs end with the test."""
    from balsam_core.testing.fake_batch.handle import PBS

    yield from _on_path(tmp_path / "fake-pbs", PBS, monkeypatch)


@pytest.fixture
def fake_cobalt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeBatch]:
    """A fake Cobalt of eight nodes as on Theta, whose qsub, qstat and qdel are on PATH; its batch jobs end, too."""
    from balsam_core.testing.fake_batch.handle import COBALT

    yield from _on_path(tmp_path / "fake-cobalt", COBALT, monkeypatch)


def _on_path(path: Path, config: Config, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeBatch]:
    from balsam_core.testing.fake_batch.handle import FakeBatch, put_on_path

    fake = FakeBatch(path, config)
    monkeypatch.setenv("PATH", put_on_path(fake, os.environ))
    yield fake
    fake.end_all()
