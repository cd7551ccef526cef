import torch

from demo_curriculum.training.returns import gae


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
