"""The adaptive rule on a demo that is climbed in segments, by hand."""

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo_curriculum.curriculum import AdaptiveCurriculum, CurriculumError, Move, Span, Timeline
from demo_curriculum.curriculum.segment import cut
from demo_curriculum.demo import Outcome, Start

TIMELINE = Timeline(1000, offset=50, rewards=(199, 450, 499, 950))
"""Cut with a gap of 200: 0..200, 200..451, 451..1000 (the reward at 499 is too near, 950 is the last)."""


def curriculum() -> AdaptiveCurriculum:
    return AdaptiveCurriculum([TIMELINE], split=200)


def record(rule: AdaptiveCurriculum, step: int, goal: int, ties: int, trials: int, leg: int = 0) -> None:
    for trial in range(trials):
        tied = trial < ties
        rule.record(Outcome(Start(0, step, goal), 0.0, 1, tied, "tie" if tied else "life", leg))


def climb(rule: AdaptiveCurriculum, goal: int) -> None:
    """Wins a segment until its frontier is at its beginning."""
    while True:
        begin, _, frontier = next(entry for entry in rule.report()["demos"][0]["segments"] if entry[1] == goal)
        if begin == frontier:
            break
        record(rule, frontier, goal, 32, 32)
        rule.advance()


def test_a_demo_is_cut_after_rewards_that_are_far_enough_apart() -> None:
    assert cut(TIMELINE, 200) == [(0, 200), (200, 451), (451, 1000)]
    assert cut(TIMELINE, 0) == [(0, 1000)]
    assert cut(TIMELINE, 201) == [(0, 451), (451, 1000)]
    assert cut(Timeline(1000), 100) == [(0, 1000)]
    # What would be left after the cut is too short.
    assert cut(Timeline(1000, rewards=(399, 700)), 302) == [(0, 1000)]
    assert cut(Timeline(1000, rewards=(399, 700)), 301) == [(0, 400), (400, 1000)]


def test_long_stretches_without_a_reward_are_cut_at_landmarks() -> None:
    line = Timeline(2000, rewards=(1899,), landmarks=(150, 399, 420, 500, 819, 820, 1000, 1450, 1500, 1501))
    assert cut(line, 200) == [(0, 420), (420, 820), (820, 1450), (1450, 2000)]
    assert cut(line, 300) == [(0, 819), (819, 2000)]
    # More than four times the least is long.
    assert cut(Timeline(1000, rewards=(799,), landmarks=(400,)), 200) == [(0, 1000)]
    assert cut(Timeline(1000, rewards=(800,), landmarks=(400,)), 200) == [(0, 400), (400, 1000)]
    assert cut(line, 0) == [(0, 2000)]
    # Only what is long: 1200 steps, and then 700.
    assert cut(line._replace(rewards=(1199, 1899)), 200) == [(0, 420), (420, 1200), (1200, 2000)]


@given(
    rewards=st.sets(st.integers(0, 999), max_size=20),
    landmarks=st.sets(st.integers(1, 999), max_size=20),
    gap=st.integers(0, 600),
)
def test_segments_cover_the_demo(rewards: set[int], landmarks: set[int], gap: int) -> None:
    segments = cut(Timeline(1000, rewards=tuple(sorted(rewards)), landmarks=tuple(sorted(landmarks))), gap)
    assert segments[0][0] == 0 and segments[-1][1] == 1000
    assert all(goal == begin for (_, goal), (begin, _) in pairwise(segments))
    assert len(segments) == 1 or all(goal - begin >= gap for begin, goal in segments)


def test_every_segment_has_a_frontier_of_its_own() -> None:
    rule = curriculum()
    assert rule.report()["demos"][0]["segments"] == [[0, 200, 168], [200, 451, 419], [451, 1000, 919]]
    assert rule.frontiers == (919,)
    assert rule.left == 168 + 219 + 468 + 2
    assert rule.spans == [Span(0, 168, 200), Span(0, 419, 451), Span(0, 919, 1000)]
    record(rule, 420, 451, ties=16, trials=32)
    assert rule.advance() == [Move(0, 419, 359, "advance", 0.5, 32, 451)]
    assert rule.frontiers == (919,) and rule.left == 168 + 159 + 468 + 2


def test_starts_are_judged_at_their_segments_goal() -> None:
    rule = curriculum()
    rng = np.random.default_rng(0)
    starts = [rule.sample(rng) for _ in range(6000)]
    assert {start.goal for start in starts if start.step < 0} == {200}
    assert np.mean([start.step == -50 for start in starts]) == pytest.approx(0.05, abs=0.01)
    for first, goal, end in ((168, 200, 200), (419, 451, 451), (919, 1000, 951)):
        steps = [start.step for start in starts if start.goal == goal and start.step >= 0]
        assert min(steps) == first and max(steps) == end - 1
        assert len(steps) / 6000 == pytest.approx(0.95 / 3, abs=0.02)


def test_segments_get_agent_steps_by_their_need_however_long_their_episodes() -> None:
    rule = curriculum()
    climb(rule, 451)
    # The second segment ties three in four: its need is 1/4, that of the others 1.
    record(rule, 200, 451, ties=24, trials=32)
    for goal, begin, length in ((200, 150, 4), (451, 300, 10), (1000, 900, 40)):
        for _ in range(400):
            rule.record(Outcome(Start(0, begin, goal), 0.0, length, False, "lag"))
    for _ in range(400):
        rule.record(Outcome(Start(0, -50, 1000), 0.0, 5, False, "lag"))
    rng = np.random.default_rng(0)
    starts = [rule.sample(rng) for _ in range(20_000)]
    at_reset = np.array([start.step == -50 for start in starts])
    goals = np.array([start.goal for start in starts])
    found = [at_reset.mean(), *(np.mean(~at_reset & (goals == goal)) for goal in (200, 451, 1000))]
    # 5 % of the steps from the reset, the first segment being climbed.
    weights = np.array([0.05 * 2.25 / 5, 0.95 / 4, 0.95 * 0.25 / 10, 0.95 / 40])
    assert found == pytest.approx((weights / weights.sum()).tolist(), abs=0.012)


def test_the_reset_gets_agent_steps_by_how_much_of_the_demo_its_episodes_come_to() -> None:
    rng = np.random.default_rng(0)
    rule = curriculum()

    def at_reset() -> float:
        return sum(rule.sample(rng).step == -50 for _ in range(8000)) / 8000

    climb(rule, 451)
    assert at_reset() == pytest.approx(0.05, abs=0.01)
    climb(rule, 200)
    # As far as is known it is never tied: 200 of 1,000 steps.
    assert at_reset() == pytest.approx(0.05 + 0.45 * 0.2, abs=0.015)
    record(rule, 0, 200, ties=24, trials=32)
    assert at_reset() == pytest.approx(0.05 + 0.45 * (0.2 + 0.75 * 0.251), abs=0.02)
    record(rule, 200, 451, ties=16, trials=32)
    assert at_reset() == pytest.approx(0.05 + 0.45 * (0.2 + 0.75 * 0.251), abs=0.02), "the third is climbed still"
    climb(rule, 1000)
    assert at_reset() == pytest.approx(0.05 + 0.45 * (0.2 + 0.75 * 0.251 + 0.75 * 0.5 * 0.549), abs=0.02)


def test_paces_are_of_whole_episodes_and_of_a_segments_own() -> None:
    rule = curriculum()
    # From the reset to the first goal, and how the whole episode ended.
    rule.record(Outcome(Start(0, -50, 200), 0.0, 40, True, "tie"))
    rule.record(Outcome(Start(0, -50, 1000), 0.0, 90, False, "lag"))
    rule.record(Outcome(Start(0, 150, 200), 0.0, 7, True, "tie"))
    rule.record(Outcome(Start(0, 150, 200), 0.0, 9, True, "tie", setbacks=1))
    (saved,) = rule.state_dict()["demos"]
    assert saved["reset_pace"] == 90
    assert [segment["pace"] for segment in saved["segments"]] == [7, 0, 0]
    rule.record(Outcome(Start(0, -50, 1000), 0.0, 40, False, "lag"))
    restored = curriculum()
    restored.load_state_dict(rule.state_dict())
    (saved,) = restored.state_dict()["demos"]
    assert saved["reset_pace"] == pytest.approx(90 + (40 - 90) / 50)


def test_a_tied_segment_goes_on_into_one_that_is_climbed() -> None:
    rule = curriculum()
    rng = np.random.default_rng(0)
    inside, reset = Start(0, 170, 200), Start(0, -50, 200)
    assert rule.onward(inside, inside, rng) is None, "the next one is not at its beginning yet"
    climb(rule, 451)
    record(rule, 210, 451, ties=64, trials=64)
    for ties, share in ((50, 0.5), (100, 0.1)):
        record(rule, 200, 451, ties=ties, trials=100, leg=1)
        went_on = [rule.onward(inside, inside, rng) for _ in range(2000)]
        assert set(went_on) == {None, Start(0, 200, 451)}
        assert np.mean([start is not None for start in went_on]) == pytest.approx(share, abs=0.04)
    assert all(rule.onward(reset, inside, rng) == Start(0, 200, 451) for _ in range(50))
    last = Start(0, 930, 1000)
    assert rule.onward(reset, last, rng) is None


def test_a_segment_at_its_beginning_is_imitated_until_it_is_tied_often() -> None:
    rule = curriculum()
    climb(rule, 451)
    for ties, imitation in ((0, 1.0), (16, 0.5), (32, 0.1), (64, 0.1)):
        record(rule, 210, 451, ties=ties, trials=64)
        assert rule.spans == [Span(0, 168, 200), Span(0, 200, 451, imitation), Span(0, 919, 1000)]
    record(rule, 200, 451, ties=0, trials=100, leg=1)
    assert rule.spans[1].imitation == 1.0, "not from where the agent arrives"
    assert rule.climbing == (200 + 549) / 1000
    climb(rule, 200)
    assert rule.climbing == 549 / 1000
    climb(rule, 1000)
    assert rule.climbing == 0.0 and rule.left == 2


def test_a_frontier_that_stands_still_is_imitated_less_and_less() -> None:
    rule = curriculum()
    # In trials, and in updates: so many more than 128, and than 8.
    for updates, trials, imitation in (
        (6, 128, 1.0),
        (7, 128, 8 / 13),
        (3, 10, 0.5),
        (60, 230, 128 / 496),
        (4, 1000, 0.1),
    ):
        record(rule, 930, 1000, ties=trials // 10, trials=trials)
        for _ in range(updates):
            assert not rule.advance(), "too few ties to advance; there is nothing later to retreat to"
        assert rule.spans[2] == Span(0, 919, 1000, pytest.approx(imitation))
    assert [span.imitation for span in rule.spans[:2]] == [1.0, 1.0]
    record(rule, 930, 1000, ties=32, trials=64)
    rule.advance()
    assert rule.spans[2] == Span(0, 859, 1000)
    # On the way back to where it was before, nothing is new.
    record(rule, 860, 1000, ties=0, trials=200)
    for _ in range(15):
        rule.advance()
    record(rule, 930, 1000, ties=56, trials=56)
    state = json.loads(json.dumps(rule.state_dict()))
    rule.advance()
    assert rule.spans[2] == Span(0, 871, 1000, 0.5)
    other = curriculum()
    other.load_state_dict(state)
    other.advance()
    assert other.spans == rule.spans


def test_what_is_handed_over_is_not_counted_as_the_windows() -> None:
    rule = curriculum()
    climb(rule, 451)
    record(rule, 200, 451, ties=0, trials=100, leg=1)
    before = rule.success(0, np.array([200]))[0]
    record(rule, 200, 451, ties=0, trials=1)
    assert rule.success(0, np.array([200]))[0] < before
    rng = np.random.default_rng(0)
    starts = [rule.sample(rng) for _ in range(4000)]
    drawn = np.mean([start.goal == 451 for start in starts])
    # Half of them begin where agents arrived, and the other half's 4/11 anywhere in the window of 64, seldom there.
    assert np.mean([start.step == 200 for start in starts if start.goal == 451]) == pytest.approx(0.51, abs=0.05)
    # It always ties from where the demo passed, and never from where the agent arrives: as much to learn as the others.
    assert drawn == pytest.approx(0.95 / 3, abs=0.03)
    record(rule, 200, 451, ties=100, trials=100, leg=1)
    record(rule, 210, 451, ties=64, trials=64)
    drawn = np.mean([rule.sample(rng).goal == 451 for _ in range(4000)])
    assert drawn == pytest.approx(0.95 * 0.1 / 2.1, abs=0.02)


def test_half_of_what_is_climbed_is_begun_where_agents_came_by() -> None:
    # What 399 brings was had before: nobody is told to have come to it.
    line = Timeline(1000, rewards=(199, 299, 399, 950), landmarks=(600,), new_scores=(200, 300, 951))
    rule = AdaptiveCurriculum([line], split=500)
    assert [entry[:2] for entry in rule.report()["demos"][0]["segments"]] == [[0, 1000]]
    rng = np.random.default_rng(0)
    assert not {200, 300, 600} & {rule.sample(rng).step for _ in range(50)}, "it is climbed yet"
    climb(rule, 1000)
    starts = [start.step for start in (rule.sample(rng) for _ in range(4000)) if start.step > 0]
    # Of those that would begin from a stage on, half begin at the latest one; before the first, none.
    for begin, end in ((200, 300), (300, 600), (600, 951)):
        there = np.array([step for step in starts if begin <= step < end])
        assert len(there) > 100 and np.mean(there == begin) == pytest.approx(0.5, abs=0.08)
    assert all(start.walk == () for start in (rule.sample(rng) for _ in range(500)) if start.step in (200, 300, 600))
    assert sum(step == 400 for step in starts) < 20
    # What comes of them tells how often the start is tied; nothing of a seam, and nothing of the window.
    before, trials = rule.success(0, np.array([600]))[0], rule.report()["demos"][0]["trials"]
    record(rule, 600, 1000, ties=0, trials=20, leg=1)
    assert rule.success(0, np.array([600]))[0] < before
    record(rule, 30, 1000, ties=0, trials=5, leg=1)
    assert rule.report()["demos"][0]["trials"] == trials
    record(rule, 30, 1000, ties=0, trials=5)
    assert rule.report()["demos"][0]["trials"] == trials + 5


def test_neighbours_become_one_when_what_is_handed_over_ties() -> None:
    rule = curriculum()
    climb(rule, 451)
    climb(rule, 1000)
    record(rule, 210, 451, ties=48, trials=64)
    # Together they have to tie .4: of what is handed over .4 / .75 = .533, with 95 % confidence 62 of 100.
    record(rule, 451, 1000, ties=61, trials=100, leg=1)
    assert rule.advance() == []
    record(rule, 451, 1000, ties=100, trials=100, leg=1)
    rule_before = rule.success(0, np.array([300, 600])).tolist()
    assert rule.advance() == [Move(0, 451, 200, "merge", 1.0, 200, 1000)]
    assert rule.report()["demos"][0]["segments"] == [[0, 200, 168], [200, 1000, 200]]
    assert rule.frontiers == (200,)
    assert rule.success(0, np.array([300, 600])).tolist() == rule_before
    # An episode that was under way when its goal went away says nothing of the new one.
    record(rule, 210, 451, ties=0, trials=64)
    assert rule.report()["demos"][0]["tie_rate"] is None


def test_a_seam_that_is_never_passed_is_climbed_over() -> None:
    rule = curriculum()
    climb(rule, 451)
    climb(rule, 1000)
    record(rule, 451, 1000, ties=0, trials=199, leg=1)
    record(rule, 460, 1000, ties=32, trials=32)
    assert rule.advance() == [], "not yet sure"
    record(rule, 451, 1000, ties=2, trials=11, leg=1)
    assert rule.advance() == [], "a fiftieth is enough to learn from"
    record(rule, 451, 1000, ties=1, trials=100, leg=1)
    assert rule.advance() == [Move(0, 451, 451, "bridge", 0.01, 310, 1000)]
    assert rule.report()["demos"][0]["segments"] == [[0, 200, 168], [200, 1000, 451]]
    # What is not climbed yet counts for little, as it was judged by another score.
    assert rule.spans == [Span(0, 168, 200), Span(0, 451, 1000)]
    # From there it goes on like any climb.
    record(rule, 460, 1000, ties=32, trials=32)
    assert [move[1:4] for move in rule.advance()] == [(451, 331, "advance")]
    climb(rule, 1000)
    assert rule.report()["demos"][0]["segments"] == [[0, 200, 168], [200, 1000, 200]]


def test_a_segment_that_fails_from_the_demo_too_needs_no_bridge() -> None:
    rule = curriculum()
    climb(rule, 451)
    climb(rule, 1000)
    record(rule, 451, 1000, ties=0, trials=300, leg=1)
    assert rule.advance() == [], "nothing known of its own beginning"
    record(rule, 460, 1000, ties=4, trials=40)
    assert all(move.reason != "bridge" for move in rule.advance())


def test_a_reset_that_ties_the_whole_demo_finishes_it() -> None:
    rule = curriculum()
    for goal in (200, 451, 1000):
        climb(rule, goal)
    # Of an episode from the reset the first leg is judged at 200, the whole at 1000.
    record(rule, -50, 200, ties=100, trials=100)
    assert not rule.finished and rule.report()["demos"][0]["reset_trials"] == 0
    record(rule, -50, 1000, ties=30, trials=100)
    assert [move.reason for move in rule.advance()] == ["merge", "merge"]
    assert rule.finished and rule.frontiers == (0,) and rule.left == 0


def test_segments_are_saved_and_damaged_ones_refused() -> None:
    rule = curriculum()
    climb(rule, 1000)
    record(rule, 200, 451, ties=3, trials=7, leg=2)
    state = json.loads(json.dumps(rule.state_dict()))
    other = curriculum()
    other.load_state_dict(state)
    assert other.state_dict() == rule.state_dict() and other.report() == rule.report()
    # A rule in one piece goes on with segments, too: where the cuts are is part of the state.
    whole = AdaptiveCurriculum([TIMELINE])
    whole.load_state_dict(state)
    assert whole.report() == rule.report()
    for damage in (
        lambda entry: entry.update(segments=entry["segments"][:-1]),
        lambda entry: entry["segments"][1].update(goal=150),
        # Where there is neither a reward nor a landmark; it may be.
        lambda entry: entry["segments"][1].update(goal=452),
        lambda entry: entry["segments"][1].update(frontier=450),
        lambda entry: entry["segments"][1].update(lowest=451),
        lambda entry: entry["segments"][1].update(waited_trials=-1),
        lambda entry: entry["segments"][1].update(pace=0.5),
        lambda entry: entry["segments"][1].update(pace=float("nan")),
        lambda entry: entry.update(reset_pace=1e9),
        lambda entry: entry["laps"][0]["setbacks"].update(total=1),
        lambda entry: entry.update(laps=[*entry["laps"], *entry["laps"]]),
        lambda entry: entry.update(segments=[]),
    ):
        broken = json.loads(json.dumps(state))
        damage(broken["demos"][0])
        before = other.state_dict()
        with pytest.raises(CurriculumError):
            other.load_state_dict(broken)
        assert other.state_dict() == before


def test_easing_moves_what_is_climbed_back_and_widens_its_window() -> None:
    rule = curriculum()
    climb(rule, 451)
    record(rule, 925, 1000, ties=32, trials=32)
    rule.advance()
    assert rule.report()["demos"][0]["segments"] == [[0, 200, 168], [200, 451, 200], [451, 1000, 799]]
    record(rule, 800, 1000, ties=1, trials=20)
    assert rule.ease() == [Move(0, 168, 168, "retreat", 0.0, 0, 200), Move(0, 799, 919, "retreat", 0.05, 20, 1000)]
    rng = np.random.default_rng(0)
    climb_window = [start.step for start in (rule.sample(rng) for _ in range(3000)) if start.goal == 1000]
    assert (min(climb_window), max(climb_window)) == (919, 950)
    for _ in range(4):
        rule.ease()
    state = json.loads(json.dumps(rule.state_dict()))
    assert [segment["span"] for segment in state["demos"][0]["segments"]] == [256, 64, 256]
    other = curriculum()
    other.load_state_dict(state)
    assert other.state_dict() == rule.state_dict()


def stand_still(rule: AdaptiveCurriculum, updates: int = 8) -> list[Move]:
    """Two of sixteen tie in the window of every segment that is climbed, too few to go on and too many to go back."""
    moves = []
    for _ in range(updates):
        for begin, goal, frontier in rule.report()["demos"][0]["segments"]:
            for trial in range(16 if frontier > begin else 0):
                tied = trial < 2
                rule.record(Outcome(Start(0, frontier + 1, goal), 0.0, 1, tied, "tie" if tied else "life"))
        moves += rule.advance()
    return moves


def test_what_lies_before_a_frontier_that_stands_still_is_climbed_meanwhile() -> None:
    line = Timeline(1000, rewards=(899,), landmarks=(200, 420, 700, 880))
    rule = AdaptiveCurriculum([line], split=300)
    assert rule.frontiers == (868,)
    # 128 trials and 8 updates.
    assert stand_still(rule, 7) == []
    assert stand_still(rule, 1) == [Move(0, 868, 668, "cut", 0.125, 128, 700)]
    assert rule.report()["demos"][0]["segments"] == [[0, 700, 668], [700, 1000, 868]]
    assert rule.left == 668 + 168 + 1 and rule.frontiers == (868,)
    rng = np.random.default_rng(0)
    starts = [rule.sample(rng) for _ in range(500)]
    assert {start.goal for start in starts if start.step} == {700, 1000}
    assert all(start.step < 700 for start in starts if start.goal == 700)
    restored = AdaptiveCurriculum([line], split=300)
    restored.load_state_dict(rule.state_dict())
    # The later one has no landmark 300 steps after its beginning, the earlier one has 420.
    assert stand_still(restored) == stand_still(rule) == [Move(0, 668, 388, "cut", 0.125, 128, 420)]
    assert restored.state_dict() == rule.state_dict()
    assert stand_still(rule, 40) == [], "200 is too near the beginning"


def test_only_what_may_be_in_segments_is_cut() -> None:
    rule = AdaptiveCurriculum([Timeline(1000, rewards=(899,), landmarks=(420, 700))])
    assert stand_still(rule, 40) == []
    rule = AdaptiveCurriculum([Timeline(1000, rewards=(899,))], split=300)
    assert stand_still(rule, 40) == []
    # The frontier is there, as it is on a bridge.
    rule = AdaptiveCurriculum([Timeline(1000, rewards=(899,), landmarks=(868,))], split=300)
    assert stand_still(rule, 40) == []


def test_segments_that_were_cut_become_one_again() -> None:
    rule = AdaptiveCurriculum([Timeline(1000, rewards=(899,), landmarks=(700,))], split=300)
    stand_still(rule)
    while any(frontier > begin for begin, _, frontier in rule.report()["demos"][0]["segments"]):
        for begin, goal, frontier in rule.report()["demos"][0]["segments"]:
            for _ in range(16 if frontier > begin else 0):
                rule.record(Outcome(Start(0, frontier + 1, goal), 0.0, 1, True, "tie"))
        rule.advance()
    for begin, goal in ((0, 700), (700, 1000)):
        for _ in range(16):
            rule.record(Outcome(Start(0, begin + 1, goal), 0.0, 1, True, "tie"))
    for _ in range(60):
        rule.record(Outcome(Start(0, 700, 1000), 0.0, 1, True, "tie", leg=1))
    assert [move.reason for move in rule.advance()] == ["merge"]
    assert rule.report()["demos"][0]["segments"] == [[0, 1000, 0]]


def test_a_cut_leaves_what_is_known_where_it_belongs() -> None:
    line = Timeline(1000, rewards=(399, 600, 899), landmarks=(750,))
    rule = AdaptiveCurriculum([line], split=350)
    assert rule.report()["demos"][0]["segments"] == [[0, 400, 368], [400, 1000, 868]]
    record(rule, 400, 1000, ties=3, trials=7, leg=1)
    # It was once further than it is now, and than the landmark.
    rule._climbs[0].segments[1].lowest = 720
    assert [move.goal for move in stand_still(rule)] == [750]
    # A landmark is not tied by the last reward before it.
    assert rule.report()["demos"][0]["segments"] == [[0, 400, 368], [400, 750, 718], [750, 1000, 868]]
    saved = rule.state_dict()["demos"][0]["segments"]
    assert [entry["handed"]["total"] for entry in saved] == [0, 7, 0]
    other = AdaptiveCurriculum([line], split=350)
    other.load_state_dict(rule.state_dict())
    assert other.report() == rule.report()
