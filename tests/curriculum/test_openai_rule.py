"""The published rule, by hand."""

import numpy as np
import pytest

from demo_curriculum.curriculum import Move, OpenAICurriculum, Timeline
from demo_curriculum.demo import Outcome, Start


def record(curriculum: OpenAICurriculum, step: int, ties: int, trials: int = 1, demo: int = 0) -> None:
    for trial in range(trials):
        tied = trial < ties
        curriculum.record(Outcome(Start(demo, step, 0), 0.0, 1, tied, "tie" if tied else "life"))


def one_period(curriculum: OpenAICurriculum) -> list[Move]:
    return [move for _ in range(8) for move in curriculum.advance()]


def test_sixteen_workers_that_all_win_move_thirteen_steps() -> None:
    curriculum = OpenAICurriculum([Timeline(1000)])
    assert curriculum.frontiers == (984,)
    for step in range(984, 1000):
        record(curriculum, step, ties=2, trials=2)
    # Workers begin at 999..984, 15 steps apart: the sum reaches .2 × 15 = 3 at the third earliest, 986 = 999 - 13.
    assert [curriculum.advance() for _ in range(7)] == [[]] * 7
    assert curriculum.advance() == [Move(0, 984, 971, "advance", 1.0, 32, 1000)]
    assert one_period(curriculum) == []


def test_a_cliff_puts_most_of_the_window_below_it() -> None:
    curriculum = OpenAICurriculum([Timeline(1000)])
    for step in range(984, 1000):
        record(curriculum, step, ties=int(step >= 990))
    # 990, 991, 992 are the first three that tie.
    assert one_period(curriculum) == [Move(0, 984, 977, "advance", 10 / 16, 16, 1000)]


def test_rates_are_averaged_within_a_period_and_kept_where_nothing_was_tried() -> None:
    curriculum = OpenAICurriculum([Timeline(1000)])
    record(curriculum, 999, ties=1, trials=2)
    record(curriculum, 990, ties=1, trials=4)
    one_period(curriculum)
    assert curriculum.success(0, np.array([999, 990, 5])).tolist() == [0.5, 0.25, 0.0]
    record(curriculum, 990, ties=3, trials=4)
    one_period(curriculum)
    assert curriculum.success(0, np.array([999, 990, 5])).tolist() == [0.5, 0.75, 0.0]


def test_a_failing_window_retreats_to_where_old_successes_make_up_the_threshold() -> None:
    curriculum = OpenAICurriculum([Timeline(1000)])
    for _ in range(2):
        latest = curriculum.frontiers[0] + 15
        for step in range(latest - 15, latest + 1):
            record(curriculum, step, ties=1)
        one_period(curriculum)
    assert curriculum.frontiers == (958,)
    # Now at 973..958, of which 971.. won before; all of it fails, and 974, 975, 976 are the earliest wins left.
    for step in range(958, 974):
        record(curriculum, step, ties=0)
    assert one_period(curriculum) == [Move(0, 958, 961, "retreat", 0.0, 16, 1000)]


def test_without_any_success_it_retreats_a_hundred_steps_but_not_beyond_the_demo() -> None:
    curriculum = OpenAICurriculum([Timeline(1000)])
    for _ in range(12):
        latest = curriculum.frontiers[0] + 15
        for step in range(latest - 15, latest + 1):
            record(curriculum, step, ties=1)
        one_period(curriculum)
    assert curriculum.frontiers == (984 - 12 * 13,)
    for step in range(1000):
        record(curriculum, step, ties=0)
    assert one_period(curriculum)[0][1:4] == (828, 928, "retreat")
    assert one_period(curriculum)[0][1:4] == (928, 984, "retreat")
    assert one_period(curriculum) == []


def test_workers_are_spread_over_320_steps_at_most() -> None:
    assert OpenAICurriculum([Timeline(1000)], workers=320).frontiers == (999 - 319,)
    curriculum = OpenAICurriculum([Timeline(1000)], workers=640)
    assert curriculum.frontiers == (999 - 319,)
    rng = np.random.default_rng(0)
    steps = [curriculum.sample(rng).step for _ in range(640 * 20)]
    assert min(steps) == 680
    assert set(range(680, 1000)) == set(steps)


def test_four_fifths_begin_at_their_own_start_the_rest_anywhere_later() -> None:
    curriculum = OpenAICurriculum([Timeline(10_000)])
    curriculum.load_state_dict({**curriculum.state_dict(), "demos": [_demo_state(latest=5_000)]})
    rng = np.random.default_rng(0)
    steps = np.array([curriculum.sample(rng).step for _ in range(16 * 500)])
    assert steps.min() == 4985
    # Of the episodes that begin anywhere later, 8 in 5,000 begin within the window by chance.
    own = steps[steps <= 5000]
    assert len(own) / len(steps) == pytest.approx(0.8 + 0.2 * 8 / 5000, abs=0.015)
    assert np.bincount(own - 4985) == pytest.approx(np.full(16, 0.8 * 500), rel=0.2)
    later = steps[steps > 5000]
    assert later.max() <= 9_999
    assert later.mean() == pytest.approx(7_500, abs=120)


def _demo_state(latest: int) -> dict[str, object]:
    return {"latest": latest, "since_move": 0, "starts": [], "reset": {"history": [], "total": 0}}


def test_starts_before_the_demo_are_the_games_own_reset() -> None:
    curriculum = OpenAICurriculum([Timeline(100, offset=40)])
    curriculum.load_state_dict({**curriculum.state_dict(), "demos": [_demo_state(latest=3)]})
    assert curriculum.frontiers == (0,)
    rng = np.random.default_rng(0)
    steps = np.array([curriculum.sample(rng).step for _ in range(1600)])
    assert set(steps[steps < 4]) == {-40, 0, 1, 2, 3}
    assert (steps == -40).mean() > 0.55
    assert not curriculum.finished
    record(curriculum, -40, ties=26, trials=99)
    assert not curriculum.finished
    record(curriculum, -40, ties=1)
    assert curriculum.finished  # 27 of 100
    assert curriculum.report() == {
        "finished": True,
        "demos": [
            {
                "frontier": 0,
                "segments": [[0, 100, 0]],
                "tie_rate": None,
                "trials": 100,
                "reset_tie_rate": 0.27,
                "reset_trials": 100,
            }
        ],
    }
    assert curriculum.success(0, np.array([-40])).tolist() == [0.27]


def test_buckets_average_the_starts_that_a_finished_period_has_tried() -> None:
    curriculum = OpenAICurriculum([Timeline(40)])
    record(curriculum, 17, ties=1, trials=2)
    record(curriculum, 20, ties=2, trials=2)
    assert curriculum.buckets()[0] == (16, [None, None, None], [0.0, 4.0, 0.0])
    one_period(curriculum)
    assert curriculum.buckets()[0] == (16, [None, 0.75, None], [0.0, 4.0, 0.0])


def test_demos_are_drawn_alike_and_move_on_their_own() -> None:
    curriculum = OpenAICurriculum([Timeline(1000), Timeline(500)])
    rng = np.random.default_rng(0)
    assert np.mean([curriculum.sample(rng).demo for _ in range(2000)]) == pytest.approx(0.5, abs=0.04)
    for step in range(484, 500):
        record(curriculum, step, ties=1, demo=1)
        record(curriculum, step + 500, ties=int(step >= 497), demo=0)
    assert one_period(curriculum) == [Move(1, 484, 471, "advance", 1.0, 16, 500)]
    assert curriculum.frontiers == (984, 471)
