"""The control, by hand."""

import numpy as np
import pytest

from demo_curriculum.curriculum import Span, Timeline, UniformCurriculum
from demo_curriculum.demo import Outcome, Start


def record(curriculum: UniformCurriculum, step: int, ties: int, trials: int = 1) -> None:
    for trial in range(trials):
        tied = trial < ties
        curriculum.record(Outcome(Start(0, step, 100), 0.0, 1, tied, "tie" if tied else "life"))


def test_starts_are_uniform_up_to_the_last_reward_and_one_in_ten_at_the_reset() -> None:
    curriculum = UniformCurriculum([Timeline(1000, offset=100, rewards=(300, 799))])
    rng = np.random.default_rng(0)
    starts = [curriculum.sample(rng) for _ in range(20_000)]
    assert {start.goal for start in starts} == {1000}
    counts, _ = np.histogram([start.step for start in starts], [-100, -99, 0, 200, 400, 600, 800, 1000])
    assert (counts / 20_000).tolist() == pytest.approx([0.1, 0, 0.225, 0.225, 0.225, 0.225, 0], abs=0.012)


def test_the_frontier_is_the_beginning_and_never_moves() -> None:
    curriculum = UniformCurriculum([Timeline(100, offset=7, rewards=(60,))])
    for ties in (0, 100):
        record(curriculum, 30, ties, trials=100)
        assert curriculum.advance() == []
        assert curriculum.frontiers == (0,) and curriculum.spans == [Span(0, 0, 100)]


def test_the_reset_alone_says_when_it_is_finished() -> None:
    curriculum = UniformCurriculum([Timeline(100, offset=7)])
    record(curriculum, 0, ties=100, trials=100)
    assert not curriculum.finished
    record(curriculum, -7, ties=49, trials=49)
    assert not curriculum.finished
    record(curriculum, -7, ties=1)
    assert curriculum.finished
    assert UniformCurriculum([Timeline(100)], threshold=0.9).finished is False


def test_what_is_left_is_what_is_not_known_to_tie() -> None:
    curriculum = UniformCurriculum([Timeline(100, rewards=(72,))])
    # Untried buckets count as .25.
    assert curriculum.left == 0
    record(curriculum, 20, ties=0, trials=10)
    record(curriculum, 70, ties=0, trials=10)
    # The bucket 16..31, and of 64..79 what lies before the last reward's end at 73.
    assert curriculum.left == 16 + 9
    record(curriculum, 20, ties=10, trials=10)
    assert curriculum.left == 9


def test_success_and_buckets_are_by_start() -> None:
    curriculum = UniformCurriculum([Timeline(100, offset=10, rewards=(79,))])
    record(curriculum, 16, ties=1)
    record(curriculum, 31, ties=0)
    record(curriculum, -10, ties=1, trials=2)
    # One tie faded to .98 of 1.98 trials, with half a tie of two trials before; at the reset 1 of 2.
    known = curriculum.success(0, np.array([-10, 16, 31, 32, 80]))
    assert known.tolist() == pytest.approx([1.5 / 4, 1.48 / 3.98, 1.48 / 3.98, 0.25, 1.0])
    assert curriculum.buckets()[0].tie_rate[:3] == [None, pytest.approx(0.98 / 1.98), None]
    assert curriculum.buckets()[0].trials[:3] == [0, pytest.approx(1.98), 0]
    assert curriculum.report() == {
        "finished": False,
        "demos": [
            {
                "frontier": 0,
                "segments": [[0, 100, 0]],
                "tie_rate": 0.5,
                "trials": 2,
                "reset_tie_rate": 0.5,
                "reset_trials": 2,
            }
        ],
    }
