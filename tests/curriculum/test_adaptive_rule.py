"""The adaptive rule, by hand."""

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from demo_curriculum.curriculum import AdaptiveCurriculum, Move, Timeline
from demo_curriculum.demo import Outcome, Start


def record(curriculum: AdaptiveCurriculum, step: int, ties: int, trials: int = 1, demo: int = 0) -> None:
    for trial in range(trials):
        tied = trial < ties
        goal = curriculum.report()["demos"][demo]["segments"][-1][1]
        curriculum.record(Outcome(Start(demo, step, goal), 0.0, 1, tied, "tie" if tied else "life"))


def shares(curriculum: AdaptiveCurriculum, edges: list[int], draws: int = 20_000) -> list[float]:
    rng = np.random.default_rng(0)
    steps = [curriculum.sample(rng).step for _ in range(draws)]
    return (np.histogram(steps, edges)[0] / draws).tolist()


def climb_to(curriculum: AdaptiveCurriculum, frontier: int) -> None:
    """Moves there by winning, in steps of 120 at most."""
    while curriculum.frontiers[0] > frontier:
        rate = 32 if curriculum.frontiers[0] - frontier >= 120 else 7
        record(curriculum, curriculum.frontiers[0] + 1, ties=rate, trials=32)
        curriculum.advance()
    assert curriculum.frontiers[0] == frontier


def test_it_begins_half_a_window_before_the_last_reward() -> None:
    assert AdaptiveCurriculum([Timeline(1000, rewards=(100, 699))]).frontiers == (700 - 32,)
    assert AdaptiveCurriculum([Timeline(1000)]).frontiers == (968,)
    assert AdaptiveCurriculum([Timeline(1000, rewards=(9,))]).frontiers == (0,)
    assert AdaptiveCurriculum([Timeline(1)]).frontiers == (0,)


@pytest.mark.parametrize(("ties", "stride"), [(7, 20), (11, 20), (12, 40), (16, 60), (25, 60), (26, 120), (32, 120)])
def test_the_stride_follows_the_tie_rate(ties: int, stride: int) -> None:
    curriculum = AdaptiveCurriculum([Timeline(1000)], min_trials=32, patience=200)
    record(curriculum, 970, ties, trials=32)
    assert curriculum.advance() == [Move(0, 968, 968 - stride, "advance", ties / 32, 32, 1000)]
    # The count starts anew.
    assert curriculum.advance() == []


def test_it_waits_for_enough_trials_and_for_the_threshold() -> None:
    curriculum = AdaptiveCurriculum([Timeline(1000)], min_trials=32, patience=200)
    record(curriculum, 970, ties=8, trials=31)  # .258, of which Wilson's interval begins at .15
    assert curriculum.advance() == []
    record(curriculum, 970, ties=0)
    assert curriculum.advance()[0].after == 948
    curriculum = AdaptiveCurriculum([Timeline(1000)], min_trials=32, patience=200)
    record(curriculum, 970, ties=6, trials=32)  # 6 / 32 = .1875
    assert curriculum.advance() == []
    record(curriculum, 970, ties=1)  # 7 / 33 = .212
    assert curriculum.advance()[0].after == 948


def test_it_does_not_wait_where_there_is_hardly_a_doubt() -> None:
    curriculum = AdaptiveCurriculum([Timeline(1000)], min_trials=32, patience=200)
    record(curriculum, 970, ties=7, trials=7)
    assert curriculum.advance() == []
    record(curriculum, 970, ties=0)
    assert curriculum.advance() == [Move(0, 968, 848, "advance", 7 / 8, 8, 1000)]
    # The interval of 3 ties in 8 begins at .16, that of 4 at .25.
    for ties, moved in ((3, []), (4, [Move(0, 968, 908, "advance", 0.5, 8, 1000)])):
        curriculum = AdaptiveCurriculum([Timeline(1000)], min_trials=32, patience=200)
        record(curriculum, 970, ties=ties, trials=8)
        assert curriculum.advance() == moved


def test_only_the_window_counts_and_only_its_latest_trials() -> None:
    curriculum = AdaptiveCurriculum([Timeline(1000)], min_trials=32, patience=200)
    climb_to(curriculum, 728)
    record(curriculum, 727, ties=40, trials=40)
    record(curriculum, 728 + 64, ties=40, trials=40)
    assert curriculum.advance() == []
    record(curriculum, 728, ties=0, trials=100)
    record(curriculum, 728 + 63, ties=13, trials=13)
    # 13 of the latest 64 are .203, although 13 of all 113 are .115.
    assert curriculum.advance() == [Move(0, 728, 708, "advance", 13 / 64, 113, 1000)]


def test_it_retreats_after_long_failure_to_what_is_not_known_to_fail() -> None:
    curriculum = AdaptiveCurriculum([Timeline(1000)], min_trials=32, patience=200)
    climb_to(curriculum, 728)
    # Buckets 47 (752..767) to 49 (784..799) fail, 50 (800..815) ties.
    for step in (752, 768, 784):
        record(curriculum, step, ties=0, trials=10)
    record(curriculum, 800, ties=5, trials=10)
    record(curriculum, 730, ties=0, trials=169)
    assert curriculum.advance() == []
    record(curriculum, 730, ties=0)
    assert curriculum.advance() == [Move(0, 728, 800, "retreat", 0.0, 200, 1000)]
    # The next advance takes back half of the 72 at most, the one after it twice that.
    record(curriculum, 801, ties=32, trials=32)
    assert curriculum.advance()[0].after == 800 - 36
    record(curriculum, 765, ties=32, trials=32)
    assert curriculum.advance()[0].after == 764 - 72


def test_a_retreat_is_24_to_120_steps_and_never_beyond_the_first_frontier() -> None:
    curriculum = AdaptiveCurriculum([Timeline(1000)], min_trials=32, patience=200)
    climb_to(curriculum, 728)
    record(curriculum, 730, ties=0, trials=200)
    # 752, an untried bucket, is the nearest: 24 steps.
    assert curriculum.advance()[0].after == 752
    for bucket in range(46, 63):
        record(curriculum, min(bucket * 16, 999), ties=0, trials=200)
    assert curriculum.advance()[0].after == 752 + 120
    record(curriculum, 873, ties=0, trials=200)
    assert curriculum.advance()[0].after == 968
    record(curriculum, 969, ties=0, trials=400)
    assert curriculum.advance() == []


def test_a_low_but_living_tie_rate_neither_advances_nor_retreats() -> None:
    curriculum = AdaptiveCurriculum([Timeline(1000)], min_trials=32, patience=200)
    climb_to(curriculum, 848)
    for _ in range(50):
        record(curriculum, 850, ties=3, trials=32)  # .094
    assert curriculum.advance() == []


def test_most_start_in_the_window_some_later_a_few_at_the_reset() -> None:
    curriculum = AdaptiveCurriculum([Timeline(1000, offset=100, rewards=(899,))])
    climb_to(curriculum, 628)
    at_reset, before, window, later, after = shares(curriculum, [-100, -99, 628, 692, 900, 1000])
    assert (before, after) == (0, 0)
    assert at_reset == pytest.approx(0.05, abs=0.006)
    assert window == pytest.approx(0.6, abs=0.012)
    assert later == pytest.approx(0.35, abs=0.012)


def test_later_starts_are_drawn_by_the_variance_of_their_outcome() -> None:
    curriculum = AdaptiveCurriculum([Timeline(160)])
    climb_to(curriculum, 8)
    for step in range(64, 160):
        record(curriculum, step, ties=0, trials=25)
    for bucket, ties in ((5, 25), (6, 50)):
        for _ in range(8):
            record(curriculum, bucket * 16, ties, trials=50)
    window, *found = shares(curriculum, [8, 72, 80, 96, 112, 128, 144, 160])
    # p(1 - p) + .02 of the posterior means; the first bucket, cut by the window, is drawn as often as a whole one.
    weights = curriculum.success(0, np.arange(4, 10) * 16)
    weights = weights * (1 - weights) + 0.02
    assert found == pytest.approx((0.35 * weights / weights.sum()).tolist(), abs=0.012)
    assert window == pytest.approx(0.6, abs=0.012)
    assert found[1] > 3 * found[0]
    assert found[1] > 3 * found[2]
    assert min(found) > 0.01


def test_at_the_beginning_the_reset_gets_the_largest_share() -> None:
    curriculum = AdaptiveCurriculum([Timeline(200, offset=30)])
    climb_to(curriculum, 0)
    at_reset, window, later = shares(curriculum, [-30, -29, 64, 200])
    # Half at the reset, 4/11 of the others in the window; all episodes took as long.
    assert (at_reset, window, later) == pytest.approx((0.5, 2 / 11, 3.5 / 11), abs=0.012)


def test_the_reset_gets_a_share_of_the_agent_steps_and_not_of_the_episodes() -> None:
    curriculum = AdaptiveCurriculum([Timeline(200, offset=30)])
    climb_to(curriculum, 0)
    for _ in range(400):
        curriculum.record(Outcome(Start(0, 0, 200), 0.0, 30, False, "lag"))
        curriculum.record(Outcome(Start(0, -30, 200), 0.0, 90, False, "lag"))
    at_reset, others = shares(curriculum, [-30, -29, 200])
    # 90 steps of one are as many as 30 of each of three.
    assert (at_reset, others) == pytest.approx((1 / 4, 3 / 4), abs=0.012)


def test_it_is_finished_when_the_reset_is_tied_often_enough_over_enough_recent_trials() -> None:
    curriculum = AdaptiveCurriculum([Timeline(200)])
    record(curriculum, 0, ties=49, trials=49)
    assert not curriculum.finished
    record(curriculum, 0, ties=1)
    assert not curriculum.finished  # the frontier is at 168
    climb_to(curriculum, 0)
    assert curriculum.finished
    record(curriculum, 0, ties=0, trials=73)
    assert curriculum.finished  # of the latest 100, 27 tied
    record(curriculum, 0, ties=0)
    assert not curriculum.finished
    assert curriculum.report()["demos"][0]["reset_trials"] == 100


def test_the_resets_trials_do_not_count_for_the_window() -> None:
    curriculum = AdaptiveCurriculum([Timeline(200)])
    climb_to(curriculum, 0)
    record(curriculum, 0, ties=0, trials=500)
    record(curriculum, 20, ties=20, trials=60)
    assert curriculum.advance() == []
    assert curriculum.report()["demos"][0] == {
        "frontier": 0,
        "segments": [[0, 200, 0]],
        "tie_rate": pytest.approx(1 / 3),
        "trials": 60,
        "reset_tie_rate": 0.0,
        "reset_trials": 100,
    }


def test_success_is_a_fading_posterior_mean() -> None:
    curriculum = AdaptiveCurriculum([Timeline(100, offset=10, rewards=(79,))])
    # Untried .5 / 2; after the last reward everything ties; the reset is its own.
    assert curriculum.success(0, np.array([-10, 0, 79, 80, 99, 100])).tolist() == [0.25, 0.25, 0.25, 1, 1, 1]
    record(curriculum, 16, ties=1)
    record(curriculum, 31, ties=0)
    # One tie faded to .98 of 1.98 trials.
    assert curriculum.success(0, np.array([16, 31, 32])).tolist() == pytest.approx([1.48 / 3.98, 1.48 / 3.98, 0.25])
    assert curriculum.buckets()[0].tie_rate[:3] == [None, pytest.approx(0.98 / 1.98), None]
    record(curriculum, 16, ties=2000, trials=2000)
    record(curriculum, -10, ties=1, trials=2)
    # Faded trials sum up to 50 at most: (50 + .5) / (50 + 2).
    assert curriculum.success(0, np.array([16, -10])).tolist() == pytest.approx([50.5 / 52, 1.5 / 4])
    record(curriculum, 16, ties=0, trials=50)
    assert curriculum.success(0, np.array([16]))[0] == pytest.approx((50 * 0.98**50 + 0.5) / 52)


def test_demos_climb_on_their_own_and_take_steps_by_what_is_to_be_learnt() -> None:
    curriculum = AdaptiveCurriculum([Timeline(1000), Timeline(20)])
    rng = np.random.default_rng(0)
    assert curriculum.frontiers == (968, 0)
    assert np.mean([curriculum.sample(rng).demo for _ in range(4000)]) == pytest.approx(0.5, abs=0.03)
    record(curriculum, 1, ties=45, trials=60, demo=1)
    record(curriculum, 970, ties=32, trials=32, demo=0)
    assert curriculum.advance() == [Move(0, 968, 848, "advance", 1.0, 32, 1000)]
    assert not curriculum.finished
    # Three in four tie what is climbed of the second; nothing of the first is.
    assert np.mean([curriculum.sample(rng).demo for _ in range(4000)]) == pytest.approx(0.25 / 1.25, abs=0.03)


def test_a_demo_in_three_segments_gets_thrice_the_steps_of_one_in_one() -> None:
    curriculum = AdaptiveCurriculum([Timeline(1000, rewards=(299, 699, 999)), Timeline(400)], split=300)
    rng = np.random.default_rng(0)
    assert [len(demo["segments"]) for demo in curriculum.report()["demos"]] == [3, 1]
    assert np.mean([curriculum.sample(rng).demo for _ in range(4000)]) == pytest.approx(1 / 4, abs=0.03)


def test_alike_demos_get_as_many_agent_steps_each() -> None:
    rule = AdaptiveCurriculum([Timeline(300), Timeline(300), Timeline(300)])
    rng = np.random.default_rng(0)
    for _ in range(1000):
        rule.record(Outcome(Start(0, 290, 300), 0.0, 19, False, "lag"))
        rule.record(Outcome(Start(1, 290, 300), 0.0, 79, False, "lag"))
    # Nothing is known of the third: it is drawn first, as if its episodes took no time.
    drawn = np.bincount([rule.sample(rng).demo for _ in range(6000)]) / 6000
    assert drawn == pytest.approx(np.array([1 / 20, 1 / 80, 1]) / (1 + 1 / 20 + 1 / 80), abs=0.02)
    for _ in range(1000):
        rule.record(Outcome(Start(2, 290, 300), 0.0, 79, False, "lag"))
    drawn = np.bincount([rule.sample(rng).demo for _ in range(6000)]) / 6000
    assert drawn == pytest.approx(np.array([4, 1, 1]) / 6, abs=0.02)


def test_without_the_mixture_all_starts_but_the_reset_are_in_the_window() -> None:
    curriculum = AdaptiveCurriculum([Timeline(1000, rewards=(999,))], window=64, mixture=False)
    for _ in range(4):
        for _ in range(16):
            curriculum.record(Outcome(Start(0, curriculum.frontiers[0], 1000), 0.0, 1, True, "tie"))
        curriculum.advance()
    frontier = curriculum.frontiers[0]
    assert 0 < frontier < 800
    rng = np.random.default_rng(0)
    steps = {curriculum.sample(rng).step for _ in range(2000)}
    assert steps - {0} == set(range(frontier, frontier + 64))


def test_starts_that_are_tied_are_begun_after_no_ops_as_often() -> None:
    curriculum = AdaptiveCurriculum([Timeline(64)], jitter=4)
    rng = np.random.default_rng(0)
    # Untried starts count as tied in a quarter.
    walks = [curriculum.sample(rng).walk for _ in range(4000)]
    assert 0.2 < np.mean([len(walk) > 0 for walk in walks]) < 0.3
    assert set(walks) == {(), (0,), (0,) * 2, (0,) * 3, (0,) * 4}
    # Frontier 32: of 198 trials in each bucket from there on all tied, (50 + .5) / (50 + 2) of the posterior.
    for step in (32, 48):
        record(curriculum, step, ties=198, trials=198)
    starts = [curriculum.sample(rng) for _ in range(4000)]
    waiting = np.mean([len(start.walk) > 0 for start in starts if start.step >= 32])
    assert 0.95 < waiting < 0.99
    assert all(not AdaptiveCurriculum([Timeline(64)]).sample(rng).walk for _ in range(100))


def test_the_reset_is_begun_after_no_ops_as_often_as_its_episodes_tie() -> None:
    curriculum = AdaptiveCurriculum([Timeline(20)], jitter=2)
    assert curriculum.frontiers == (0,)
    rng = np.random.default_rng(0)
    for ties, expected in ((0, 0.0), (32, 0.5), (32, 1.0)):
        for trial in range(32):
            curriculum.record(Outcome(Start(0, 3, 20), 0.0, 1, trial < ties, "tie" if trial < ties else "life"))
        starts = [curriculum.sample(rng) for _ in range(4000)]
        # Starts at step 0 too; nearly half of all are the reset.
        at_reset = [len(start.walk) > 0 for start in starts if start.step == 0]
        assert len(at_reset) > 1000 and abs(np.mean(at_reset) - expected) < 0.05


def test_episodes_after_no_ops_move_no_frontier_but_count_for_their_starts() -> None:
    curriculum = AdaptiveCurriculum([Timeline(1000)], jitter=8)
    for _ in range(100):
        curriculum.record(Outcome(Start(0, 970, 1000, (0, 0)), 0.0, 1, True, "tie"))
        curriculum.record(Outcome(Start(0, 0, 1000, (0,)), 0.0, 1, True, "tie"))
    assert curriculum.advance() == [] and curriculum.report()["demos"][0]["reset_trials"] == 0
    # 1000 steps are bucket 60 (960..975) among others: its 100 trials fade to 50 (1 - .98**100) = 43.4.
    assert curriculum.success(0, np.array([970, 0])) == pytest.approx([43.9 / 45.4, 0.25], abs=0.001)


LAPS = Timeline(1000, rewards=(499, 699, 899), new_scores=(500, 700, 900))
"""Laps 0..500, 500..700, 700..900."""


def climbed(rule: AdaptiveCurriculum) -> AdaptiveCurriculum:
    """With all segments' frontiers at their beginnings."""
    while rule.left > len(rule.report()["demos"][0]["segments"]) - 1:
        for _, goal, frontier in rule.report()["demos"][0]["segments"]:
            for _ in range(100):
                rule.record(Outcome(Start(0, frontier, goal), 0.0, 1, True, "tie"))
        rule.advance()
    return rule


def test_a_setback_in_a_climbed_segment_is_gone_on_from_to_the_next_stage_as_often_as_that_ends_well() -> None:
    rng = np.random.default_rng(0)
    curriculum, without = (AdaptiveCurriculum([LAPS], split=300, setbacks=setbacks) for setbacks in (True, False))
    assert [begin for begin, *_ in curriculum.report()["demos"][0]["segments"]] == [0, 500]
    start = Start(0, 500, 1000)

    def share(step: int, follows: Start) -> float:
        found = [curriculum.again(start, step, rng) for _ in range(4000)]
        assert set(found) <= {follows, None}
        return found.count(follows) / len(found)

    assert share(700, Start(0, 700, 900)) == 0, "not yet climbed"
    climbed(curriculum), climbed(without)
    # Of what follows a setback nothing is known.
    assert share(700, Start(0, 700, 900)) == share(600, Start(0, 600, 700)) == 1
    # Who has no more than the demo had earlier is at the segment's beginning all the same: it was handed over there.
    assert share(450, Start(0, 500, 700)) == 1
    # Behind the last stage, at the goal and beyond.
    assert not any(curriculum.again(start, step, rng) for step in (900, 1000, 1001))
    assert not any(without.again(start, 700, rng) for _ in range(100))
    # Half of those tie; then none of the latest, and three in ten are still tried. Other laps are others' matter.
    for tied in [True, False] * 16:
        curriculum.record(Outcome(Start(0, 700, 900), 0.0, 1, tied, "tie" if tied else "life", setbacks=1))
    assert share(700, Start(0, 700, 900)) == pytest.approx(0.5, abs=0.03)
    for _ in range(32):
        curriculum.record(Outcome(Start(0, 700, 900), 0.0, 1, False, "lag", setbacks=2))
    assert share(700, Start(0, 700, 900)) == pytest.approx(0.3, abs=0.03)
    assert share(600, Start(0, 600, 700)) == 1


def test_an_outcome_after_a_setback_says_nothing_of_the_demos_own_starts() -> None:
    curriculum = AdaptiveCurriculum([LAPS])
    known = curriculum.state_dict()["demos"][0]
    for step, goal, tied in ((720, 900, True), (700, 900, False), (700, 1000, True), (0, 500, False)):
        curriculum.record(Outcome(Start(0, step, goal), 0.0, 7, tied, "tie" if tied else "life", setbacks=1))
    # A later leg, of another stretch than the setback.
    curriculum.record(Outcome(Start(0, 500, 700), 0.0, 7, True, "tie", leg=1, setbacks=1))
    found = curriculum.state_dict()["demos"][0]
    assert [lap.pop("setbacks")["history"] for lap in found["laps"]] == [[0], [], [1, 0]]
    assert [lap.pop("setbacks")["history"] for lap in known["laps"]] == [[], [], []]
    assert found == known


def test_most_episodes_inside_a_climbed_segment_end_with_a_lap_drawn_by_what_can_be_learnt() -> None:
    rng = np.random.default_rng(0)
    curriculum = AdaptiveCurriculum([LAPS], split=300)
    climbed(curriculum)

    def shares() -> NDArray[np.float64]:
        """Of the second segment's episodes those of its laps, and all others."""
        starts = [start for start in (curriculum.sample(rng) for _ in range(20_000)) if start.step >= 500]
        goals = np.array([start.goal for start in starts])
        for start in starts:
            assert start.goal == 1000 or start.goal - 200 <= start.step < start.goal
        # Half of a lap's begin where agents came by: at its beginning.
        at_begin = np.mean([start.step == 700 for start in starts if start.goal == 900])
        assert at_begin == pytest.approx(0.5 + 0.5 / 200, abs=0.03)
        return np.array([(goals == goal).mean() for goal in (700, 900, 1000)])

    # Nothing is known of either: a success of 1/2, p (1 - p) of .25.
    assert shares() == pytest.approx([0.425, 0.425, 0.15], abs=0.02)
    for _ in range(32):
        curriculum.record(Outcome(Start(0, 520, 700), 0.0, 9, True, "tie"))
    for tied in [True, False] * 16:
        curriculum.record(Outcome(Start(0, 700, 900), 0.0, 9, tied, "tie" if tied else "life", leg=1))
    # 33 of 34: .0285 and .02 more; 17 of 34: .25 and .02.
    expected = 0.85 * np.array([0.0485, 0.27]) / 0.3185
    assert shares() == pytest.approx([*expected, 0.15], abs=0.02)
    # They move no frontier, and tell nothing of a start's success to the segment's goal; but they are its episodes.
    (saved,) = curriculum.state_dict()["demos"]
    assert 1 < saved["segments"][1]["pace"] < 9
    restored = AdaptiveCurriculum([LAPS], split=300)
    restored.load_state_dict(json.loads(json.dumps(curriculum.state_dict())))
    assert restored.state_dict() == curriculum.state_dict()


def test_a_demo_of_one_lap_and_one_without_the_mixture_are_played_to_the_goal() -> None:
    rng = np.random.default_rng(0)
    one = Timeline(1000, rewards=(899,), new_scores=(900,))
    for rule in (climbed(AdaptiveCurriculum([one])), climbed(AdaptiveCurriculum([LAPS], mixture=False))):
        assert {rule.sample(rng).goal for _ in range(500)} == {1000}
    assert {AdaptiveCurriculum([LAPS]).sample(rng).goal for _ in range(500)} == {1000}, "not yet climbed"
