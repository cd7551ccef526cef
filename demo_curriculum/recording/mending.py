"""Making a demo again: of what can be read of a damaged one, or for another version of the simulator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from demo_curriculum.demo import Demo
from demo_curriculum.errors import MismatchError
from demo_curriculum.simulators import Simulator
from demo_curriculum.simulators.playback import play_demo, replay_demo
from demo_curriculum.store import Remains


def mend(simulator: Simulator, remains: Remains, *, on_step: Callable[[int], None] | None = None) -> Demo:
    """Plays the actions that remain and checks them against the rewards that remain.

    Raises:
        MismatchError: the simulator is not the one of the recording, or gives other rewards.
        DemoCurriculumError: the actions cannot be played to their end.
    """
    differences = remains.simulator.differences(simulator.spec)
    if differences:
        raise MismatchError(f"the installed simulator is another: {'; '.join(differences)}")
    demo = play_demo(
        simulator,
        remains.actions.tolist(),
        origin=remains.origin,
        begin=None if remains.begin is None else remains.begin.data,
        offset=remains.offset,
        seed=remains.seed,
        on_step=on_step,
    )
    shared = min(len(demo), len(remains.rewards))
    wrong = np.flatnonzero(demo.rewards[:shared] != remains.rewards[:shared])
    if len(wrong):
        raise MismatchError(f"the installed simulator gives another reward at step {wrong[0]}")
    cut = f", {len(demo):,} of {remains.total_steps:,} steps" if len(demo) < remains.total_steps else ""
    note = f"{remains.note}; repaired{cut}".removeprefix("; ")
    return replace(demo, note=note)


def rebuild(simulator: Simulator, demo: Demo, *, on_step: Callable[[int], None] | None = None) -> Demo:
    """The same actions on the installed simulator, with its snapshots and versions.

    Raises:
        MismatchError: it gives other rewards.
        DemoCurriculumError: it does not play the actions to their end, or cannot restore where the demo begins.
    """
    comparison = replay_demo(simulator, demo, on_step=on_step)
    if comparison.rewards:
        raise MismatchError(f"the installed simulator gives another reward at step {comparison.rewards[0]}")
    return comparison.replayed
