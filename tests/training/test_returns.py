import numpy as np
import pytest
import torch

from demo_curriculum.simulators import make_simulator
from demo_curriculum.simulators.playback import play_demo
from demo_curriculum.training.returns import gae, reward_scale, transform_rewards


def test_gae_by_hand() -> None:
    # Three steps of two environments; gamma 1/2, lambda 1/2.
    rewards = torch.tensor([[1.0, 0.0], [0.0, 2.0], [4.0, 0.0]])
    values = torch.tensor([[2.0, 1.0], [4.0, 1.0], [8.0, 1.0]])
    next_values = torch.tensor([[4.0, 1.0], [8.0, 6.0], [10.0, 3.0]])
    terminated = torch.tensor([[False, False], [False, False], [False, True]])
    ended = torch.tensor([[False, False], [False, True], [False, True]])
    advantages = gae(rewards, values, next_values, terminated, ended, gamma=0.5, lam=0.5)
    # Environment 0: deltas 1+2-2=1, 0+4-4=0, 4+5-8=1; carried back by a quarter: 1, 1/4, 1+1/16.
    assert advantages[:, 0].tolist() == [1 + 0.0625, 0.25, 1.0]
    # Environment 1: truncated after step 1 (the 6 counts, step 2 does not), terminated after step 2 (the 3 does not).
    assert advantages[:, 1].tolist() == [0 + 0.5 - 1 + 0.25 * 4, 2 + 3 - 1, 0 - 1]


def test_rewards_by_mode() -> None:
    raw = torch.tensor([[300.0, -5.0, 0.0]])
    assert transform_rewards(raw, "sign", 9.0).tolist() == [[1.0, -1.0, 0.0]]
    assert transform_rewards(raw, "raw", 9.0).tolist() == raw.tolist()
    assert transform_rewards(raw, "scaled", 0.1).tolist() == [pytest.approx([30.0, -0.5, 0.0])]


def test_the_demos_mean_discounted_return_is_scaled_to_ten() -> None:
    simulator = make_simulator("LockedChain-4")
    demo = play_demo(simulator, simulator.keys.tolist(), origin="script")  # type: ignore[attr-defined]
    # With two demo steps per agent step gamma .25 is .5 a demo step: returns 1/8, 1/4, 1/2, 1.
    assert reward_scale([demo], gamma=0.25, frame_skip=2) == pytest.approx(10 / np.mean([0.125, 0.25, 0.5, 1]))
