"""Which nodes of an allocation a launcher uses, and what the site says of them."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import pytest

from balsam_core.errors import LaunchError
from balsam_core.launcher.modes import MpiMode, SerialMode
from balsam_core.launcher.rank_starter import check_mpi4py
from balsam_core.launcher.start import LaunchOptions, chosen_nodes, needs_ranks
from balsam_core.models.nodes import Allocation, Node
from balsam_core.settings import NodesSettings

FOUND = Allocation(tuple(Node(name, name, cpus=(0, 1), gpus=("0",), numa=((0, 1),)) for name in ("n1", "n2", "n3")))


def test_limit_and_offset_choose_and_too_large_an_offset_is_refused() -> None:
    options = LaunchOptions("mpi", limit_nodes=1, offset_nodes=1)
    assert [node.id for node in chosen_nodes(FOUND, options, NodesSettings())] == ["n2"]
    with pytest.raises(LaunchError, match="the allocation has 3, --offset-nodes is 3"):
        chosen_nodes(FOUND, LaunchOptions("mpi", offset_nodes=3), NodesSettings())


def test_what_the_site_says_of_its_nodes_beats_what_was_found_and_an_option_beats_both() -> None:
    shape = NodesSettings(cpus=4, threads_per_core=2, gpus=2, memory_mb=1000)
    (node, *_) = chosen_nodes(FOUND, LaunchOptions("mpi"), shape)
    assert node == Node("n1", "n1", cpus=(0, 1, 2, 3), threads_per_core=2, gpus=("0", "1"), memory_mb=1000)
    (node, *_) = chosen_nodes(FOUND, LaunchOptions("mpi", gpus_per_node=0), shape)
    assert node.gpus == ()


def test_cores_that_are_as_they_were_found_keep_their_domains() -> None:
    (node, *_) = chosen_nodes(FOUND, LaunchOptions("mpi"), NodesSettings(cpus=2))
    assert node == FOUND.nodes[0]


def test_ranks_run_serial_jobs_on_several_nodes_and_on_one_where_no_launcher_runs() -> None:
    here, there = FOUND.nodes[0], replace(FOUND.nodes[0], is_remote=True)
    modes = [SerialMode([here], ""), SerialMode(FOUND.nodes, ""), SerialMode([there], ""), MpiMode([there], "")]
    assert [needs_ranks(mode) for mode in modes] == [False, True, True, False]


def test_without_mpi4py_the_way_out_is_one_that_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(LaunchError, match=r"^serial mode on 3 nodes needs mpi4py; .*, or use --limit-nodes 1$"):
        check_mpi4py(FOUND.nodes)
    with pytest.raises(
        LaunchError, match=r"^serial mode on the node n1 needs mpi4py; pip install 'balsam-core\[mpi\]'$"
    ):
        check_mpi4py([replace(FOUND.nodes[0], is_remote=True)])
