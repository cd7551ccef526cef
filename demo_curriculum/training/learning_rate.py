"""Keeps the policy's steps of a size at which success grows steadily."""

from __future__ import annotations

from typing import Any

from torch.optim import Adam

from demo_curriculum.curriculum import Curriculum
from demo_curriculum.training.policy import Policy

STEP = 1.5
MEMORY = 50
HASTE = 0.03
SURE = 0.25
"""Nats of entropy; a policy that is less sure can be moved further before it loses what it has, a surer one less."""
SUREST = 0.01
"""Nats, below which a policy is not moved any less."""
SCALE_LR = 1e-3
"""Of the logits' scale once all is climbed."""


def optimizer_of(policy: Policy) -> Adam:
    """Of two groups, all other weights and then the scale of the logits; their rates are yet to be set."""
    weights = [weight for weight in policy.parameters() if weight is not policy.log_scale]
    return Adam([{"params": weights}, {"params": [policy.log_scale]}], eps=1e-5)


def tied_from_reset(curriculum: Curriculum) -> float:
    """How often the game's own reset is tied lately, with the demo with which that is least often."""
    return min(demo["reset_tie_rate"] or 0.0 for demo in curriculum.report()["demos"])


class LearningRateControl:
    """The learning rate by what it comes to (Schulman et al. 2017 adapt the penalty so; rsl_rl the rate).

    An update that moves the policy by more than twice the target divides the rate by 1.5; one that moves it by less
    than half multiplies it, up to ``most``. While the frontiers move fast, haste pays, the more the more of the demos
    is still climbed. After that, before hard spots and in what is climbed, it throws away as much as it finds: the
    surer a policy, the further the same rate moves it. One that is not yet sure goes on in larger steps, by the square
    of its entropy: short demos are climbed before much is learnt. A very sure one goes on in smaller ones, by its
    entropy, as far as it ties the whole game: what it has then is lost by what would not have harmed another. As long
    as it does not, it has more to gain, and at steps as small as that it would stay what it is.

    The scale of the logits follows the rewards at a rate of its own, which noise does not limit, as far as the demos
    are not still climbed: then there is something to be looked for.

    Args:
        most: the rate at the beginning, and at most.
        climbing, settling: targets while frontiers move fast everywhere, by 3 % of what is left in 50 updates, and
            where none does and the policy has an entropy of .25 nats: nats of approximate KL divergence, the mean over
            an update's minibatches. Where some do, a geometric mean of both, weighted by their share.
    """

    def __init__(self, most: float, *, climbing: float = 0.02, settling: float = 0.001) -> None:
        self.most, self.climbing, self.settling = most, climbing, settling
        self.rate, self.scale_rate = most, 0.0
        self.left_lately: float | None = None

    def update(self, kl: float, entropy: float, left: int, climbing: float, tied: float) -> None:
        """Once per training update; ``kl`` and ``entropy`` in nats, ``left`` and ``climbing`` are the curriculum's.

        ``tied`` is how often the game's own reset is tied.
        """
        if self.left_lately is None:
            self.left_lately = 2.0 * left
        self.left_lately += (left - self.left_lately) / MEMORY
        haste = climbing if self.left_lately - left >= HASTE * left else 0.0
        doubt = max(entropy, SUREST) / SURE
        settling = min(self.settling * doubt ** (2 if doubt > 1 else tied), self.climbing)
        target = settling * (self.climbing / settling) ** haste
        self.scale_rate = SCALE_LR * (1 - climbing)
        if kl > 2 * target:
            self.rate /= STEP
        elif kl < target / 2:
            self.rate = min(self.rate * STEP, self.most)

    def set(self, optimizer: Adam, factor: float) -> None:
        """Sets the rates of an ``optimizer_of`` a policy: of its weights at most ``factor`` times ``most``."""
        weights, scale = optimizer.param_groups
        weights["lr"], scale["lr"] = min(self.rate, self.most * factor), self.scale_rate

    def state_dict(self) -> dict[str, Any]:
        return {"rate": self.rate, "scale_rate": self.scale_rate, "left_lately": self.left_lately}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rate, self.scale_rate = state["rate"], state["scale_rate"]
        self.left_lately = state["left_lately"]
