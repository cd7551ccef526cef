"""What all rules promise: bounds, saved states, bad input."""

import copy
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo_curriculum.curriculum import CURRICULA, Curriculum, CurriculumError, Timeline, make_curriculum
from demo_curriculum.curriculum.trials import RecentTrials
from demo_curriculum.demo import Demo, Outcome, SimulatorSpec, Start
from demo_curriculum.errors import DemoCurriculumError, UsageError

rules = pytest.mark.parametrize("rule", sorted(CURRICULA))

QUICK: dict[str, dict[str, Any]] = {
    "adaptive": {"min_trials": 4, "patience": 8},
    "openai": {"period": 2},
    "rfcl": {"streak": 2, "stride": 40},
    "backplay": {"first": 40, "period": 2},
    "uniform": {},
    "reset": {},
    "reverse-walk": {"actions": 3, "steps": 5},
}
"""Options with which a few updates go through everything that a rule does."""


def make(rule: str, lines: list[Timeline]) -> Curriculum:
    """With the rule's own options, as far as it has a default for them."""
    return make_curriculum(rule, lines, **({"actions": 3} if rule == "reverse-walk" else {}))


@st.composite
def timelines(draw: st.DrawFn) -> list[Timeline]:
    found = []
    for _ in range(draw(st.integers(1, 3))):
        length = draw(st.integers(1, 500))
        rewards = draw(st.sets(st.integers(0, length - 1), max_size=4))
        found.append(Timeline(length, draw(st.sampled_from([0, 0, 1, 100])), tuple(sorted(rewards))))
    return found


def outcome(start: Start, tied: bool) -> Outcome:
    return Outcome(start, score=0.0, length=1, tied=tied, ending="tie" if tied else "life")


def play(curriculum: Curriculum, rng: np.random.Generator, chance: float, updates: int, episodes: int) -> list[Any]:
    """Episodes that tie with probability ``chance`` wherever they start; everything that was seen."""
    seen: list[Any] = []
    for _ in range(updates):
        for _ in range(episodes):
            start = curriculum.sample(rng)
            seen.append(start)
            curriculum.record(outcome(start, rng.random() < chance))
        seen.append((curriculum.advance(), curriculum.frontiers, curriculum.report(), curriculum.buckets()))
    return seen


@rules
@given(timelines(), st.floats(0, 1), st.integers(0, 99))
def test_every_start_and_frontier_lies_on_its_demo(rule: str, lines: list[Timeline], chance: float, seed: int) -> None:
    curriculum = make_curriculum(rule, lines, **QUICK[rule])
    for item in play(curriculum, np.random.default_rng(seed), chance, updates=12, episodes=20):
        if isinstance(item, Start):
            line = lines[item.demo]
            assert item.goal == line.length
            assert item.step == -line.offset or 0 <= item.step < line.length
            continue
        moves, frontiers, _, buckets = item
        for line, frontier, bucket in zip(lines, frontiers, buckets, strict=True):
            assert 0 <= frontier < line.length
            assert len(bucket.tie_rate) == len(bucket.trials) == -(-line.length // bucket.width)
            assert all(rate is None or 0 <= rate <= 1 for rate in bucket.tie_rate)
        for move in moves:
            assert frontiers[move.demo] == move.after != move.before
            assert (move.after < move.before) == (move.reason == "advance")
    for demo, line in enumerate(lines):
        success = curriculum.success(demo, np.arange(-line.offset, line.length + 1))
        assert success.shape == (line.offset + line.length + 1,)
        assert ((success >= 0) & (success <= 1)).all()


@rules
@given(timelines(), st.sampled_from([0.0, 0.0, 0.1, 0.5, 1.0]), st.integers(0, 99), st.integers(0, 7))
def test_a_restored_curriculum_goes_on_identically(
    rule: str, lines: list[Timeline], chance: float, seed: int, updates: int
) -> None:
    first = make_curriculum(rule, lines, **QUICK[rule])
    rng = np.random.default_rng(seed)
    # A climb and then, for the lower chances, a retreat.
    play(first, rng, 1.0, 3, episodes=17)
    play(first, rng, chance, updates, episodes=17)
    # Mid-period, with episodes recorded since the last advance.
    first.record(outcome(first.sample(rng), True))
    state = json.loads(json.dumps(first.state_dict(), allow_nan=False))
    second = make_curriculum(rule, lines, **QUICK[rule])
    second.load_state_dict(state)
    assert second.state_dict() == first.state_dict()
    twin = copy.deepcopy(rng)
    for later_chance in (chance, 1.0):
        assert play(first, rng, later_chance, 4, 17) == play(second, twin, later_chance, 4, 17)
    assert second.state_dict() == first.state_dict()


@rules
def test_drawing_starts_changes_nothing_but_the_generator(rule: str) -> None:
    lines = [Timeline(300, 7, (60, 250)), Timeline(90)]
    curriculum = make_curriculum(rule, lines, **QUICK[rule])
    for chance in (1.0, 0.5):
        for _ in range(8):
            play(curriculum, np.random.default_rng(0), chance, updates=1, episodes=30)
            before = copy.deepcopy(curriculum.state_dict())
            drawn = []
            for _ in range(2):
                rng = np.random.default_rng(1)
                starts = [curriculum.sample(rng) for _ in range(40)]
                drawn.append((starts, [curriculum.onward(start, start, rng) for start in starts], rng.random()))
            assert drawn[0] == drawn[1]
            assert curriculum.state_dict() == before


def state_after_some_episodes(rule: str) -> dict[str, Any]:
    curriculum = make(rule, [Timeline(100, 7, (60,))])
    play(curriculum, np.random.default_rng(0), 0.5, updates=9, episodes=30)
    curriculum.record(outcome(Start(0, -7, 100), True))
    return curriculum.state_dict()


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where everything lies inside a JSON value; of a list, its first entry stands for all."""
    items = list(value.items()) if isinstance(value, dict) else list(enumerate(value))[:1]
    return [
        step
        for key, inner in items
        for step in [(*path, key), *(paths(inner, (*path, key)) if isinstance(inner, dict | list) else [])]
    ]


@rules
def test_no_damaged_state_is_taken_over(rule: str) -> None:
    good = state_after_some_episodes(rule)
    curriculum = make(rule, [Timeline(100, 7, (60,))])
    curriculum.load_state_dict(good)
    places = paths(good)
    assert len(places) > 15
    for *path, last in places:
        for bad in (None, "x", -1, 1e9, float("nan"), True, [], [[1]], {}):
            # What it is before the first episode; the walk to the goal itself.
            if (last, bad) in (("starts", []), ("actions", [])):
                continue
            state = copy.deepcopy(good)
            place = state
            for key in path:
                place = place[key]
            if place[last] == bad:
                continue
            place[last] = bad
            with pytest.raises(CurriculumError, match=r"^curriculum state") as caught:
                curriculum.load_state_dict(state)
            assert "\n" not in str(caught.value)
            assert curriculum.state_dict() == good
    for state in ({}, None, [], {**good, "more": 1}, {k: v for k, v in good.items() if k != "demos"}):
        with pytest.raises(CurriculumError, match="curriculum state: expected the keys"):
            curriculum.load_state_dict(state)  # type: ignore[arg-type]


@rules
def test_another_rules_or_another_demos_state_is_refused(rule: str) -> None:
    state = state_after_some_episodes(rule)
    for line in (Timeline(101, 7, (60,)), Timeline(100, 0, (60,)), Timeline(100, 7, (61,))):
        with pytest.raises(CurriculumError, match="made for other demos"):
            make(rule, [line]).load_state_dict(state)
    with pytest.raises(CurriculumError, match="made by the rule 'other'"):
        make(rule, [Timeline(100, 7, (60,))]).load_state_dict({**state, "rule": "other"})


@rules
@pytest.mark.parametrize("start", [Start(0, 50, 50), Start(0, -1, 50), Start(1, 0, 50), Start(-1, 0, 50)])
def test_an_outcome_from_elsewhere_is_refused(rule: str, start: Start) -> None:
    curriculum = make(rule, [Timeline(50, offset=7)])
    with pytest.raises(CurriculumError, match="outcome of"):
        curriculum.record(outcome(start, True))


@rules
@pytest.mark.parametrize(
    "lines",
    [
        [],
        [Timeline(0)],
        [Timeline(5, offset=-1)],
        [Timeline(5, rewards=(5,))],
        [Timeline(5, rewards=(3, 2))],
        [Timeline(5, rewards=(-1,))],
    ],
)
def test_impossible_timelines_are_refused(rule: str, lines: list[Timeline]) -> None:
    with pytest.raises(UsageError):
        make(rule, lines)


@pytest.mark.parametrize(
    ("rule", "options"),
    [
        ("openai", {"workers": 11}),
        ("openai", {"period": 0}),
        ("openai", {"threshold": 0.0}),
        ("adaptive", {"threshold": 1.5}),
        ("adaptive", {"window": 0}),
        ("adaptive", {"min_trials": 0}),
        ("adaptive", {"min_trials": 300}),
        ("adaptive", {"workers": 16}),
        ("adaptive", {"jitter": -1}),
        ("rfcl", {"streak": 0}),
        ("rfcl", {"stride": 0}),
        ("rfcl", {"threshold": 0.0}),
        ("backplay", {"first": 0}),
        ("backplay", {"period": 0}),
        ("backplay", {"threshold": 1.5}),
        ("uniform", {"threshold": 0.0}),
        ("uniform", {"period": 8}),
        ("reset", {"threshold": 0.0}),
        ("reverse-walk", {"actions": 0}),
        ("reverse-walk", {"actions": 3, "steps": 0}),
        ("fixed", {}),
    ],
)
def test_impossible_options_are_refused(rule: str, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        make_curriculum(rule, [Timeline(5)], **options)
    assert caught.value.exit_code == 2
    assert isinstance(caught.value, DemoCurriculumError)


def test_a_timeline_knows_the_positive_rewards_of_its_demo() -> None:
    demo = Demo(
        simulator=SimulatorSpec("LockedChain-3", {}, "chain/1"),
        actions=np.zeros(5, np.int64),
        rewards=np.array([0.0, 2.0, 0.0, 1.0, -3.0]),
        terminations=np.zeros(5, bool),
        truncations=np.zeros(5, bool),
        observations=np.zeros((6, 4), np.uint8),
        lives=np.zeros(6, np.int32),
        snapshots=(),
        origin="script",
    )
    assert Timeline.of(demo) == Timeline(5, 0, (1, 3), new_scores=(2, 4))
    assert Timeline.of(demo).end == 4
    # All penalties: the demo has to be matched up to its end.
    assert Timeline(5, 0, ()).end == 5


def test_a_verdict_needs_confidence() -> None:
    # Wilson's lower end at 95 %: 26 of 100 give .195, 27 give .204; of 20, 7 give .202, 6 give .164.
    for ties, count, sure in ((26, 100, False), (27, 100, True), (7, 20, True), (6, 20, False)):
        trials = RecentTrials(100, [True] * ties + [False] * (count - ties))
        assert trials.surely_reach(0.2, trials=20) is sure, (ties, count)
    assert not RecentTrials(100, [True] * 19).surely_reach(0.2, trials=20)
    assert RecentTrials(100, [True] * 20).surely_reach(1.0, trials=20) is False, "certainty is never reached"
