"""Reverse and forward phase, by hand."""

import json

import numpy as np
import pytest

from demo_curriculum.curriculum import CurriculumError, Move, RFCLCurriculum, Timeline
from demo_curriculum.demo import Outcome, Start


def record(curriculum: RFCLCurriculum, step: int, *ties: int, demo: int = 0) -> None:
    for tied in ties:
        curriculum.record(Outcome(Start(demo, step, 100), 0.0, 1, bool(tied), "tie" if tied else "life"))


def solve(curriculum: RFCLCurriculum, demo: int = 0) -> None:
    """Wins at every frontier, at 0 too."""
    while curriculum.frontiers[demo] > 0:
        record(curriculum, curriculum.frontiers[demo], 1, 1, 1, demo=demo)
        curriculum.advance()
    record(curriculum, 0, 1, 1, 1, demo=demo)


def demo_shares(curriculum: RFCLCurriculum, count: int, draws: int = 8000) -> list[float]:
    rng = np.random.default_rng(0)
    drawn = np.bincount([curriculum.sample(rng).demo for _ in range(draws)], minlength=count)
    return (drawn / draws).tolist()


def test_starts_are_geometric_from_the_frontier_on() -> None:
    curriculum = RFCLCurriculum([Timeline(100, rewards=(89,))], stride=8)
    rng = np.random.default_rng(0)
    # The first frontier is the last step worth training.
    assert curriculum.frontiers == (89,)
    assert {curriculum.sample(rng) for _ in range(200)} == {Start(0, 89, 100)}
    record(curriculum, 89, 1, 1, 1)
    assert curriculum.advance() == [Move(0, 89, 81, "advance", 1.0, 3, 100)]
    drawn = np.bincount([curriculum.sample(rng).step - 81 for _ in range(20_000)]) / 20_000
    assert drawn.tolist() == pytest.approx([0.5, 0.25, 0.125, 0.0625, 0.0625], abs=0.012)


def test_only_a_streak_from_the_frontier_itself_moves_it() -> None:
    curriculum = RFCLCurriculum([Timeline(100)], streak=3, stride=8)
    record(curriculum, 99, 1, 1, 1)
    curriculum.advance()
    assert curriculum.frontiers == (91,)
    record(curriculum, 92, 1, 1, 1, 1)
    assert curriculum.advance() == []
    record(curriculum, 91, 1, 1, 0, 1, 1)
    assert curriculum.advance() == []
    # A failure from a later start breaks no streak.
    record(curriculum, 92, 0)
    record(curriculum, 91, 1)
    # Of the window's 4 + 5 + 1 + 1 trials 9 tied.
    assert curriculum.advance() == [Move(0, 91, 83, "advance", 9 / 11, 11, 100)]


def test_a_streak_counts_once_an_update_and_is_not_lost_before_it() -> None:
    curriculum = RFCLCurriculum([Timeline(100)], streak=2, stride=8)
    record(curriculum, 99, 1, 1, 0, 1, 1, 1, 1)
    assert curriculum.advance()[0].after == 91
    assert curriculum.advance() == []


def test_it_never_retreats() -> None:
    curriculum = RFCLCurriculum([Timeline(100)])
    record(curriculum, 99, 1, 1, 1)
    curriculum.advance()
    record(curriculum, 91, *[0] * 1000)
    assert curriculum.advance() == []
    assert curriculum.frontiers == (91,)


def test_demos_are_drawn_by_how_far_they_still_have_to_go() -> None:
    curriculum = RFCLCurriculum([Timeline(1000), Timeline(1000), Timeline(20)], stride=500)
    record(curriculum, 999, 1, 1, 1, demo=1)
    for _ in range(2):
        record(curriculum, curriculum.frontiers[2], 1, 1, 1, demo=2)
        curriculum.advance()
    assert curriculum.frontiers == (999, 499, 0)
    assert demo_shares(curriculum, 3) == pytest.approx([999 / 1498, 499 / 1498, 0.0], abs=0.012)


def test_the_forward_phase_begins_with_a_streak_at_every_beginning() -> None:
    curriculum = RFCLCurriculum([Timeline(20, offset=5), Timeline(30, offset=5)], stride=40)
    rng = np.random.default_rng(0)
    solve(curriculum, 0)
    record(curriculum, 29, 1, 1, 1, demo=1)
    curriculum.advance()
    assert curriculum.frontiers == (0, 0)
    assert -5 not in {curriculum.sample(rng).step for _ in range(500)}
    record(curriculum, 0, 1, 1, demo=1)
    record(curriculum, 1, 1, demo=1)
    assert -5 not in {curriculum.sample(rng).step for _ in range(500)}
    record(curriculum, 0, 1, demo=1)
    assert {curriculum.sample(rng) for _ in range(500)} == {Start(0, -5, 20), Start(1, -5, 30)}


def test_of_ten_demos_more_than_nine_have_to_be_solved_and_of_eleven_ten() -> None:
    for count, enough in ((10, 10), (11, 10)):
        curriculum = RFCLCurriculum([Timeline(5, offset=3)] * count, stride=8)
        rng = np.random.default_rng(0)
        for demo in range(count):
            forward = {curriculum.sample(rng).step for _ in range(50)} == {-3}
            assert forward is (demo >= enough)
            solve(curriculum, demo)


def forward_phase(count: int) -> RFCLCurriculum:
    curriculum = RFCLCurriculum([Timeline(5, offset=3)] * count, stride=8)
    for demo in range(count):
        solve(curriculum, demo)
    return curriculum


def test_what_is_tied_now_and_then_comes_first() -> None:
    curriculum = forward_phase(3)
    # Older ones do not count: of the latest five, demo 0 ties 4, demo 1 none, demo 2 one.
    for ties in ((0, 1, 1, 1, 1), (0, 0, 0, 0, 0), (1, 0, 0, 0, 0)):
        demo = {4: 0, 0: 1, 1: 2}[sum(ties)]
        record(curriculum, -3, 1, 1, 1, demo=demo)
        record(curriculum, -3, *ties, demo=demo)
    # Ranks 4, 3, 2 by what can be learnt; the last episode was demo 2's, the one before it demo 1's: ranks 2, 3, 4.
    score, age = np.array([4, 3, 2.0]) ** -10, np.array([2, 3, 4.0]) ** -10
    expected = 0.9 * score / score.sum() + 0.1 * age / age.sum()
    assert demo_shares(curriculum, 3) == pytest.approx(expected.tolist(), abs=0.015)
    # With three of the latest five demo 2 is still in between, with four it ranks with demo 0 behind demo 1.
    record(curriculum, -3, 1, 1, 1, demo=2)
    assert demo_shares(curriculum, 3)[2] > 0.8
    record(curriculum, -3, 1, demo=2)
    assert demo_shares(curriculum, 3)[1] > 0.8


def test_an_untried_demo_ranks_with_the_hopeless() -> None:
    curriculum = forward_phase(2)
    record(curriculum, -3, 1, 1, 1, 1, demo=0)
    assert demo_shares(curriculum, 2)[1] > 0.97
    # Three ties of which the rest is unknown are less than three quarters of five.
    curriculum = forward_phase(2)
    record(curriculum, -3, 1, 1, 1, demo=0)
    assert demo_shares(curriculum, 2)[0] > 0.85


def test_it_is_finished_by_the_reset() -> None:
    curriculum = forward_phase(1)
    assert curriculum.frontiers == (0,) and not curriculum.finished
    record(curriculum, -3, *[1] * 49)
    assert not curriculum.finished
    record(curriculum, -3, 1)
    assert curriculum.finished


def test_the_forward_phase_is_saved() -> None:
    curriculum = forward_phase(2)
    record(curriculum, -3, 1, 0, demo=0)
    state = json.loads(json.dumps(curriculum.state_dict()))
    other = RFCLCurriculum([Timeline(5, offset=3)] * 2, stride=8)
    other.load_state_dict(state)
    assert other.state_dict() == curriculum.state_dict()
    assert demo_shares(other, 2, 2000) == demo_shares(curriculum, 2, 2000)
    state["demos"][0]["wins"] = 4
    with pytest.raises(CurriculumError, match="wins must be a whole number from 0 to 3"):
        other.load_state_dict(state)
