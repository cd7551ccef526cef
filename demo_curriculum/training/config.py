"""What a training run is made of: recorded in the run directory, and unchanged for as long as the run lasts."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from demo_curriculum.errors import DemoCurriculumError, UsageError


@dataclass(frozen=True)
class TrainConfig:
    """Settings of a training run.

    Attributes:
        seed: fixes everything random.
        rule: how the curriculum moves. "adaptive" is ours; "openai" (the backward algorithm's), "rfcl", "backplay"
            and "reverse-walk" are published rules; "uniform" is no curriculum and "reset" no demo, the controls.
        split: least demo steps of a segment that is climbed on its own, cut after a reward; 0 climbs the demo in one
            piece. The other rules always do.
        mixture: whether episodes also begin behind the frontier's window, as far as the rule is "adaptive".
        observation: what the policy sees: 128 bytes of RAM, or grey pixels.
        frame_skip: demo steps (Atari: emulator frames) per agent step.
        stack: latest observations that the policy sees; 0 means 2 for vectors and 4 for pixels.
        sticky: probability per demo step that the previous action is played again.
        noop_max: episodes from the game's own reset begin with up to this many no-ops, uniform.
        lag: demo steps that the agent may be behind the demo's score.
        tail: an episode goes on for exp(tail * u) demo steps after a tie, u uniform in [0, 1).
        end_on_life_loss: whether losing a life ends an episode.
        reward: learn from the sign of rewards, from raw ones, or scaled to the demo's size.
        rnd: pay an exploration bonus by random network distillation.
        bonus_weight: of the advantage from the bonus; the one from the game counts 1.
        imitation: weight of the imitation loss on the demo's own pairs, faded where the agent succeeds;
            -1 means the rule's own: 0.3 for "adaptive", 0 for the others.
        reinforcement: learn from rewards and bonuses; without it the imitation loss is all (behaviour cloning).
        envs: simulators stepped together.
        steps: agent steps of each of them per update.
        epochs: passes over each rollout.
        minibatches: per pass.
        lr: learning rate of the policy.
        gamma: discount of the game's rewards per agent step. The policy cannot see how far behind the demo it is; near
            1, waiting until the lag ends the episode looks as good as trying, and the climb stalls.
        gamma_int: discount of the bonuses per agent step.
        lam: of the advantage estimates, both streams.
        clip: PPO's clipping range.
        entropy: weight of the entropy while all goes well; it rises by itself when a stalled policy collapses.
        patience: updates without progress before a remedy is tried, and before the next; after the last the run ends as
            stalled. 0 goes on for ever.
        hidden: width of the MLP's layers.
    """

    seed: int = 0
    rule: Literal["adaptive", "openai", "rfcl", "backplay", "reverse-walk", "uniform", "reset"] = "adaptive"
    split: int = 300
    mixture: bool = True
    observation: Literal["ram", "pixels"] = "ram"
    frame_skip: int = 4
    stack: int = 0
    sticky: float = 0.25
    noop_max: int = 0
    lag: int = 100
    tail: float = 4.0
    end_on_life_loss: bool = True
    reward: Literal["sign", "raw", "scaled"] = "sign"
    rnd: bool = True
    bonus_weight: float = 0.1
    imitation: float = -1.0
    reinforcement: bool = True
    envs: int = 32
    steps: int = 128
    epochs: int = 3
    minibatches: int = 4
    lr: float = 3e-4
    gamma: float = 0.99
    gamma_int: float = 0.99
    lam: float = 0.95
    clip: float = 0.2
    entropy: float = 0.003
    patience: int = 80
    hidden: int = 256

    def __post_init__(self) -> None:
        checks = {
            "frame_skip, envs, steps, epochs, minibatches and hidden must be at least 1": min(
                self.frame_skip, self.envs, self.steps, self.epochs, self.minibatches, self.hidden
            )
            >= 1,
            "stack, split, noop_max, lag, tail, bonus_weight, entropy, patience and seed must not be negative": min(
                self.stack,
                self.split,
                self.noop_max,
                self.patience,
                self.lag,
                self.tail,
                self.bonus_weight,
                self.entropy,
                self.seed,
            )
            >= 0,
            "sticky must be in [0, 1)": 0 <= self.sticky < 1,
            "gamma, gamma_int and lam must be in [0, 1]": all(
                0 <= value <= 1 for value in (self.gamma, self.gamma_int, self.lam)
            ),
            "without reinforcement, imitation must be above 0": self.reinforcement or self.imitation_weight > 0,
            "lr and clip must be above 0": self.lr > 0 and self.clip > 0,
            "envs * steps must be divisible by minibatches": self.envs * self.steps % max(self.minibatches, 1) == 0,
        }
        for message, holds in checks.items():
            if not holds:
                raise UsageError(message)

    @property
    def imitation_weight(self) -> float:
        """What ``imitation`` comes to."""
        if self.imitation >= 0:
            return self.imitation
        return 0.3 if self.rule == "adaptive" else 0.0

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> TrainConfig:
        """Raises DemoCurriculumError where names or types differ from this version's."""
        expected = {entry.name: type(entry.default) for entry in dataclasses.fields(cls)}
        if set(values) != set(expected):
            odd = sorted(set(values) ^ set(expected))
            raise DemoCurriculumError(f"the run's config is of another version: {', '.join(odd)} missing or unknown")
        for name, kind in expected.items():
            if type(values[name]) is not kind and not (kind is float and type(values[name]) is int):
                raise DemoCurriculumError(f"the run's config: {name} should be {kind.__name__}, is {values[name]!r}")
        return cls(**values)
