import math

import pytest
import torch

from demo_curriculum.training.policy import Policy, Prediction
from demo_curriculum.training.ppo import imitation_loss, normalise, ppo_losses
from demo_curriculum.training.ranks import Ranks


def prediction(probabilities: list[list[float]], ext: list[float], int_: list[float]) -> Prediction:
    return Prediction(torch.tensor(probabilities).log(), torch.tensor(ext), torch.tensor(int_))


def test_losses_by_hand() -> None:
    now = prediction([[0.6, 0.4], [0.3, 0.7], [0.5, 0.5]], [1.0, 0.0, 9.0], [0.0, 2.0, 9.0])
    losses = ppo_losses(
        now,
        actions=torch.tensor([0, 1, 0]),
        old_log_probs=torch.tensor([0.5, 0.5, 0.1]).log(),
        advantages=torch.tensor([1.0, -1.0, 50.0]),
        returns_ext=torch.tensor([3.0, 0.0, 0.0]),
        returns_int=torch.tensor([0.0, 1.0, 0.0]),
        valid=torch.tensor([True, True, False]),
        clip=0.1,
    )
    # Ratios 1.2 and 1.4; a gain is capped at 1.1, a loss is not capped.
    assert losses.policy.item() == pytest.approx(-(1.1 - 1.4) / 2)
    assert losses.value.item() == pytest.approx(0.5 * (4 + 1) / 2)
    entropies = [-sum(p * math.log(p) for p in row) for row in ([0.6, 0.4], [0.3, 0.7])]
    assert losses.entropy.item() == pytest.approx(sum(entropies) / 2)
    assert losses.clip_fraction.item() == 1.0
    assert losses.approx_kl.item() == pytest.approx((1.2 - 1 - math.log(1.2) + 1.4 - 1 - math.log(1.4)) / 2)


def test_invalid_rows_have_no_influence_on_what_is_learned() -> None:
    torch.manual_seed(1)
    policy = Policy((1, 6), 3, hidden=8)
    observations = torch.randn(10, 1, 6)
    valid = torch.arange(10) < 6

    def gradient(rows: slice, wild: float) -> list[torch.Tensor]:
        policy.zero_grad()
        size = len(range(*rows.indices(10)))
        advantages = torch.linspace(-1, 1, 10)
        advantages[6:] = wild
        losses = ppo_losses(
            policy(observations[rows], torch.zeros(size), policy.at_reset(size)),
            torch.arange(10)[rows] % 3,
            torch.full((size,), -1.0),
            advantages[rows],
            torch.ones(size),
            torch.ones(size) * 2,
            valid[rows],
            clip=0.2,
        )
        (losses.policy + losses.value - 0.1 * losses.entropy).backward()
        return [parameter.grad.clone() for parameter in policy.parameters() if parameter.grad is not None]

    for mine, theirs in zip(gradient(slice(0, 10), 1e6), gradient(slice(0, 6), 0.0), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-6)


def test_nothing_valid_is_no_loss() -> None:
    now = prediction([[0.6, 0.4]], [1.0], [0.0])
    one = torch.ones(1)
    losses = ppo_losses(now, torch.tensor([0]), -one, one, one, one, torch.tensor([False]), clip=0.1)
    assert [loss.item() for loss in losses] == [0.0] * 5


def test_imitation_is_weighted_by_what_is_left_to_learn() -> None:
    now = prediction([[0.5, 0.5], [0.25, 0.75]], [0.0, 0.0], [0.0, 0.0])
    loss = imitation_loss(now.logits, torch.tensor([0, 0]), torch.tensor([1.0, 0.5]))
    assert loss.item() == pytest.approx((math.log(2) + 0.5 * math.log(4)) / 2)


def test_normalise_counts_valid_rows_only() -> None:
    advantages = torch.tensor([1.0, 3.0, 100.0])
    result = normalise(advantages, torch.tensor([True, True, False]), Ranks().pool)
    assert result[:2].tolist() == pytest.approx([-(0.5**0.5), 0.5**0.5])


@pytest.mark.parametrize("shape", [(2, 128), (4, 84, 84), (4, 105, 80), (1, 5)])
def test_policies_take_every_kind_of_observation(shape: tuple[int, ...]) -> None:
    policy = Policy(shape, 18)
    observations = torch.randint(0, 255, (3, *shape), dtype=torch.uint8)
    slack = torch.tensor([0, 50, 1000])
    logits, value_ext, value_int = policy(observations, slack, policy.at_reset(3))
    assert logits.shape == (3, 18) and value_ext.shape == value_int.shape == (3,)
    decision = policy.act(observations, policy.at_reset(3), torch.Generator(), slack=slack)
    assert torch.equal(decision.values, torch.stack([value_ext, value_int], dim=1))
    chosen = logits.log_softmax(dim=1).gather(1, decision.action[:, None])[:, 0]
    assert torch.equal(decision.log_prob, chosen)
    assert policy.act(observations, policy.at_reset(3), torch.Generator()).values is None


def test_all_logits_have_one_scale_which_imitation_does_not_move() -> None:
    policy, observations = Policy((1, 6), 3, hidden=8), torch.randn(5, 1, 6)
    slack, hidden = torch.zeros(5), policy.at_reset(5)
    before = policy(observations, slack, hidden)
    with torch.no_grad():
        policy.log_scale.fill_(math.log(3.0))
    after = policy(observations, slack, hidden)
    assert torch.allclose(after.logits, 3 * before.logits, atol=1e-6)
    assert torch.equal(after.value_ext, before.value_ext)
    decision = policy.act(observations, hidden, torch.Generator())
    expected = after.logits.log_softmax(dim=1).gather(1, decision.action[:, None])[:, 0]
    assert torch.allclose(decision.log_prob, expected)
    actions, weights = torch.tensor([0, 1, 2, 0, 1]), torch.ones(5)
    imitation_loss(after.logits, actions, weights).backward()  # type: ignore[no-untyped-call]
    assert policy.log_scale.grad is not None and policy.log_scale.grad != 0
    free = policy.actor.weight.grad.clone()  # type: ignore[union-attr]
    policy.zero_grad()
    fixed = policy.at_fixed_scale(policy(observations, slack, hidden).logits)
    assert torch.allclose(fixed, after.logits)
    imitation_loss(fixed, actions, weights).backward()  # type: ignore[no-untyped-call]
    assert abs(float(policy.log_scale.grad)) < 1e-6
    assert torch.allclose(policy.actor.weight.grad, free, atol=1e-6)  # type: ignore[union-attr, arg-type]


def test_actions_follow_their_probabilities_and_the_generator() -> None:
    policy = Policy((1, 4), 3, hidden=4)
    with torch.no_grad():
        policy.actor.weight.zero_()  # type: ignore[union-attr, operator]
        policy.actor.bias.copy_(torch.tensor([0.7, 0.2, 0.1]).log())  # type: ignore[union-attr, operator]
    observations = torch.zeros(20_000, 1, 4)
    decision = policy.act(observations, policy.at_reset(len(observations)), torch.Generator().manual_seed(3))
    shares = torch.bincount(decision.action, minlength=3) / 20_000
    assert shares.tolist() == pytest.approx([0.7, 0.2, 0.1], abs=0.015)
    assert decision.log_prob[decision.action == 1][0].item() == pytest.approx(math.log(0.2), abs=1e-5)
    again = policy.act(observations, policy.at_reset(len(observations)), torch.Generator().manual_seed(3))
    assert torch.equal(decision.action, again.action)
