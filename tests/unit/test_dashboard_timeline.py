"""How what was used over time is laid out."""

from __future__ import annotations

import pytest

from balsam_core.analysis.span import Span
from balsam_core.dashboard.timeline import LEFT, WIDTH, Bar, bar, steps, ticks

NOON = 1_764_331_200.0


@pytest.mark.parametrize(
    ("seconds", "labels"),
    [
        (3600, ["12:00", "12:10", "12:20", "12:30", "12:40", "12:50", "13:00"]),
        (86400, ["12:00", "15:00", "18:00", "21:00", "00:00", "03:00", "06:00", "09:00", "12:00"]),
        (108000, ["11-28 12:00", "11-28 18:00", "11-29 00:00", "11-29 06:00", "11-29 12:00", "11-29 18:00"]),
        (6 * 86400, ["11-29", "11-30", "12-01", "12-02", "12-03", "12-04"]),
    ],
)
def test_ticks_are_round_moments(seconds: float, labels: list[str]) -> None:
    assert [tick.label for tick in ticks(Span(NOON, NOON + seconds))] == labels


def test_ticks_stand_where_their_moments_are() -> None:
    found = ticks(Span(NOON, NOON + 3600))
    assert (found[0].x, found[3].x, found[-1].x) == (LEFT, LEFT + WIDTH / 2, LEFT + WIDTH)


def test_a_span_of_centuries_has_few_ticks() -> None:
    assert len(ticks(Span(0.0, 1e10))) <= 9


def test_a_bar_is_cut_at_the_span_and_never_too_thin() -> None:
    span = Span(100.0, 200.0)
    assert bar(span, 0.0, 150.0) == Bar(LEFT, WIDTH / 2)
    assert bar(span, 150.0, 900.0) == Bar(LEFT + WIDTH / 2, WIDTH / 2)
    assert bar(span, 150.0, 150.0).width == 1.0


def test_steps_go_up_and_down_once_per_change_and_not_above_the_top() -> None:
    end = LEFT + WIDTH
    assert steps([0.0, 1.0, 1.0, 9.0], 2.0, 10.0) == (
        f"M{LEFT} 10H{LEFT}.0V10H{LEFT + WIDTH / 4:.1f}V5H{LEFT + 3 * WIDTH / 4:.1f}V0H{end}V10"
    )
    assert steps([0.0], 0.0, 10.0) == f"M{LEFT} 10H{LEFT}.0V10H{end}V10"
