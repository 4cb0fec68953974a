"""Settings that `balsam init` writes: what was chosen is set, and the rest of the file stays."""

from __future__ import annotations

from pathlib import Path

from balsam_core.plugins import Machine, NodeShape, Queue
from balsam_core.settings import load_settings
from balsam_core.settings_file import machine_values, with_queues, with_settings
from balsam_core.site import create_site

SHAPE = NodeShape(cpus=64, threads_per_core=4, memory_mb=192_000)
QUEUES = (Queue("debug", max_nodes=8, max_minutes=60), Queue("big", min_nodes=128, max_queued=20, max_running=10))


def test_a_key_is_set_where_the_file_shows_it_and_the_rest_stays() -> None:
    text = (
        '# top\n\n[scheduler]\n# name = "local"\n\n[mpi]\n# What.\n# name = "mpiexec"\n\n# [[queues]]\n# name = "q"\n'
    )
    changed = with_settings(text, {"mpi": {"name": "srun", "more": [1, 2]}, "new": {"key": True}})
    assert changed == (
        '# top\n\n[scheduler]\n# name = "local"\n\n[mpi]\n# What.\nname = "srun"\nmore = [1, 2]\n\n'
        '# [[queues]]\n# name = "q"\n\n[new]\nkey = true\n'
    )
    assert with_settings(changed, {"mpi": {"name": "aprun"}}).count("aprun") == 1


def test_the_settings_of_a_machine_are_read_back_as_they_were_meant(tmp_path: Path) -> None:
    machine = Machine("box", "slurm", "srun", "slurm", SHAPE, QUEUES, plugin_settings={"local": {"virtual_nodes": 2}})
    site = create_site(tmp_path / "site", environ={"HOME": str(tmp_path)})
    text = with_queues(with_settings(site.settings_file.read_text(), machine_values(machine)), machine.queues)
    site.settings_file.write_text(text)
    settings = load_settings(site.path, {})
    assert (settings.scheduler.name, settings.mpi.name, settings.nodes.source) == ("slurm", "srun", "slurm")
    assert (settings.nodes.cpus, settings.nodes.threads_per_core, settings.nodes.gpus) == (64, 4, 0)
    assert settings.nodes.memory_mb == 192_000
    assert [(queue.name, queue.min_nodes, queue.max_nodes, queue.max_minutes) for queue in settings.queues] == [
        ("debug", 1, 8, 60),
        ("big", 128, None, None),
    ]
    assert [(queue.max_queued, queue.max_running) for queue in settings.queues] == [(None, None), (20, 10)]
    assert settings.plugins == {"local": {"virtual_nodes": 2}}
