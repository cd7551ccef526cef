"""Verifying a demo by segments in parallel processes.

Every segment is begun at the snapshot in the file and must end in the next one, byte by byte. The first begins at the
game's own reset, so that by induction every snapshot is the one that the actions lead to: a tampered one is found at
the end of the segment before it, and whatever it does to a process happens in one of its own.
"""

from __future__ import annotations

import atexit
import itertools
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

import numpy as np

from demo_curriculum.demo import Demo, SimulatorSpec
from demo_curriculum.errors import DemoCurriculumError
from demo_curriculum.processes import cores, end_with_parent
from demo_curriculum.simulators import Simulator, simulator_of
from demo_curriculum.simulators.playback import replay_demo

SEGMENT = 2_000
"""Demo steps that a process replays at a time, about; a second or two of emulation is .1 s."""
SERIAL = 8_000
"""Shorter demos are replayed sooner than processes are started."""


@dataclass(frozen=True)
class Verification:
    """Demo steps at which a demo differs from its replay; none where it matched.

    Attributes:
        rewards: whose reward differs.
        snapshots: before which a snapshot differs.
        observations: before which the observation differs, where the demo observed what the simulator shows by default.
        lives: before which the number of lives differs.
        problem: why the replay could not go to its end; empty where it could.
    """

    rewards: tuple[int, ...] = ()
    snapshots: tuple[int, ...] = ()
    observations: tuple[int, ...] = ()
    lives: tuple[int, ...] = ()
    problem: str = ""

    @property
    def matched(self) -> bool:
        return self == Verification()


def verify_demo(
    demo: Demo, *, processes: int | None = None, on_progress: Callable[[int, int], None] | None = None
) -> Verification:
    """Replays ``demo`` on the installed simulator and compares everything that it recorded.

    Args:
        processes: by default one a core; a short demo, or one of another version of the simulator, whose snapshots
            cannot be compared byte by byte, is replayed in this process from its beginning.
        on_progress: called with demo steps done and in all.

    Raises:
        DemoCurriculumError: no such simulator is installed.
    """
    simulator = simulator_of(demo.simulator)
    processes = processes or cores()
    if processes < 2 or len(demo) < SERIAL or demo.simulator != simulator.spec:
        return verify_on(
            simulator,
            demo,
            on_step=None if on_progress is None else lambda step: on_progress(step + 1, len(demo)),
        )
    return _verify_parallel(demo, processes, on_progress or (lambda done, total: None))


def _verify_parallel(demo: Demo, processes: int, on_progress: Callable[[int, int], None]) -> Verification:
    bounds = [0]
    for snapshot in demo.snapshots:
        if snapshot.step - bounds[-1] >= SEGMENT and snapshot.step < len(demo):
            bounds.append(snapshot.step)
    bounds.append(len(demo))
    found: list[Verification] = []
    done = 0
    # Spawned, because a simulator's threads and a progress bar's do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_begin, initargs=(demo.simulator,)) as pool:
        begins = {
            pool.submit(_verify_segment, demo.segment(begin, end), begin): (begin, end)
            for begin, end in itertools.pairwise(bounds)
        }
        for future in as_completed(begins):
            begin, end = begins[future]
            try:
                found.append(future.result())
            except BrokenProcessPool:
                return Verification(problem="the simulator's process died of what the demo holds")
            done += end - begin
            on_progress(done, len(demo))
    found.sort(key=lambda part: (part.problem, part.rewards, part.snapshots))

    def joined(name: str) -> tuple[int, ...]:
        return tuple(sorted({step for part in found for step in getattr(part, name)}))

    return Verification(
        rewards=joined("rewards"),
        snapshots=joined("snapshots"),
        observations=joined("observations"),
        lives=joined("lives"),
        problem=next((part.problem for part in found if part.problem), ""),
    )


_simulators: list[Simulator] = []


def _begin(spec: SimulatorSpec) -> None:
    end_with_parent()
    # The emulator's library complains of what is still there once the interpreter has gone.
    atexit.register(_simulators.clear)
    _simulators.append(simulator_of(spec))


def _verify_segment(segment: Demo, begin: int) -> Verification:
    return verify_on(_simulators[0], segment, begin)


def verify_on(
    simulator: Simulator, demo: Demo, begin: int = 0, on_step: Callable[[int], None] | None = None
) -> Verification:
    """Replays ``demo`` in this process, from its beginning; its steps are reported ``begin`` later."""
    try:
        comparison = replay_demo(simulator, demo, on_step=on_step)
    except DemoCurriculumError as error:
        where = f"from step {begin}: " if begin else ""
        return Verification(problem=f"{where}{error}")
    replayed = comparison.replayed
    observations = []
    if (
        replayed.observations.shape == demo.observations.shape
        and replayed.observations.dtype == demo.observations.dtype
    ):
        different = replayed.observations != demo.observations
        observations = np.flatnonzero(different.reshape(len(different), -1).any(axis=1)).tolist()
    return Verification(
        rewards=tuple(begin + step for step in comparison.rewards),
        snapshots=tuple(begin + step for step in comparison.snapshots),
        observations=tuple(begin + step for step in observations),
        lives=tuple(begin + step for step in np.flatnonzero(replayed.lives != demo.lives).tolist()),
    )
