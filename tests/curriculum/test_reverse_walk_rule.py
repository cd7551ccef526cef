"""Reverse walks, by hand."""

import json

import numpy as np
import pytest

from demo_curriculum.curriculum import ReverseWalkCurriculum, Timeline
from demo_curriculum.curriculum.reverse_walk import KEPT, WALKS
from demo_curriculum.curriculum.rule import CurriculumError
from demo_curriculum.demo import Outcome, Start

DEMO = Timeline(60, offset=7, rewards=(20, 40))
GOAL = 40


def make(**options) -> ReverseWalkCurriculum:
    return ReverseWalkCurriculum([DEMO], **{"actions": 3, **options})


def walks_of(curriculum: ReverseWalkCurriculum, name: str) -> list[tuple[int, ...]]:
    return [tuple(walk["actions"]) for walk in curriculum.state_dict()["demos"][0][name]]


def try_all(curriculum: ReverseWalkCurriculum, tied: dict[tuple[int, ...], int], trials: int = 5) -> None:
    """Tries every new walk, tying as often as ``tied`` says, and updates."""
    for walk in walks_of(curriculum, "new"):
        for trial in range(trials):
            curriculum.record(Outcome(Start(0, GOAL, 60, walk), 0.0, 1, trial < tied.get(walk, 0), "lag"))
    curriculum.advance()


def test_walks_go_from_the_last_rewarded_step() -> None:
    curriculum = make(steps=9)
    rng = np.random.default_rng(0)
    starts = [curriculum.sample(rng) for _ in range(6000)]
    reset = [start for start in starts if start.step == -7]
    assert all(start == Start(0, -7, 60) for start in reset)
    assert len(reset) / 6000 == pytest.approx(0.1, abs=0.012)
    walked = [start for start in starts if start.step != -7]
    assert {(start.demo, start.step, start.goal) for start in walked} == {(0, GOAL, 60)}
    # Old is only the goal itself.
    assert sum(not start.walk for start in walked) / len(walked) == pytest.approx(1 / 3, abs=0.02)
    lengths = {len(start.walk) for start in walked if start.walk}
    assert min(lengths) == 1 and max(lengths) == 9
    assert {action for start in walked for action in start.walk} == {0, 1, 2}


def test_new_walks_go_on_from_good_ones_alone() -> None:
    curriculum = make()
    first = walks_of(curriculum, "new")
    # 0, 1, .. of 5: rates 0, .2, .4, .6, .8, 1; good is more than .1 and less than .9.
    ties = {walk: index for index, walk in enumerate(first[:6])}
    try_all(curriculum, ties)
    good = first[1:5]
    assert walks_of(curriculum, "old") == [(), *good]
    second = walks_of(curriculum, "new")
    assert len(second) == WALKS and second != first
    for walk in second:
        assert any(walk[: len(parent)] == parent and 1 <= len(walk) - len(parent) <= 50 for parent in good)
    assert {parent for parent in good for walk in second if walk[: len(parent)] == parent} == set(good)


def test_new_ones_are_made_once_they_had_five_trials_each_in_the_mean() -> None:
    curriculum = make()
    first = walks_of(curriculum, "new")
    try_all(curriculum, {}, trials=4)
    assert walks_of(curriculum, "new") == first
    try_all(curriculum, {}, trials=1)
    assert walks_of(curriculum, "new") != first


def test_where_all_are_mastered_walks_go_further() -> None:
    curriculum = make()
    first = walks_of(curriculum, "new")
    try_all(curriculum, dict.fromkeys(first, 5))
    assert walks_of(curriculum, "old") == [()]
    assert all(any(walk[: len(parent)] == parent for parent in first) for walk in walks_of(curriculum, "new"))


def test_where_all_are_too_hard_walks_begin_at_old_ones_again() -> None:
    curriculum = make()
    good = walks_of(curriculum, "new")[0]
    try_all(curriculum, {good: 2})
    try_all(curriculum, {})
    third = walks_of(curriculum, "new")
    # From the goal or from the only one that was good.
    assert any(walk[: len(good)] == good for walk in third) and any(walk[: len(good)] != good for walk in third)
    assert any(len(walk) <= 50 for walk in third)


def test_the_latest_old_ones_are_kept_and_the_goal() -> None:
    curriculum = make()
    for _ in range(KEPT // WALKS + 2):
        new = walks_of(curriculum, "new")
        try_all(curriculum, dict.fromkeys(new, 2))
    old = walks_of(curriculum, "old")
    assert len(old) == KEPT + 1 and old[0] == () and old[-WALKS:] == new


def test_the_reset_finishes_it_and_moves_the_frontier() -> None:
    curriculum = make()
    assert curriculum.frontiers == (GOAL,) and not curriculum.finished and curriculum.left == GOAL
    for _ in range(50):
        curriculum.record(Outcome(Start(0, -7, 60), 1.0, 1, True, "tie"))
    (move,) = curriculum.advance()
    assert (move.before, move.after) == (GOAL, 0)
    assert curriculum.finished and curriculum.frontiers == (0,)


def test_a_saved_rule_goes_on_alike() -> None:
    one = make()
    try_all(one, {walks_of(one, "new")[3]: 3})
    two = make()
    two.load_state_dict(json.loads(json.dumps(one.state_dict())))
    for curriculum in (one, two):
        try_all(curriculum, {walks_of(curriculum, "new")[4]: 4})
    assert one.state_dict() == two.state_dict()
    rngs = np.random.default_rng(1), np.random.default_rng(1)
    assert [one.sample(rngs[0]) for _ in range(50)] == [two.sample(rngs[1]) for _ in range(50)]


def test_damaged_states_and_outcomes_are_refused() -> None:
    curriculum = make()
    state = curriculum.state_dict()
    state["demos"][0]["new"][0]["actions"] = [3]
    with pytest.raises(CurriculumError, match="actions must be a list of whole numbers from 0 to 2"):
        make().load_state_dict(state)
    with pytest.raises(CurriculumError, match=r"not within 0\.\.2"):
        curriculum.record(Outcome(Start(0, GOAL, 60, (3,)), 0.0, 1, False, "lag"))
