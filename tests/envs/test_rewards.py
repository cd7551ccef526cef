from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo_curriculum.demo import Demo
from demo_curriculum.envs.rewards import RewardMode, Rewards
from demo_curriculum.simulators import make_simulator
from demo_curriculum.simulators.playback import play_demo


def demo_of(rewards: list[float]) -> Demo:
    simulator = make_simulator("LockedChain-4")
    demo = play_demo(simulator, simulator.keys.tolist(), origin="script")  # type: ignore[attr-defined]
    return replace(demo, rewards=np.array(rewards))


def rewards_of(rewards: list[float], mode: RewardMode = "steps") -> Rewards:
    return Rewards(mode, [demo_of(rewards)], gamma=0.25, frame_skip=2)


def test_steps_of_the_demos_score() -> None:
    # The demo's scores: 0, 15000, 35000, 34700.
    steps = rewards_of([15000.0, 20000.0, -300.0, 0.0])
    assert steps(0, 0.0, 15000.0) == 1
    # A bait on the way is worth nothing, and neither is losing it again.
    assert steps(0, 0.0, 100.0) == steps(0, 100.0, -100.0) == 0
    assert steps(0, 100.0, 14900.0) == 1
    # Two of the demo's rewards at once, and the way back.
    assert steps(0, 0.0, 34999.0) == 2
    assert steps(0, 34999.0, -34999.0) == -2
    # Beyond what the demo ever had, and below, only the sign is left.
    assert steps(0, 35000.0, 7.0) == 1
    assert steps(0, 35000.0, -7.0) == -1
    assert steps(0, 0.0, -5.0) == -1
    assert steps(0, -5.0, -5.0) == -1


@given(
    st.lists(st.integers(-3, 3), min_size=4, max_size=4).filter(any),
    st.lists(st.integers(-4, 4), min_size=1, max_size=12),
)
def test_within_the_demos_scores_the_way_does_not_matter(demo: list[int], played: list[int]) -> None:
    steps = rewards_of([float(reward) for reward in demo])
    scores = np.concatenate([[0], np.cumsum(demo)])
    inside = [int(scores.min())]
    for reward in played:
        score = inside[-1] + reward
        if scores.min() <= score < scores.max():
            inside.append(score)
    total = sum(steps(0, before, after - before) for before, after in pairwise(inside))
    assert total == len({*scores} & {*range(inside[0] + 1, inside[-1] + 1)})


def test_the_demo_itself_is_paid_one_a_reward() -> None:
    steps = rewards_of([1.0, 0.0, 400.0, 3.0])
    assert [steps(0, 0.0, 1.0), steps(0, 1.0, 400.0), steps(0, 401.0, 3.0)] == [1, 1, 1]


def test_published_modes() -> None:
    assert [rewards_of([0.0, 0.0, 0.0, 1.0], "sign")(0, 0.0, reward) for reward in (300.0, -5.0)] == [1, -1]
    assert rewards_of([0.0, 0.0, 0.0, 1.0], "raw")(0, 0.0, -300.0) == -300
    # With two demo steps per agent step gamma .25 is .5 a demo step: returns 1/8, 1/4, 1/2, 1.
    scale = 10 / np.mean([0.125, 0.25, 0.5, 1])
    assert rewards_of([0.0, 0.0, 0.0, 1.0], "scaled")(0, 0.0, 3.0) == pytest.approx(3 * scale)
