"""How a job is laid out among its ancestors and descendants."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from uuid import UUID

from balsam_core.dashboard.graph import BOX_HEIGHT, BOX_WIDTH, Drawing, Family, Kin, drawing


def kin(number: int) -> Kin:
    return Kin(UUID(int=number), f"job{number}", "CREATED")


def family(job: int, above: Iterable[int], below: Iterable[int], *edges: tuple[int, int]) -> Family:
    """Jobs by their numbers."""
    pairs = [(UUID(int=parent), UUID(int=child)) for parent, child in edges]
    return Family(kin(job), list(map(kin, above)), list(map(kin, below)), pairs)


def rows(drawn: Drawing) -> list[list[int]]:
    """The numbers of the jobs in each row, from the top, from the left."""
    found: dict[float, list[tuple[float, int]]] = {}
    for box in drawn.boxes:
        found.setdefault(box.y, []).append((box.x, box.kin.job_id.int))
    return [[number for _, number in sorted(found[y])] for y in sorted(found)]


def test_a_job_alone_is_one_box() -> None:
    drawn = drawing(family(1, [], []))
    assert (rows(drawn), drawn.paths) == ([[1]], ())
    assert (drawn.width, drawn.height) == (BOX_WIDTH + 4, BOX_HEIGHT + 4)


def test_ancestors_stand_above_and_descendants_below() -> None:
    drawn = drawing(family(3, [2, 1], [4, 5], (1, 2), (2, 3), (3, 4), (4, 5)))
    assert rows(drawn) == [[1], [2], [3], [4], [5]]
    assert len(drawn.paths) == 4


def test_who_is_a_parent_and_a_grandparent_stands_above_both() -> None:
    assert rows(drawing(family(3, [1, 2], [], (1, 2), (1, 3), (2, 3)))) == [[1], [2], [3]]
    assert rows(drawing(family(1, [], [3, 2], (1, 2), (1, 3), (2, 3)))) == [[1], [2], [3]]


def test_jobs_stand_under_those_that_they_wait_for() -> None:
    drawn = drawing(family(1, [], [2, 3, 4, 5], (1, 2), (1, 3), (2, 5), (3, 4)))
    assert rows(drawn) == [[1], [2, 3], [5, 4]]


def test_jobs_keep_their_order_under_a_level_of_several_rows() -> None:
    edges = [*((0, n) for n in range(1, 10)), *((n, 10 + (n - 1) // 3) for n in range(1, 10))]
    assert rows(drawing(family(0, [], range(1, 13), *edges)))[-1] == [10, 11, 12]


def test_a_wide_level_takes_rows_of_about_the_same_length() -> None:
    drawn = drawing(family(0, [], range(1, 10), *((0, child) for child in range(1, 10))))
    assert rows(drawn) == [[0], [1, 2, 3, 4], [5, 6, 7, 8, 9]]


def test_boxes_neither_overlap_nor_leave_the_drawing() -> None:
    drawn = drawing(family(0, range(20, 60), range(1, 20), *((0, n) for n in range(1, 20))))
    assert min(box.x for box in drawn.boxes) >= 0
    assert max(box.x for box in drawn.boxes) + BOX_WIDTH <= drawn.width
    assert max(box.y for box in drawn.boxes) + BOX_HEIGHT <= drawn.height
    places = sorted((box.y, box.x) for box in drawn.boxes)
    assert all(y2 >= y1 + BOX_HEIGHT or x2 >= x1 + BOX_WIDTH for (y1, x1), (y2, x2) in pairwise(places))


def test_a_path_goes_from_the_parents_lower_side_to_the_childs_upper_side() -> None:
    (path,) = drawing(family(1, [], [2], (1, 2))).paths
    assert path == f"M75 {2 + BOX_HEIGHT}C75 53 75 53 75 66"
