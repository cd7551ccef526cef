"""Cutting a demo into sub-demos that can be restored on their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from demo_curriculum.demo import Demo
from demo_curriculum.errors import MismatchError
from demo_curriculum.simulators import Simulator
from demo_curriculum.simulators.playback import replay_demo


def reward_cuts(demo: Demo) -> list[int]:
    """Right behind every reward other than 0."""
    return [int(step) + 1 for step in np.flatnonzero(demo.rewards)]


def life_cuts(demo: Demo) -> list[int]:
    """Right behind every step in which a life was lost."""
    return [int(step) + 1 for step in np.flatnonzero(np.diff(demo.lives) < 0)]


def step_cuts(demo: Demo, every: int) -> list[int]:
    return list(range(every, len(demo), every))


def split_demo(
    simulator: Simulator,
    demo: Demo,
    cuts: Sequence[int],
    *,
    at_least: int = 1,
    on_step: Callable[[int], None] | None = None,
) -> list[Demo]:
    """The demo's segments between ``cuts``, each with snapshots of its own from which it can be restored.

    The demo is replayed for that, since a cut is seldom where it has a snapshot.

    Args:
        at_least: steps of a segment; a cut that would make a shorter one is left out.
        on_step: called with each demo step replayed.

    Raises:
        MismatchError: the simulator does not play the demo as it was recorded.
    """
    kept = [0]
    for cut in sorted(set(cuts)):
        if cut - kept[-1] >= at_least and len(demo) - cut >= at_least:
            kept.append(cut)
    comparison = replay_demo(simulator, demo, snapshot_steps=kept[1:], on_step=on_step)
    if not comparison.matched:
        steps = comparison.rewards or comparison.snapshots
        raise MismatchError(f"the installed simulator plays the demo otherwise, first at step {steps[0]}")
    return [comparison.replayed.segment(begin, end) for begin, end in zip(kept, [*kept[1:], len(demo)], strict=True)]
