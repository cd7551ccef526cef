"""Recording whatever loop plays: every demo step as the simulator played it, sticky actions and no-ops included."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from demo_curriculum.demo import Demo, Origin, SimulatorSpec, Snapshot
from demo_curriculum.envs.simulator_env import SimulatorEnv
from demo_curriculum.errors import UsageError
from demo_curriculum.simulators.playback import SNAPSHOT_EVERY
from demo_curriculum.simulators.protocol import Simulator


class RecordingSimulator:
    """A simulator that remembers every game from its reset on. Implements ``Simulator``.

    A game that is restored to another state is no longer one that can be played from the reset: it is dropped, and
    recording goes on with the next reset.

    Args:
        simulator: plays.
        keep: only so many demos, those with the highest scores; None keeps all.

    Attributes:
        demos: the games that have ended, or were ended by ``finish`` or a reset.
    """

    def __init__(self, simulator: Simulator, *, origin: Origin, note: str = "", keep: int | None = None) -> None:
        self.simulator = simulator
        self.origin = origin
        self.note = note
        self.keep = keep
        self.demos: list[Demo] = []
        self._recording = False
        self._forget()

    def _forget(self) -> None:
        self._actions: list[int] = []
        self._rewards: list[float] = []
        self._observations: list[NDArray[Any]] = []
        self._lives: list[int] = []
        self._snapshots: list[Snapshot] = []

    def finish(self) -> None:
        """Makes a demo of the game so far, if there is one; truncated where the game goes on."""
        length = len(self._actions)
        if self._recording and length:
            over = self.simulator.game_over
            end = np.arange(length) == length - 1
            self.demos.append(
                Demo(
                    simulator=self.simulator.spec,
                    actions=np.array(self._actions, np.int64),
                    rewards=np.array(self._rewards, np.float64),
                    terminations=end & over,
                    truncations=end & (not over),
                    observations=np.stack(self._observations),
                    lives=np.array(self._lives, np.int32),
                    snapshots=tuple(snapshot for snapshot in self._snapshots if snapshot.step < length),
                    origin=self.origin,
                    complete=over,
                    note=self.note,
                )
            )
            if self.keep is not None and len(self.demos) > self.keep:
                # Of equal scores the earlier stays.
                self.demos.pop(min(range(len(self.demos)), key=lambda index: (self.demos[index].score, -index)))
        self._recording = False
        self._forget()

    def reset(self) -> None:
        self.finish()
        self.simulator.reset()
        self._recording = True
        self._observe()

    def play(self, actions: Sequence[int]) -> float:
        if not self._recording:
            return self.simulator.play(actions)
        total = 0.0
        for action in actions:
            if self.simulator.game_over:
                break
            reward = self.simulator.play([action])
            total += reward
            self._actions.append(int(action))
            self._rewards.append(reward)
            self._observe()
            if len(self._actions) % SNAPSHOT_EVERY == 0:
                self._snapshots.append(
                    Snapshot(len(self._actions), self.simulator.save(), self.simulator.fingerprint())
                )
        return total

    def _observe(self) -> None:
        self._observations.append(self.simulator.observe())
        self._lives.append(self.simulator.lives)

    def restore(self, data: bytes) -> None:
        self.simulator.restore(data)
        self._recording = False
        self._forget()

    @property
    def spec(self) -> SimulatorSpec:
        return self.simulator.spec

    @property
    def action_count(self) -> int:
        return self.simulator.action_count

    @property
    def action_meanings(self) -> Sequence[str]:
        return self.simulator.action_meanings

    @property
    def observation_shape(self) -> tuple[int, ...]:
        return self.simulator.observation_shape

    @property
    def observation_dtype(self) -> np.dtype[Any]:
        return self.simulator.observation_dtype

    @property
    def game_over(self) -> bool:
        return self.simulator.game_over

    @property
    def lives(self) -> int:
        return self.simulator.lives

    def observe(self) -> NDArray[Any]:
        return self.simulator.observe()

    def save(self) -> bytes:
        return self.simulator.save()

    def fingerprint(self) -> int:
        return self.simulator.fingerprint()

    def render(self) -> NDArray[np.uint8]:
        return self.simulator.render()


class RecordDemo(gym.Wrapper[Any, Any, Any, Any]):
    """Records the episodes of any loop as demos: wrap, play, store.

    Args:
        env: a ``SimulatorEnv``, wrapped or not. Episodes that begin inside a demo are not recorded.
        origin: who plays.
        note: how the demos are made, for people.
        keep: only so many demos, those with the highest scores; None keeps all.

    Example:
        >>> from demo_curriculum.simulators import make_simulator
        >>> env = RecordDemo(SimulatorEnv(make_simulator("LockedChain-3"), frame_skip=1))
        >>> _ = env.reset(seed=0)
        >>> _ = env.step(env.unwrapped.simulator.simulator.keys[0])
        >>> env.close()
        >>> len(env.demos[0])
        1

    Raises:
        UsageError: the environment has no simulator of ours below it.
    """

    def __init__(
        self, env: gym.Env[Any, Any], *, origin: Origin = "script", note: str = "", keep: int | None = None
    ) -> None:
        super().__init__(env)
        inner = env.unwrapped
        if not isinstance(inner, SimulatorEnv):
            raise UsageError(
                f"RecordDemo records a SimulatorEnv, not {type(inner).__name__}: its simulator must be restorable"
            )
        self._recorder = RecordingSimulator(inner.simulator, origin=origin, note=note, keep=keep)
        inner.simulator = self._recorder

    @property
    def demos(self) -> list[Demo]:
        """Of the episodes that have ended; ``close`` ends the one that is being played."""
        return self._recorder.demos

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        result = self.env.step(action)
        if result[2] or result[3]:
            self._recorder.finish()
        return result

    def close(self) -> None:
        self._recorder.finish()
        super().close()
