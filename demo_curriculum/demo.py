"""The records that everything else passes around: demos, snapshots, starts and outcomes.

All are frozen and check themselves when made, so that code which receives one need not check again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from demo_curriculum.errors import DemoCurriculumError

Origin = Literal["human", "script", "policy", "search", "import"]
ORIGINS: tuple[Origin, ...] = ("human", "script", "policy", "search", "import")

Ending = Literal["tie", "terminated", "life", "lag"]
"""Why an episode ended: the tie and its tail, the game's own end, a life lost, too far behind the demo."""


class InvalidDemoError(DemoCurriculumError):
    """A record that contradicts itself (lengths, ranges, NaN); says which field and why."""


@dataclass(frozen=True)
class SimulatorSpec:
    """Which simulator a demo was recorded on.

    Attributes:
        env_id: the Gymnasium id, for instance ``ALE/MontezumaRevenge-v5``.
        kwargs: what else makes the simulator, JSON values only (for Atari: full_action_space).
        adapter: name and version of our adapter's snapshot format, for instance ``ale/1``.
        versions: versions of the libraries the simulator runs on.
        rom_md5: md5 of the game's ROM; empty where there is none.
    """

    env_id: str
    kwargs: Mapping[str, Any]
    adapter: str
    versions: Mapping[str, str] = field(default_factory=dict)
    rom_md5: str = ""

    def __post_init__(self) -> None:
        if not self.env_id or ":" in self.env_id:
            raise InvalidDemoError(
                f"env id {self.env_id!r}: must be non-empty and without ':', which would name code to import"
            )

    def differences(self, other: SimulatorSpec) -> list[str]:
        """What makes ``other`` another game than this one, as readable phrases; versions do not count."""
        found = []
        for name in ("env_id", "kwargs", "adapter", "rom_md5"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                found.append(f"{name} {mine!r} is not {theirs!r}")
        return found


@dataclass(frozen=True)
class Snapshot:
    """A serialized simulator state *before* demo step ``step``, and a fingerprint of what the player can see of it."""

    step: int
    data: bytes
    fingerprint: int


class Start(NamedTuple):
    """Where an episode begins and up to where it is judged.

    Attributes:
        demo: index of the demo among those trained on.
        step: demo step at which the episode begins; ``-demo.offset`` (0 for most) is the game's own reset.
        goal: demo step up to which the episode is judged.
        walk: actions of agent steps that are played from ``step`` before the episode begins, for starts that are not
            on the demo itself: no-ops, while which the world moves on, or a way from the goal.
    """

    demo: int
    step: int
    goal: int
    walk: tuple[int, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What one episode from a start came to, or one leg of an episode that went on after a tie.

    Attributes:
        start: where it began.
        score: raw return from the start.
        length: agent steps.
        tied: whether ``score`` reached the demo's return from the start to the goal.
        ending: why it ended.
        leg: how many legs of the same episode came before.
        setbacks: how often it lost a life or fell behind before, and began again without a new game; ``start`` says
            where the demo was as far, not where the agent was.
        path: the actions of an episode from the game's own reset, one a demo step as they were executed; only where it
            is its environment's best so far.
    """

    start: Start
    score: float
    length: int
    tied: bool
    ending: Ending
    leg: int = 0
    setbacks: int = 0
    path: tuple[int, ...] | None = None


@dataclass(frozen=True, eq=False)
class Demo:
    """One recorded episode; T demo steps.

    Attributes:
        simulator: what it was recorded on.
        actions: i64 (T,), each an index into the simulator's actions.
        rewards: f64 (T,), finite.
        terminations: bool (T,), true only where the game itself ended (the last step at most).
        truncations: bool (T,).
        observations: (T+1, ...) what the recorder saw before each step and after the last (Atari: RAM, u8 128).
        lives: i32 (T+1,).
        snapshots: by increasing step; the first at step 0 where ``offset`` is above 0.
        origin: how it came to be.
        seed: of the simulator's reset.
        complete: whether it runs to the game's own end.
        offset: demo steps between the game's own reset and step 0; 0 when recorded from the reset.
        note: how it was made, for people.
    """

    simulator: SimulatorSpec
    actions: NDArray[np.int64]
    rewards: NDArray[np.float64]
    terminations: NDArray[np.bool_]
    truncations: NDArray[np.bool_]
    observations: NDArray[Any]
    lives: NDArray[np.int32]
    snapshots: tuple[Snapshot, ...]
    origin: Origin
    seed: int = 0
    complete: bool = False
    offset: int = 0
    note: str = ""

    def __post_init__(self) -> None:
        length = len(self.actions)
        expected: dict[str, tuple[Any, int]] = {
            "actions": (np.int64, length),
            "rewards": (np.float64, length),
            "terminations": (np.bool_, length),
            "truncations": (np.bool_, length),
            "lives": (np.int32, length + 1),
        }
        for name, (dtype, size) in expected.items():
            array = getattr(self, name)
            if array.dtype != dtype or array.shape != (size,):
                raise InvalidDemoError(f"{name}: expected {np.dtype(dtype)} {(size,)}, got {array.dtype} {array.shape}")
        if length == 0:
            raise InvalidDemoError("actions: a demo needs at least one step")
        if len(self.observations) != length + 1 or self.observations.dtype.kind not in "uif":
            raise InvalidDemoError(
                f"observations: expected numbers of shape ({length + 1}, ...), "
                f"got {self.observations.dtype} {self.observations.shape}"
            )
        for name in ("rewards", "observations"):
            array = getattr(self, name)
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise InvalidDemoError(f"{name}: holds NaN or infinite values")
        if self.actions.min() < 0:
            raise InvalidDemoError(f"actions: negative at step {int(np.argmin(self.actions))}")
        if self.terminations[:-1].any() or self.truncations[:-1].any():
            raise InvalidDemoError("terminations, truncations: true before the last step")
        if self.origin not in ORIGINS:
            raise InvalidDemoError(f"origin: {self.origin!r} is not one of {', '.join(ORIGINS)}")
        if self.offset < 0:
            raise InvalidDemoError(f"offset: {self.offset} is negative")
        steps = [snapshot.step for snapshot in self.snapshots]
        if steps != sorted(set(steps)) or (steps and not 0 <= steps[0] <= steps[-1] <= length):
            raise InvalidDemoError(f"snapshots: steps must increase within 0..{length}")
        if self.offset > 0 and (not steps or steps[0] != 0):
            raise InvalidDemoError("snapshots: a demo that begins after the reset needs one at step 0")

    def __len__(self) -> int:
        return len(self.actions)

    @property
    def returns(self) -> NDArray[np.float64]:
        """f64 (T+1,): the score gathered before each step; the last entry is the whole return."""
        return np.concatenate([[0.0], np.cumsum(self.rewards)])

    @property
    def score(self) -> float:
        return float(self.rewards.sum())

    @property
    def reset_step(self) -> int:
        """The game's own reset on the demo's time line: 0, or negative where the demo begins later."""
        return -self.offset

    @property
    def fingerprint(self) -> str:
        """sha256 (hex) of what makes this demo this demo: the game, the seed, every action and every reward, and the
        state in which it begins where that is not the reset.
        """
        begin = self.snapshots[0].data if self.offset else b""
        return demo_fingerprint(self.simulator, self.seed, self.offset, self.actions, self.rewards, begin)

    def snapshot_before(self, step: int) -> Snapshot | None:
        """The latest snapshot at or before ``step``; None where only the game's own reset lies before."""
        candidates = [snapshot for snapshot in self.snapshots if snapshot.step <= step]
        return candidates[-1] if candidates else None

    def trim(self, end: int) -> Demo:
        """The demo's first ``end`` steps, restorable on their own; truncated where the game goes on.

        Raises:
            InvalidDemoError: ``end`` is not within 1..T.
        """
        if not 1 <= end <= len(self):
            raise InvalidDemoError(f"trim: end {end} is not within 1..{len(self)}")
        return self.segment(0, end)

    def segment(self, begin: int, end: int) -> Demo:
        """Steps ``begin`` to ``end`` as a demo that can be restored on its own: its step 0 is this one's ``begin``.

        Raises:
            InvalidDemoError: not ``0 <= begin < end <= T``, or a segment that begins after the reset has no snapshot
                at ``begin``.
        """
        if not 0 <= begin < end <= len(self):
            raise InvalidDemoError(f"segment: {begin}..{end} is not within 0..{len(self)}")
        truncations = self.truncations[begin:end].copy()
        truncations[-1] = not self.terminations[end - 1]
        return replace(
            self,
            actions=self.actions[begin:end],
            rewards=self.rewards[begin:end],
            terminations=self.terminations[begin:end],
            truncations=truncations,
            observations=self.observations[begin : end + 1],
            lives=self.lives[begin : end + 1],
            snapshots=tuple(
                replace(snapshot, step=snapshot.step - begin)
                for snapshot in self.snapshots
                if begin <= snapshot.step <= end
            ),
            complete=self.complete and end == len(self),
            offset=self.offset + begin,
        )


def new_scores(returns: NDArray[np.float64]) -> NDArray[np.int64]:
    """The demo steps, increasing, at which a demo of these ``returns`` (T+1,) has a score that it never had before."""
    return np.flatnonzero(np.diff(np.maximum.accumulate(returns)) > 0) + 1


def demo_fingerprint(
    simulator: SimulatorSpec,
    seed: int,
    offset: int,
    actions: NDArray[np.int64],
    rewards: NDArray[np.float64],
    begin: bytes,
) -> str:
    """``Demo.fingerprint`` of a demo of which no more is known than this; ``begin`` is empty for the reset."""
    identity = [simulator.env_id, dict(simulator.kwargs), simulator.rom_md5, seed, offset]
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode())
    digest.update(actions.astype("<i8").tobytes())
    digest.update(rewards.astype("<f8").tobytes())
    digest.update(begin)
    return digest.hexdigest()
