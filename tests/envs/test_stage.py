from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from demo_curriculum.demo import Start
from demo_curriculum.envs import Course, DemoStart, SimulatorEnv, StageObservation
from demo_curriculum.envs.course import Headway
from demo_curriculum.envs.stage import append_stage
from demo_curriculum.landmarks import Landmark, find_landmarks
from demo_curriculum.simulators import make_simulator
from demo_curriculum.simulators.playback import play_demo
from tests.envs.test_demo_start import MortalChain, PatientChain, scenic_env, script


def scene(step: int) -> Landmark:
    return Landmark(step, np.array([0]), np.array([1], np.uint8), step)


def test_stages_by_hand() -> None:
    # 2 points behind step 1, lost again behind step 3, and 3 more behind step 5.
    returns = np.array([0.0, 0.0, 2.0, 2.0, 0.0, 0.0, 3.0, 3.0])
    course = Course(returns, [scene(3), scene(6)])
    assert len(course) == 7
    assert course.stages == [2, 3, 6], "what was had before, and a landmark at a score, count once"
    assert course.stage(np.arange(8)).tolist() == [0, 0, 1, 2, 2, 2, 3, 3]


def test_where_the_demo_had_about_as_much_by_hand() -> None:
    course = Course(np.array([0.0, 0.0, 0.0, 2.0, 2.0, -1.0, 5.0, 5.0, 5.0]))
    scores = {-3: 0, 0: 0, 0.5: 0, 1: 3, 1.5: 3, 2: 3, 3: 3, 3.4: 3, 3.5: 6, 5: 6, 9: 6}
    assert {score: course.had(score) for score in scores} == scores


def test_a_point_more_than_the_demo_had_is_not_its_next_score() -> None:
    """A door too many was paid for; the demo has one point from step 5 on and eleven from step 10 on."""
    returns = np.repeat([0.0, 1.0, 11.0], [5, 5, 11])
    headway = Headway(Course(returns, [scene(7)]), 0, 20, lag=9)
    nothing = np.zeros(1, np.uint8)
    for step in range(1, 7):
        assert not headway.move(1, 1.0 if step in (3, 5) else 0.0, nothing)
    assert headway.reached == 5 and headway.stage == 1
    # The landmark in between still counts.
    assert headway.move(1, 0.0, nothing + 1) and headway.reached == 7
    # Points lost and got again are no news.
    headway.move(1, -2.0, nothing)
    headway.move(1, 1.0, nothing)
    assert headway.reached == 7 and headway.clock == 9
    # Nor does it take all that the demo gained at once.
    headway.move(1, 8.0, nothing)
    assert headway.reached == 10 and headway.stage == 3 and headway.clock == 10


def test_the_stage_is_one_entry_more() -> None:
    seen = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert append_stage(seen, 4).tolist() == [[0, 1, 2, 4], [3, 4, 5, 4]]
    assert append_stage(seen, np.array([7, 300])).tolist() == [[0, 1, 2, 7], [3, 4, 5, 255]]
    assert append_stage(seen, 4).dtype == np.uint8


def test_gymnasium_accepts_it() -> None:
    simulator = make_simulator("ALE/MontezumaRevenge-v5")
    demo = play_demo(simulator, script(("NOOP", 40)), origin="script")
    env = StageObservation(SimulatorEnv(simulator, stack=2), Course(demo.returns), reset_step=0, lag=50)
    assert env.observation_space.shape == (2, 129)
    check_env(env)


class PerilousChain(MortalChain):
    """Every forty doors another wall is seen; only the last door pays where ``scenic``, else every fifth."""

    scenic = True

    def __init__(self, env_id: str) -> None:
        super().__init__(env_id)
        self.observation_shape = (self.length + 21,)

    def play(self, actions: Sequence[int]) -> float:
        reward = super().play(actions)
        return float(self.position == self.length) if self.scenic else reward

    def observe(self) -> NDArray[Any]:
        seen = super().observe()
        seen[-20:] = self.position // 40
        return seen


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.floats(0, 0.4), st.integers(4, 40), st.booleans())
def test_the_stage_in_play_is_the_one_of_training(seed: int, hesitant: float, lag: int, scenic: bool) -> None:
    """Whoever waits falls behind, and now and then a life is lost."""
    simulator = PerilousChain("LockedChain-120")
    simulator.scenic = scenic
    demo = play_demo(simulator, simulator.keys.tolist(), origin="script")
    landmarks = find_landmarks(demo.observations, demo.rewards) if scenic else []
    trained = DemoStart(
        SimulatorEnv(simulator, frame_skip=1),
        [demo],
        lambda rng: Start(0, 0, 120),
        again=lambda start, step, rng: Start(0, step, 120),
        lag=lag,
        tail=9.0,
        landmarks=[landmarks],
        stages=True,
    )
    rng = np.random.default_rng(seed)
    told, actions = [trained.reset(seed=0)[0][-1, -1]], []
    for draw in rng.random(400):
        actions.append(simulator.die() if draw > 0.992 else simulator.act(draw < hesitant))
        observation, _, terminated, truncated, info = trained.step(actions[-1])
        told.append(observation[-1, -1])
        # Who ties the demo does not go on after a setback.
        if simulator.game_over or truncated or (terminated and info["demo_start"].tied):
            break
        if terminated:
            again, _ = trained.reset()
            assert again.tolist() == observation.tolist()
    course = Course(demo.returns, landmarks)
    playing = StageObservation(SimulatorEnv(simulator, frame_skip=1), course, reset_step=0, lag=lag)
    assert [playing.reset(seed=0)[0][-1, -1], *[playing.step(action)[0][-1, -1] for action in actions]] == told


def test_a_landmark_long_missed_counts_after_a_setback_alone() -> None:
    """A landmark at step 40; where nothing pays for it nobody is late, and a lost life sets the clock back to 0."""

    def told(waits: int, die_at: int) -> int:
        simulator = PerilousChain("LockedChain-120")
        course = Course(np.zeros(121), [Landmark(40, np.arange(121, 141), np.ones(20, np.float32), 40)])
        env = StageObservation(SimulatorEnv(simulator, frame_skip=1), course, reset_step=0, lag=10)
        env.reset(seed=0)
        for _ in range(waits):
            env.step(simulator.act(True))
        while simulator.position < die_at:
            env.step(simulator.act(False))
        if die_at:
            env.step(simulator.die())
        while simulator.position < 45:
            observation = env.step(simulator.act(False))[0]
        return int(observation[-1, -1])

    assert told(10, 0) == 1 and told(11, 0) == 0
    # Three lives; with each step of the way from door 25 on counted anew.
    assert told(11, 30) == told(40, 30) == 1


def test_where_the_reset_is_before_the_demo_the_clock_begins_earlier() -> None:
    def told(waits: int) -> int:
        simulator = PerilousChain("LockedChain-120")
        # The demo begins ten doors after the reset.
        course = Course(np.zeros(111), [Landmark(30, np.arange(121, 141), np.ones(20, np.float32), 30)])
        env = StageObservation(SimulatorEnv(simulator, frame_skip=1), course, reset_step=-10, lag=4)
        env.reset(seed=0)
        for step in range(42 + waits):
            observation = env.step(simulator.act(step < waits))[0]
        return int(observation[-1, -1])

    assert [told(waits) for waits in (0, 4, 5)] == [1, 1, 0]


def test_who_has_more_points_than_the_demo_can_lose_a_life() -> None:
    simulator = PerilousChain("LockedChain-120")
    simulator.scenic = False
    course = Course(np.array([0.0, 0, 0, 0, 0, 1, 1]))
    env = StageObservation(SimulatorEnv(simulator, frame_skip=1), course, reset_step=0, lag=4)
    env.reset(seed=0)
    for _ in range(12):
        assert env.step(simulator.act(False))[0][-1, -1] == (simulator.position >= 5)
    env.step(simulator.die())
    assert env.step(simulator.act(False))[0][-1, -1] == 1


def test_after_a_tie_the_goals_own_stage_is_told() -> None:
    env, simulator = scenic_env(Start(0, 30, 40), lag=6, tail=9.0, stages=True)
    told = [env.step(simulator.act(wait=False))[0][-1, -1] for _ in range(12)]
    assert told == [0] * 9 + [1] * 3


def test_a_demos_stages_are_those_that_its_player_is_told() -> None:
    simulator = PatientChain("LockedChain-12")
    demo = play_demo(simulator, simulator.keys.tolist(), origin="script")
    course = Course(demo.returns)
    env = DemoStart(SimulatorEnv(simulator, frame_skip=1), [demo], lambda rng: Start(0, 3, 12), stages=True)
    told = [env.reset(seed=0)[0][-1, -1]]
    told += [env.step(key)[0][-1, -1] for key in simulator.keys[3:]]
    assert told == course.stage(np.arange(3, 13)).tolist() == [0, 0, *[1] * 5, *[2] * 3]


@pytest.mark.parametrize("pixels", [True, False])
def test_without_it_observations_are_the_simulators(pixels: bool) -> None:
    simulator = make_simulator("ALE/MontezumaRevenge-v5", observation="pixels" if pixels else "ram")
    demo = play_demo(simulator, script(("NOOP", 40)), origin="script")
    env = DemoStart(SimulatorEnv(simulator), [demo], lambda rng: Start(0, 4, 40))
    assert env.reset(seed=0)[0].shape == env.observation_space.shape == (1, *simulator.observation_shape)
