"""What a training run is made of: recorded in the run directory, and unchanged for as long as the run lasts."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
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
        split: least demo steps of a segment that is climbed on its own, cut after a reward or, where there is none for
            long, at a landmark; 0 climbs the demo in one piece. The other rules always do.
        mixture: whether episodes also begin behind the frontier's window, as far as the rule is "adaptive".
        observation: what the policy sees: 128 bytes of RAM, or grey pixels.
        frame_skip: demo steps (Atari: emulator frames) per agent step.
        stack: latest observations that the policy sees; 0 means 2 for vectors and 4 for pixels.
        clocks: whether policy and bonus see bytes that do nothing but count time. Without them nothing may tell when a
            floor goes or a gate opens; with them a policy may act by the clock, against which there is ``jitter``.
        inert: whether policy and bonus see bytes that nothing on the screen depends on, by which a policy recognises
            the demo's moments and no others.
        stages: whether the policy is told which of the demo's scores and landmarks it has come to, as far as it sees
            vectors and the rule is "adaptive".
        sticky: probability per demo step that the previous action is played again.
        noop_max: episodes from the game's own reset begin with up to this many no-ops, uniform.
        jitter: episodes begin after up to this many no-ops, uniform and in whole agent steps, as often as their starts
            are tied, so that the agent meets what moves at other times than the demonstrator did; 0 for none, as with
            all rules but "adaptive".
        setbacks: whether episodes also begin where others lost a life or fell behind, the more often the more often
            that ends well, so that the agent learns to make something of it; as far as the rule is "adaptive".
        lag: demo steps that the agent may be behind the demo's score.
        tail: an episode goes on for exp(tail * u) demo steps after a tie, u uniform in [0, 1).
        beyond: an episode from the game's own reset that has tied the whole demo goes on until so many demo steps bring
            no reward, so that the policy may beat the demonstrator; 0 ends it as any other.
        end_on_life_loss: whether losing a life ends an episode.
        reward: learn from rewards counted in steps of the demo's own score, from their sign as published, from raw
            ones, or scaled to the demo's size.
        rnd: pay an exploration bonus by random network distillation.
        bonus_weight: of the advantage from the bonus; the one from the game counts 1.
        imitation: weight of the imitation loss on the demo's own pairs, faded where the agent succeeds;
            -1 means the rule's own: 1 for "adaptive", 0 for the others.
        successes: imitate the agent's own successes too, from starts where they are rare; as far as there is imitation
            at all, and of vectors alone: pixels are too large to keep.
        reinforcement: learn from rewards and bonuses; without it the imitation loss is all (behaviour cloning).
        envs: simulators stepped together.
        steps: agent steps of each of them per update.
        epochs: passes over each rollout.
        minibatches: per pass.
        lr: learning rate of the policy at most; lower where an update would move the policy too far.
        gamma: discount of the game's rewards per agent step; with less, a reward that is hundreds of steps away
            counts less than the entropy.
        gamma_int: discount of the bonuses per agent step.
        lam: of the advantage estimates, both streams.
        clip: PPO's clipping range.
        entropy: weight of the entropy while all goes well; it rises by itself when a stalled policy collapses.
        patience: updates without progress before a remedy is tried, and before the next; after the last the run ends as
            stalled. 0 goes on for ever.
        hidden: width of the MLP's layers, for RAM.
        cnn: size of the CNN, for pixels. "small" is that of Mnih et al. (2013), for slow processors; "nature" that of
            Mnih et al. (2015); "large" that of the backward algorithm (Salimans & Chen 2018).
        memory: width of a GRU between these and the policy's heads; 0 for none. An episode from a start inside the demo
            begins with the hidden state that the demo's observations before it lead to. The backward algorithm has 800.
        sequence: agent steps that a GRU learns through at once; the backward algorithm has 128.
        burn_in: agent steps before each sequence from which only the GRU's hidden state is found anew, with what was
            learnt since they were played; the backward algorithm has 64.
        soften: demo steps after a start in which the logits are halved, in training alone;
            -1 means the rule's own: 100 for "openai", 0 for the others.
    """

    seed: int = 0
    rule: Literal["adaptive", "openai", "rfcl", "backplay", "reverse-walk", "uniform", "reset"] = "adaptive"
    split: int = 300
    mixture: bool = True
    observation: Literal["ram", "pixels"] = "ram"
    frame_skip: int = 4
    stack: int = 0
    clocks: bool = True
    inert: bool = False
    stages: bool = True
    sticky: float = 0.25
    noop_max: int = 0
    jitter: int = 128
    setbacks: bool = True
    lag: int = 200
    tail: float = 4.0
    beyond: int = 400
    end_on_life_loss: bool = True
    reward: Literal["steps", "sign", "raw", "scaled"] = "steps"
    rnd: bool = True
    bonus_weight: float = 0.1
    imitation: float = -1.0
    successes: bool = True
    reinforcement: bool = True
    envs: int = 32
    steps: int = 128
    epochs: int = 4
    minibatches: int = 16
    lr: float = 5e-4
    gamma: float = 0.998
    gamma_int: float = 0.99
    lam: float = 0.95
    clip: float = 0.2
    entropy: float = 0.003
    patience: int = 80
    hidden: int = 256
    cnn: Literal["small", "nature", "large"] = "nature"
    memory: int = 0
    sequence: int = 32
    burn_in: int = 0
    soften: int = -1

    def __post_init__(self) -> None:
        counts = ("frame_skip", "envs", "steps", "epochs", "minibatches", "hidden")
        others = (
            *("stack", "split", "noop_max", "jitter", "lag", "tail", "beyond", "bonus_weight", "entropy", "patience"),
            *("memory", "burn_in", "seed"),
        )
        checks = {
            f"{', '.join(counts)} must be at least 1": min(getattr(self, name) for name in counts) >= 1,
            f"{', '.join(others)} must not be negative": min(getattr(self, name) for name in others) >= 0,
            "jitter must be 0 or at least frame_skip": not 0 < self.jitter < self.frame_skip,
            "sticky must be in [0, 1)": 0 <= self.sticky < 1,
            "gamma, gamma_int and lam must be in [0, 1]": all(
                0 <= value <= 1 for value in (self.gamma, self.gamma_int, self.lam)
            ),
            "without reinforcement, imitation must be above 0": self.reinforcement or self.imitation_weight > 0,
            "lr and clip must be above 0": self.lr > 0 and self.clip > 0,
            "envs * steps must be divisible by minibatches": self.envs * self.steps % max(self.minibatches, 1) == 0,
            "sequence must be at least 1": self.sequence >= 1,
            "burn_in is for a memory, and at most as long as steps": self.burn_in <= (self.memory and self.steps),
        }
        for message, holds in checks.items():
            if not holds:
                raise UsageError(message)
        if self.memory and (self.steps % self.sequence or self.sequences % self.minibatches):
            raise UsageError(
                "with a memory, steps must be divisible by sequence, and envs * steps / sequence by minibatches"
            )

    @property
    def sequences(self) -> int:
        """What a rollout holds of them."""
        return self.envs * self.steps // self.sequence

    def shared_by(self, ranks: int) -> bool:
        """Whether so many ranks can share the simulators alike, and each its part among the minibatches."""
        rows = self.envs * self.steps if not self.memory else self.sequences
        return self.envs % ranks == 0 and rows // ranks % self.minibatches == 0

    @property
    def imitation_weight(self) -> float:
        """What ``imitation`` comes to."""
        if self.imitation >= 0:
            return self.imitation
        return 1.0 if self.rule == "adaptive" else 0.0

    def teaches_itself(self, observation_shape: Sequence[int]) -> bool:
        """Whether own successes are imitated, of observations of that shape; cloning is of the demo alone."""
        return self.successes and self.imitation_weight > 0 and self.reinforcement and len(observation_shape) == 1

    def tells_stages(self, observation_shape: Sequence[int]) -> bool:
        """Whether the stage is told with observations of that shape."""
        return self.stages and self.rule == "adaptive" and len(observation_shape) == 1

    @property
    def softened_steps(self) -> int:
        """What ``soften`` comes to."""
        if self.soften >= 0:
            return self.soften
        return 100 if self.rule == "openai" else 0

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
