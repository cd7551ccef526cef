"""The fixed schedule, by hand."""

import numpy as np
import pytest

from demo_curriculum.curriculum import BackplayCurriculum, Move, Span, Timeline
from demo_curriculum.demo import Outcome, Start


def record(curriculum: BackplayCurriculum, step: int, ties: int, trials: int = 1) -> None:
    for trial in range(trials):
        tied = trial < ties
        curriculum.record(Outcome(Start(0, step, 100), 0.0, 1, tied, "tie" if tied else "life"))


def reach(curriculum: BackplayCurriculum) -> tuple[int, int]:
    rng = np.random.default_rng(0)
    steps = [curriculum.sample(rng).step for _ in range(3000)]
    return min(steps), max(steps)


def test_windows_double_backwards_and_end_at_the_reset() -> None:
    curriculum = BackplayCurriculum([Timeline(100, offset=7, rewards=(20, 89))], first=16, period=2)
    # The starts worth training are 0..89; distances from 90 are 16, 32, 64, 128.
    for first, last in ((74, 89), (58, 73), (26, 57), (0, 25), (-7, -7), (-7, -7)):
        for _ in range(2):
            assert reach(curriculum) == (first, last)
            assert curriculum.frontiers == (max(first, 0),)
            assert curriculum.spans == [Span(0, max(first, 0), 100)]
            curriculum.advance()


def test_a_window_is_drawn_uniformly() -> None:
    curriculum = BackplayCurriculum([Timeline(64)], first=64)
    rng = np.random.default_rng(0)
    counts, _ = np.histogram([curriculum.sample(rng).step for _ in range(16_000)], range(0, 65, 16))
    assert (counts / 16_000).tolist() == pytest.approx([0.25] * 4, abs=0.015)


@pytest.mark.parametrize(("ties", "rate"), [(0, 0.0), (30, 0.75), (40, 1.0)])
def test_it_moves_by_the_clock_whatever_the_success(ties: int, rate: float) -> None:
    curriculum = BackplayCurriculum([Timeline(100)], first=16, period=3)
    record(curriculum, 90, ties, trials=40)
    record(curriculum, 50, ties=5, trials=5)  # outside the window
    assert curriculum.advance() == []
    assert curriculum.report()["demos"][0]["trials"] == 40
    assert curriculum.advance() == []
    assert curriculum.advance() == [Move(0, 84, 68, "advance", rate, 40, 100)]
    assert curriculum.report()["demos"][0]["trials"] == 0


def test_without_a_trial_it_moves_too() -> None:
    curriculum = BackplayCurriculum([Timeline(100)], first=16, period=1)
    assert curriculum.advance() == [Move(0, 84, 68, "advance", 0.0, 0, 100)]


def test_demos_have_windows_of_their_own_and_are_drawn_alike() -> None:
    curriculum = BackplayCurriculum([Timeline(1000), Timeline(20)], first=16, period=1)
    assert curriculum.frontiers == (984, 4)
    assert [move.demo for move in curriculum.advance()] == [0, 1]
    # From the second one's frontier 0 to its reset nothing moves.
    assert [move.demo for move in curriculum.advance()] == [0]
    rng = np.random.default_rng(0)
    starts = [curriculum.sample(rng) for _ in range(4000)]
    assert np.mean([start.demo for start in starts]) == pytest.approx(0.5, abs=0.03)
    assert {start.step for start in starts if start.demo == 1} == {0}


def test_it_is_finished_when_the_windows_are_through_and_the_reset_ties() -> None:
    curriculum = BackplayCurriculum([Timeline(40)], first=16, period=1)
    record(curriculum, 0, ties=60, trials=60)
    assert not curriculum.finished
    curriculum.advance()
    assert not curriculum.finished
    curriculum.advance()
    assert curriculum.finished
    record(curriculum, 0, ties=0, trials=74)
    assert not curriculum.finished  # 26 of the latest 100


def test_the_trials_of_a_window_do_not_count_for_the_reset_after_it() -> None:
    curriculum = BackplayCurriculum([Timeline(16, offset=7)], first=16, period=1)
    record(curriculum, 5, ties=10, trials=10)
    assert curriculum.advance() == [], "the frontier is 0 before and after"
    assert curriculum.report()["demos"][0]["trials"] == 0
    record(curriculum, -7, ties=1, trials=4)
    assert curriculum.report()["demos"][0]["tie_rate"] == 0.25
