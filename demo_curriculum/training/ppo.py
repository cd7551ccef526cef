"""The losses that a policy minimises."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from demo_curriculum.moments import Pool, Sample
from demo_curriculum.training.policy import Prediction


class Losses(NamedTuple):
    """Scalars; ``policy`` + ``value`` - coefficient * ``entropy`` is minimised. The last two are for the log."""

    policy: Tensor
    value: Tensor
    entropy: Tensor
    approx_kl: Tensor
    clip_fraction: Tensor


def ppo_losses(
    prediction: Prediction,
    actions: Tensor,
    old_log_probs: Tensor,
    advantages: Tensor,
    returns_ext: Tensor,
    returns_int: Tensor,
    valid: Tensor,
    *,
    clip: float,
) -> Losses:
    """Clipped surrogate, squared errors of both values, entropy (Schulman et al. 2017), each a mean over valid rows.

    Args:
        prediction: of the policy now, for B observations.
        actions, old_log_probs, advantages, returns_ext, returns_int: (B,).
        valid: bool (B,); other rows have no influence. With none valid, all losses are 0.
    """
    weight = valid.float() / valid.sum().clamp_min(1)
    log_probs = prediction.logits.log_softmax(dim=1)
    chosen = log_probs.gather(1, actions[:, None])[:, 0]
    log_ratio = chosen - old_log_probs
    ratio = log_ratio.exp()
    surrogate = torch.min(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages)
    error_ext = (prediction.value_ext - returns_ext) ** 2
    error_int = (prediction.value_int - returns_int) ** 2
    entropy = -(log_probs.exp() * log_probs).sum(dim=1)
    return Losses(
        policy=-(surrogate * weight).sum(),
        value=0.5 * ((error_ext + error_int) * weight).sum(),
        entropy=(entropy * weight).sum(),
        approx_kl=((ratio - 1 - log_ratio) * weight).sum().detach(),
        clip_fraction=(((ratio - 1).abs() > clip).float() * weight).sum().detach(),
    )


def imitation_loss(logits: Tensor, actions: Tensor, weights: Tensor) -> Tensor:
    """Mean of ``weights * -log pi(action)`` over B demo pairs; weights (B,) in [0, 1] fade where the agent succeeds."""
    chosen = logits.log_softmax(dim=1).gather(1, actions[:, None])[:, 0]
    return -(weights * chosen).mean()


def normalise(advantages: Tensor, valid: Tensor, pool: Pool) -> Tensor:
    """Mean 0 and standard deviation 1 over the valid rows of all that ``pool`` joins."""
    count, mean, squares = pool(Sample.of(advantages[valid]))
    if count < 2:
        return advantages
    return ((advantages - mean) / ((squares / (count - 1)).sqrt() + 1e-8)).float()
