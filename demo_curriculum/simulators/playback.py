"""Playing recorded actions on a simulator: to make a demo of them, and to check one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from demo_curriculum.demo import Demo, Origin, Snapshot
from demo_curriculum.errors import DemoCurriculumError, MismatchError
from demo_curriculum.simulators.protocol import Simulator

SNAPSHOT_EVERY = 100

Allocate = Callable[[tuple[int, ...], np.dtype[Any]], NDArray[Any]]
"""From a shape and a dtype to an array that is yet to be filled."""


def play_demo(
    simulator: Simulator,
    actions: Sequence[int],
    *,
    origin: Origin,
    begin: bytes | None = None,
    offset: int = 0,
    seed: int = 0,
    note: str = "",
    snapshot_steps: Collection[int] = (),
    allocate: Allocate = np.zeros,
    on_step: Callable[[int], None] | None = None,
) -> Demo:
    """Plays ``actions`` from the game's own reset, or from the state ``begin``, and records a demo of what happened.

    Args:
        begin: a saved state; None plays from the reset.
        offset: demo steps between the reset and ``begin``.
        snapshot_steps: demo steps at which snapshots are taken besides every hundredth; of those the reset itself,
            which is reached by resetting, and the end, where nothing is left to play, are left out.
        allocate: makes the array of the observations.
        on_step: called with each demo step done, for progress displays.

    Raises:
        DemoCurriculumError: the game ended before the actions did, or an action does not exist.
    """
    if begin is None:
        simulator.reset()
    else:
        simulator.restore(begin)
    length = len(actions)
    wanted = {*range(SNAPSHOT_EVERY if begin is None else 0, length, SNAPSHOT_EVERY), *snapshot_steps}
    rewards = np.zeros(length, np.float64)
    observations = allocate((length + 1, *simulator.observation_shape), simulator.observation_dtype)
    lives = np.zeros(length + 1, np.int32)
    snapshots = []
    for step in range(length + 1):
        observations[step] = simulator.observe()
        lives[step] = simulator.lives
        if step in wanted:
            snapshots.append(Snapshot(step, simulator.save(), simulator.fingerprint()))
        if step == length:
            break
        if simulator.game_over:
            raise DemoCurriculumError(f"the game ended at demo step {step}, before the {length} recorded actions did")
        try:
            rewards[step] = simulator.play([int(actions[step])])
        except ValueError as error:
            raise DemoCurriculumError(f"demo step {step}: {error}") from error
        if on_step is not None:
            on_step(step)
    ends = np.zeros(length, np.bool_)
    ends[-1] = simulator.game_over
    cut = np.zeros(length, np.bool_)
    cut[-1] = not simulator.game_over
    return Demo(
        simulator=simulator.spec,
        actions=np.asarray(actions, np.int64),
        rewards=rewards,
        terminations=ends,
        truncations=cut,
        observations=observations,
        lives=lives,
        snapshots=tuple(snapshots),
        origin=origin,
        seed=seed,
        complete=bool(ends[-1]),
        offset=offset,
        note=note,
    )


def begin_at(simulator: Simulator, demo: Demo, step: int) -> None:
    """Puts a simulator where the demo is before ``step``, by playing from the snapshot before it."""
    snapshot = demo.snapshot_before(max(step - 1, 0))
    if snapshot is None or (step <= 0 and demo.offset == 0):
        simulator.reset()
        begin = 0
    else:
        simulator.restore(snapshot.data)
        begin = snapshot.step
    simulator.play(demo.actions[begin : max(step, 0)].tolist())


@dataclass(frozen=True)
class Comparison:
    """How a demo and its replay on the installed simulator differ; empty lists mean it matched.

    Attributes:
        replayed: the demo as the installed simulator plays it, with snapshots of its own.
        rewards: demo steps whose reward differs.
        snapshots: demo steps of snapshots whose fingerprint differs, or whose bytes do though the versions are equal.
    """

    replayed: Demo
    rewards: list[int]
    snapshots: list[int]

    @property
    def matched(self) -> bool:
        return not self.rewards and not self.snapshots


def check_same_game(simulator: Simulator, demo: Demo) -> None:
    """Refuses a demo of another game.

    Raises:
        MismatchError: game, action set or ROM differ.
    """
    differences = demo.simulator.differences(simulator.spec)
    if differences:
        raise MismatchError(f"the demo is of another game than the simulator: {'; '.join(differences)}")


def replay_demo(
    simulator: Simulator,
    demo: Demo,
    *,
    snapshot_steps: Collection[int] = (),
    allocate: Allocate = np.zeros,
    on_step: Callable[[int], None] | None = None,
) -> Comparison:
    """Replays ``demo`` from its beginning and compares rewards and all its snapshots.

    Its own snapshots are only compared, never restored, but for the one at step 0 of a demo that begins after the
    reset: a file from a stranger may hold anything.

    Args:
        snapshot_steps: demo steps at which ``replayed`` has snapshots besides the usual ones.
        allocate: makes the array of the observations of ``replayed``.
        on_step: called with each demo step done.

    Raises:
        MismatchError: the demo is of another game.
        DemoCurriculumError: the game ends before the demo does, or an action does not exist.
        SnapshotError: the snapshot at step 0 is not a state of this simulator.
    """
    check_same_game(simulator, demo)
    replayed = play_demo(
        simulator,
        [int(action) for action in demo.actions],
        origin=demo.origin,
        begin=demo.snapshots[0].data if demo.offset > 0 else None,
        offset=demo.offset,
        seed=demo.seed,
        note=demo.note,
        snapshot_steps={*snapshot_steps, *(snapshot.step for snapshot in demo.snapshots)},
        allocate=allocate,
        on_step=on_step,
    )
    made = {snapshot.step: snapshot for snapshot in replayed.snapshots}
    # Another version of the simulator may serialize the same state otherwise.
    same_versions = demo.simulator.versions == simulator.spec.versions
    snapshots = [
        recorded.step
        for recorded in demo.snapshots
        if recorded.fingerprint != made[recorded.step].fingerprint
        or (same_versions and recorded.data != made[recorded.step].data)
    ]
    rewards = np.flatnonzero(replayed.rewards != demo.rewards)
    return Comparison(replayed, [int(step) for step in rewards], snapshots)
