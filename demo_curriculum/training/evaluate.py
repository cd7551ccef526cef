"""How a policy does from the game's own reset, which is the only score that counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from demo_curriculum.envs import SimulatorEnv, StageObservation
from demo_curriculum.training.policy import Policy

Env = SimulatorEnv | StageObservation
ProtocolName = Literal["deterministic", "noop", "sticky", "epsilon"]

BATCH = 16
ATARI_CAP = 108_000


def longest_episode(demo_steps: int) -> int:
    """Demo steps after which an episode is cut where a demo from the reset takes ``demo_steps``."""
    return min(2 * demo_steps + 1000, ATARI_CAP)


class Protocol(NamedTuple):
    """What stands between the policy and the game.

    Attributes:
        sticky: probability per frame that the previous action is played again (Machado et al. 2018).
        noop_max: no-ops after the reset, 0..noop_max uniform (Mnih et al. 2015).
        epsilon: probability per agent step of a uniformly random action instead of the policy's.
    """

    sticky: float = 0.0
    noop_max: int = 0
    epsilon: float = 0.0


PROTOCOLS: dict[ProtocolName, Protocol] = {
    "deterministic": Protocol(),
    "noop": Protocol(noop_max=30),
    "sticky": Protocol(sticky=0.25),
    "epsilon": Protocol(epsilon=0.01),
}


@dataclass(frozen=True)
class Evaluation:
    """Scores of episodes from the game's own reset; every episode begun is counted.

    Attributes:
        scores: f64 (episodes,), raw returns.
        lengths: i64 (episodes,), agent steps.
        frames: demo steps (Atari: emulator frames) of all episodes together.
    """

    scores: NDArray[np.float64]
    lengths: NDArray[np.int64]
    frames: int

    @property
    def mean(self) -> float:
        return float(self.scores.mean())

    @property
    def iqm(self) -> float:
        """Interquartile mean: the mean of the middle half (Agarwal et al. 2021); ends count by their share."""
        ordered = np.sort(self.scores)
        count = len(ordered)
        low, high = count / 4, 3 * count / 4
        edges = np.clip(np.arange(count + 1), low, high)
        weights = np.diff(edges)
        return float((weights * ordered).sum() / weights.sum())

    def ties(self, target: float) -> float:
        """Share of episodes whose score is at least ``target``."""
        return float((self.scores >= target).mean())

    def record(self, target: float) -> dict[str, float]:
        """In numbers; ``target`` is as ``ties`` takes it."""
        return {
            "episodes": len(self.scores),
            "mean": self.mean,
            "iqm": self.iqm,
            "ties": self.ties(target),
            "best": float(self.scores.max()),
        }


def evaluate(
    policy: Policy,
    make_env: Callable[[Protocol], Env],
    *,
    protocol: Protocol,
    episodes: int,
    max_steps: int,
    seed: int,
    temperature: float = 1.0,
    on_episode: Callable[[], None] | None = None,
) -> Evaluation:
    """Plays from the reset, sampling actions from the policy, to the game's end or ``max_steps`` agent steps.

    The logits are divided by ``temperature``: below 1 the policy plays what it finds best more surely than it learnt.

    Args:
        make_env: an environment of its own for each of the episodes that are played at once; usually ``Player.env``.
    """
    envs = [make_env(protocol) for _ in range(min(BATCH, episodes))]
    generator = torch.Generator().manual_seed(seed)
    rng = np.random.default_rng(seed)
    seeds = np.random.SeedSequence(seed).generate_state(episodes)
    results = [
        _play(policy, env_batch, own, protocol, max_steps, temperature, generator, rng, on_episode)
        for env_batch, own in _batches(envs, seeds)
    ]
    return Evaluation(
        np.concatenate([scores for scores, _ in results]),
        np.concatenate([lengths for _, lengths in results]),
        sum(env.frames for env in envs),
    )


def _batches(envs: Sequence[Env], seeds: NDArray[Any]) -> list[tuple[Sequence[Env], list[int]]]:
    return [
        (envs[: len(seeds) - begin], seeds[begin : begin + len(envs)].tolist())
        for begin in range(0, len(seeds), len(envs))
    ]


def _play(
    policy: Policy,
    envs: Sequence[Env],
    seeds: Sequence[int],
    protocol: Protocol,
    max_steps: int,
    temperature: float,
    generator: torch.Generator,
    rng: np.random.Generator,
    on_episode: Callable[[], None] | None,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """One episode in each environment; scores and lengths."""
    observations = np.stack([env.reset(seed=seed)[0] for env, seed in zip(envs, seeds, strict=True)])
    scores, lengths = np.zeros(len(envs)), np.zeros(len(envs), np.int64)
    hidden = policy.at_reset(len(envs))
    playing = list(range(len(envs)))
    while playing:
        seen = torch.from_numpy(observations[playing])
        decision = policy.act(seen, hidden[playing], generator, torch.full((len(playing),), temperature))
        hidden[playing] = decision.hidden
        random = rng.random(len(playing)) < protocol.epsilon
        for index, action, at_random in zip(list(playing), decision.action.tolist(), random, strict=True):
            env = envs[index]
            chosen = int(rng.integers(env.simulator.action_count)) if at_random else action
            observations[index], reward, over, _, _ = env.step(chosen)
            scores[index] += reward
            lengths[index] += 1
            if over or lengths[index] >= max_steps:
                playing.remove(index)
                if on_episode is not None:
                    on_episode()
    return scores, lengths
