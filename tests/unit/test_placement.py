"""Placement: what fits starts, in order, and nothing is ever given twice."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balsam_core.launcher.messages import Need
from balsam_core.launcher.placement import FreeNode, Refusal, Why, place, release
from balsam_core.models.nodes import Node, Placement


def make_node(id: str = "a", **fields: Any) -> Node:
    return Node(id, "localhost", **fields)


def make_free(*nodes: Node) -> list[FreeNode]:
    return [FreeNode(node) for node in nodes or (make_node(),)]


def why(need: Need, *nodes: Node, seconds_left: float | None = None) -> Refusal:
    return place(make_free(*nodes), {"job": need}, seconds_left).refused["job"]


def cpus_of(node: Node, *packings: int) -> list[tuple[int, ...] | None]:
    free = FreeNode(node)
    parts = [free.take(Need(packing=packing)) for packing in packings]
    return [None if part is None else part.cpus for part in parts]


def test_jobs_are_placed_in_order_on_the_first_node_that_fits() -> None:
    a, b = make_node("a"), make_node("b")
    placed = place(make_free(a, b), {1: Need(), 2: Need(), 3: Need()}, None)
    assert placed.placements == {1: (Placement(a),), 2: (Placement(b),)}
    assert placed.refused == {3: Refusal(Why.NOT_NOW, "waits for 1 node with room, 0 now")}


def test_a_later_job_passes_one_that_has_to_wait() -> None:
    nodes = make_free()
    placed = place(nodes, {"half": Need(packing=2), "whole": Need(), "other half": Need(packing=2)}, None)
    assert list(placed.placements) == ["half", "other half"]
    assert placed.refused["whole"].why is Why.NOT_NOW


def test_a_job_of_two_nodes_gets_two_or_none() -> None:
    nodes = make_free(make_node("a"), make_node("b"), make_node("c"))
    placed = place(nodes, {1: Need(num_nodes=2), 2: Need(num_nodes=2), 3: Need()}, None)
    assert [[part.node.id for part in parts] for parts in placed.placements.values()] == [["a", "b"], ["c"]]
    assert placed.refused[2].text == "waits for 2 nodes with room, 1 now"


@pytest.mark.parametrize(
    ("need", "text"),
    [
        (Need(num_nodes=4), "asks for 4 nodes, the launcher has 1"),
        (Need(num_nodes=0), "asks for 0 nodes, the least is 1"),
        (Need(packing=0), "asks for a packing of 0, the least is 1"),
        (Need(gpus=2), "asks for 2 GPUs per node, the node has 0"),
        (Need(memory_mb=4096), "asks for 4096 MB per node, the node has 1024"),
    ],
)
def test_what_can_never_fit_says_so(need: Need, text: str) -> None:
    assert why(need, make_node(memory_mb=1024)) == Refusal(Why.NEVER, text)


def test_a_job_that_fits_too_few_of_the_nodes_can_never_run() -> None:
    assert why(Need(num_nodes=2, gpus=1), make_node("a", gpus=("0",)), make_node("b")).why is Why.NEVER


def test_a_job_longer_than_the_time_left_is_refused_in_minutes() -> None:
    refusal = why(Need(wall_seconds=3600), seconds_left=725)
    assert refusal == Refusal(Why.NO_TIME, "needs 60 minutes, 12.1 are left")


def test_a_job_that_declares_no_time_is_placed_to_the_end() -> None:
    assert place(make_free(), {1: Need()}, 0.5).placements


def test_unknown_memory_is_not_counted() -> None:
    assert place(make_free(), {1: Need(memory_mb=10**9)}, None).placements


def test_memory_is_shared_out_and_comes_back() -> None:
    free = FreeNode(make_node(memory_mb=100))
    need = Need(packing=4, memory_mb=60)
    first = free.take(need)
    assert first is not None
    assert free.take(need) is None
    free.release(first, need)
    assert free.take(need) is not None


def test_three_thirds_fill_a_node_exactly() -> None:
    free = FreeNode(make_node())
    assert [free.take(Need(packing=3)) is not None for _ in range(4)] == [True, True, True, False]
    assert free.is_full


def test_a_whole_node_job_is_not_bound() -> None:
    assert cpus_of(make_node(cpus=(0, 1, 2, 3)), 1) == [()]


def test_cores_are_shared_out_side_by_side() -> None:
    assert cpus_of(make_node(cpus=(0, 1, 2, 3, 4, 5, 6, 7)), 4, 2, 4) == [(0, 1), (2, 3, 4, 5), (6, 7)]


def test_cores_of_one_job_stay_in_one_numa_domain_where_possible() -> None:
    node = make_node(cpus=tuple(range(8)), numa=((0, 2, 4, 6), (1, 3, 5, 7)))
    assert cpus_of(node, 8, 2, 4) == [(0,), (1, 3, 5, 7), (2, 4)]


@pytest.mark.parametrize("fields", [{"cpus": (0, 1)}, {"cpus": ()}, {"cpus": (0, 1, 2, 3), "is_virtual": True}])
def test_jobs_smaller_than_a_core_and_virtual_nodes_are_not_bound_but_counted(fields: dict[str, Any]) -> None:
    assert cpus_of(make_node(**fields), *[4] * 5) == [(), (), (), (), None]


def test_gpus_are_divided_by_the_packing_unless_the_job_says_how_many() -> None:
    free = FreeNode(make_node(gpus=("0", "1", "2", "3")))
    needs = Need(packing=4), Need(packing=4, gpus=2), Need(packing=4, gpus=0), Need(packing=4, gpus=2)
    parts = [free.take(need) for need in needs]
    assert [None if part is None else part.gpus for part in parts] == [("0",), ("1", "2"), (), None]


def test_release_gives_a_job_of_several_nodes_back() -> None:
    nodes = make_free(make_node("a"), make_node("b"))
    need = Need(num_nodes=2)
    parts = place(nodes, {1: need}, None).placements[1]
    release(nodes, parts, need)
    assert place(nodes, {2: need}, None).placements == {2: parts}


NODES = st.builds(
    lambda cores, domains, gpus, memory_mb: make_node(
        cpus=tuple(range(0, 2 * cores, 2)),
        numa=tuple(tuple(range(2 * domain, 2 * cores, 2 * domains)) for domain in range(domains)),
        gpus=tuple(f"g{number}" for number in range(gpus)),
        memory_mb=memory_mb,
    ),
    st.integers(0, 24),
    st.integers(1, 3),
    st.integers(0, 4),
    st.none() | st.integers(1, 100),
)
NEEDS = st.builds(
    Need,
    num_nodes=st.integers(1, 3),
    packing=st.integers(1, 12),
    gpus=st.none() | st.integers(0, 4),
    memory_mb=st.none() | st.integers(1, 100),
    wall_seconds=st.none() | st.integers(1, 100),
)


@given(
    st.lists(NODES, min_size=1, max_size=4),
    st.lists(st.lists(NEEDS, max_size=20), max_size=6),
    st.data(),
    st.none() | st.integers(0, 100),
)
def test_whatever_comes_and_goes_nothing_is_given_twice(
    shapes: list[Node], rounds: list[list[Need]], data: st.DataObject, seconds_left: float | None
) -> None:
    free = make_free(*(Node(f"n{i}", "h", n.cpus, 1, n.gpus, n.memory_mb, n.numa) for i, n in enumerate(shapes)))
    running: dict[tuple[int, int], tuple[Need, tuple[Placement, ...]]] = {}
    for turn, needs in enumerate(rounds):
        asked = {(turn, number): need for number, need in enumerate(needs)}
        placed = place(free, asked, seconds_left)
        assert placed.placements.keys() | placed.refused.keys() == asked.keys()
        assert not placed.placements.keys() & placed.refused.keys()
        running |= {key: (asked[key], parts) for key, parts in placed.placements.items()}
        assert_sound(free, running)
        for key in data.draw(st.lists(st.sampled_from(sorted(running)), unique=True) if running else st.just([])):
            need, parts = running.pop(key)
            release(free, parts, need)
    for need, parts in running.values():
        release(free, parts, need)
    whole = place(free, {"all": Need(num_nodes=len(free))}, None)
    assert [part.gpus for part in whole.placements["all"]] == [node.node.gpus for node in free]


def assert_sound(free: list[FreeNode], running: dict[tuple[int, int], tuple[Need, tuple[Placement, ...]]]) -> None:
    for node in (one.node for one in free):
        here = [(need, part) for need, parts in running.values() for part in parts if part.node == node]
        assert sum((Fraction(1, need.packing) for need, _ in here), Fraction(0)) <= 1
        cpus = [cpu for _, part in here for cpu in part.cpus]
        gpus = [gpu for _, part in here for gpu in part.gpus]
        assert len(set(cpus)) == len(cpus)
        assert set(cpus) <= set(node.cpus)
        assert len(set(gpus)) == len(gpus)
        assert set(gpus) <= set(node.gpus)
        assert node.memory_mb is None or sum(need.memory_mb or 0 for need, _ in here) <= node.memory_mb
        for need, part in here:
            assert len(part.cpus) == (len(node.cpus) // need.packing if need.packing > 1 else 0)
            assert len(part.gpus) == (len(node.gpus) // need.packing if need.gpus is None else need.gpus)
    for need, parts in running.values():
        assert len({part.node.id for part in parts}) == need.num_nodes
