"""Whole climbs of synthetic agents whose success as a function of the start is known."""

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from demo_curriculum.curriculum import (
    AdaptiveCurriculum,
    BackplayCurriculum,
    Curriculum,
    Move,
    OpenAICurriculum,
    RFCLCurriculum,
    Timeline,
    UniformCurriculum,
)
from demo_curriculum.demo import Outcome, Start

STEPS_PER_UPDATE = 4096
FRAME_SKIP = 4
SPREAD = np.array([0.5, 0.75, 1.0, 0.75, 0.5])


class Learner:
    """Fails at each demo step with some probability, and learns as a policy gradient would.

    A tie from a start lowers the risk at every step passed, by the surprise 1 - p(start); a failure lowers it at the
    step of the failure by p of what lay beyond, so that nothing is learnt where the rest is hopeless. What is not
    practised comes back slowly.
    """

    def __init__(self, length: int, rng: np.random.Generator, *, rate: float = 0.006, hard: slice = slice(0)) -> None:
        self.first_risk = np.full(length, 0.05)
        self.least_risk = np.full(length, 0.0005)
        self.first_risk[hard], self.least_risk[hard] = 0.25, 0.02
        self.risk = self.first_risk.copy()
        self.rate = rate
        self.rng = rng

    @property
    def chances(self) -> NDArray[np.float64]:
        """f64 (T+1,): the true probability to tie from each start."""
        return np.append(np.cumprod(1 - self.risk[::-1])[::-1], 1.0)

    def update(self, curriculum: Curriculum) -> int:
        """Plays one update's episodes, learns from them; how many they were."""
        end = len(self.risk)
        chances, lesson = self.chances, np.zeros(end)
        agent_steps = episodes = 0
        while agent_steps < STEPS_PER_UPDATE:
            start = curriculum.sample(self.rng)
            step = min(max(start.step, 0), end)
            failures = np.flatnonzero(self.rng.random(end - step) < self.risk[step:end])
            tied = len(failures) == 0
            if tied:
                lesson[step:end] += 1 - chances[step]
            else:
                lesson[step + failures[0]] += chances[step + failures[0] + 1]
            length = (end - step if tied else int(failures[0])) // FRAME_SKIP + 5
            curriculum.record(Outcome(start, 0.0, length, tied, "tie" if tied else "life"))
            agent_steps += length
            episodes += 1
        lesson = np.convolve(lesson, SPREAD, "same")
        self.risk = np.maximum(self.least_risk, self.risk * np.exp(-self.rate * np.minimum(lesson, 20)))
        idle = lesson < 0.01
        self.risk[idle] += 0.002 * (self.first_risk - self.risk)[idle]
        return episodes


def climb(curriculum: Curriculum, learner: Learner, *, updates: int) -> tuple[int, int, list[Move]]:
    """Until finished: updates, episodes, moves."""
    episodes, moves = 0, []
    for update in range(1, updates + 1):
        episodes += learner.update(curriculum)
        moves += curriculum.advance()
        if curriculum.finished:
            return update, episodes, moves
    pytest.fail(f"not finished after {updates} updates; frontiers {curriculum.frontiers}")


KEY = Timeline(380, rewards=(360,))
"""The learners below are 361 steps long: what follows the last reward is tied by everybody."""


@pytest.mark.parametrize("seed", range(3))
def test_it_climbs_in_a_fraction_of_the_published_rules_episodes(seed: int) -> None:
    learner = Learner(361, np.random.default_rng(seed))
    updates, episodes, moves = climb(AdaptiveCurriculum([KEY]), learner, updates=100)
    assert len(moves) < 30
    assert learner.chances[0] > 0.1
    published = Learner(361, np.random.default_rng(seed))
    slow_updates, slow_episodes, _ = climb(OpenAICurriculum([KEY]), published, updates=500)
    assert updates < slow_updates / 3
    assert episodes < slow_episodes / 2.5


@pytest.mark.parametrize("seed", range(3))
def test_streaks_climb_eight_steps_at_a_time(seed: int) -> None:
    curriculum, learner = RFCLCurriculum([KEY]), Learner(361, np.random.default_rng(seed))
    _, _, moves = climb(curriculum, learner, updates=200)
    # From 360 to 0.
    assert [move.after for move in moves] == list(range(352, -1, -8))
    assert learner.chances[0] > 0.1


def test_a_fixed_schedule_climbs_where_it_is_slow_enough_and_leaves_the_learner_behind_where_not() -> None:
    learner = Learner(361, np.random.default_rng(0))
    updates, _, moves = climb(BackplayCurriculum([KEY], first=16, period=50), learner, updates=400)
    # Windows of 16, 32, 64, 128, 256 and 512 steps back from 361, and then the reset.
    assert [move.after for move in moves] == [329, 297, 233, 105, 0] and updates > 300
    assert learner.chances[0] > 0.1
    hasty, lost = BackplayCurriculum([KEY], first=16, period=8), Learner(361, np.random.default_rng(0))
    for _ in range(150):
        lost.update(hasty)
        hasty.advance()
    assert hasty.frontiers == (0,) and not hasty.finished
    assert lost.chances[0] < 0.001


def test_without_a_curriculum_a_demo_of_twice_the_length_costs_far_more_than_twice() -> None:
    updates: dict[type[Curriculum], list[int]] = {UniformCurriculum: [], AdaptiveCurriculum: []}
    for length in (361, 722):
        for rule, found in updates.items():
            learner = Learner(length, np.random.default_rng(0))
            # The same chance for the best policy.
            learner.least_risk *= 361 / length
            curriculum = rule([Timeline(length, rewards=(length - 1,))])
            found.append(climb(curriculum, learner, updates=900)[0])
            assert curriculum.left == 0 and learner.chances[0] > 0.1
    short, long = updates[UniformCurriculum]
    assert long > 3.5 * short
    assert short > 1.2 * updates[AdaptiveCurriculum][0] and long > 2 * updates[AdaptiveCurriculum][1]


@pytest.mark.parametrize("seed", range(3))
def test_a_hard_spot_is_passed_without_oscillating(seed: int) -> None:
    learner = Learner(361, np.random.default_rng(seed), hard=slice(150, 170))
    _, _, moves = climb(AdaptiveCurriculum([KEY]), learner, updates=200)
    retreats = [move for move in moves if move.reason == "retreat"]
    assert len(retreats) <= 10
    for move, following in pairwise(moves):
        if move.reason == "retreat" and following.reason == "advance":
            assert following.before - following.after <= max(8, (move.after - move.before) // 2)


@pytest.mark.parametrize("seed", range(3))
def test_a_collapse_is_retreated_from_and_climbed_again(seed: int) -> None:
    curriculum, learner = AdaptiveCurriculum([KEY]), Learner(361, np.random.default_rng(seed))
    while curriculum.frontiers[0] > 120:
        learner.update(curriculum)
        curriculum.advance()
    learner.risk = learner.first_risk.copy()
    lowest = curriculum.frontiers[0]
    assert learner.chances[lowest] < 0.001
    _, _, moves = climb(curriculum, learner, updates=200)
    assert moves[0].reason == "retreat"
    assert max(move.after for move in moves) >= lowest + 60


class Cliff:
    """Never learns: ties with certainty from starts at ``edge`` and later, never from earlier ones."""

    def __init__(self, edge: int) -> None:
        self.edge = edge

    def update(self, curriculum: Curriculum, rng: np.random.Generator) -> None:
        for _ in range(60):
            start: Start = curriculum.sample(rng)
            tied = start.step >= self.edge
            curriculum.record(Outcome(start, 0.0, 20, tied, "tie" if tied else "life"))


@pytest.mark.parametrize("seed", range(5))
def test_it_does_not_stay_long_below_what_cannot_be_won(seed: int) -> None:
    curriculum, rng, cliff = AdaptiveCurriculum([Timeline(1000)]), np.random.default_rng(seed), Cliff(500)
    frontiers, rates = [], []
    for _ in range(300):
        cliff.update(curriculum, rng)
        curriculum.advance()
        frontiers.append(curriculum.frontiers[0])
        window = np.arange(frontiers[-1], min(frontiers[-1] + 64, 1000))
        rates.append((window >= 500).mean())
    settled = np.array(frontiers[60:])
    assert settled.min() >= 340
    assert settled.max() <= 560
    # Most of the time the window holds starts that tie and starts that fail.
    assert np.mean(np.array(rates[60:]) > 0.04) > 0.5
    assert curriculum.success(0, np.array([600]))[0] > 0.9
    assert curriculum.success(0, np.array([450]))[0] < 0.3


def test_everything_that_ties_is_climbed_in_the_fewest_moves() -> None:
    curriculum, rng, always = AdaptiveCurriculum([Timeline(8749)]), np.random.default_rng(0), Cliff(-1)
    updates = 0
    while not curriculum.finished:
        always.update(curriculum, rng)
        curriculum.advance()
        updates += 1
    # 8,717 steps to climb, 120 a move, about one move an update (36 window trials of 60, 32 needed), then 50 resets.
    assert 73 <= updates < 110
