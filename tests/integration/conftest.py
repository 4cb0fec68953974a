"""What the integration tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.environments import environment_with

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the plugins of `examples/`; their sources are in its `source`."""
    folder = tmp_path_factory.mktemp("environment")
    return environment_with(folder, EXAMPLES / "balsam-plugin-flux", EXAMPLES / "webhook")
