"""Entries of an observation that nothing on the screen depends on.

Most bytes of a machine's memory are scratch: pointers of the sound, of what was drawn last, random numbers, flags of
other rooms. Along one demo each of their values belongs to one moment, so a policy that sees them learns to recognise
the moment by them, and is lost where they are others, after a lost life for instance, though all that can be seen is
the same. Whether a byte matters cannot be told from a demo. It can be from a simulator: overwrite it and look.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from demo_curriculum.demo import Demo
from demo_curriculum.simulators.playback import begin_at
from demo_curriculum.simulators.protocol import Simulator

PLACES, APART = 64, 8
"""Moments of the demos that are looked at, at most, and demo steps between two at least."""
WATCHED, GLANCE = 48, 3
"""Demo steps that are watched, and how far apart; not two, in which many sprites flicker."""


@runtime_checkable
class Pokable(Simulator, Protocol):
    """A simulator of which single entries of an observation can be overwritten."""

    def poke(self, entry: int, value: int) -> None:
        """Makes ``entry`` of the observation, a vector of bytes, ``value``; anything may follow from that."""


def find_inert(simulator: Simulator, demos: Sequence[Demo]) -> NDArray[np.bool_]:
    """Which entries (features,) of vectors of bytes can be others without anything being seen of it.

    At moments all over the demos each entry gets a value that it has elsewhere in them, or one more where it never
    changes. It is inert if then at none of them the demonstrator's next actions lead to other pictures, rewards or
    lives. All entries that are not known to matter are overwritten at once, and divided into halves where that can be
    seen. The same demos always give the same.

    Of pixels, of anything but bytes and of a simulator that cannot be poked, none.

    Args:
        demos: with observations as ``simulator`` makes them, and only with snapshots that can be trusted.
    """
    inert = np.zeros(simulator.observation_shape, np.bool_)
    if inert.ndim != 1 or simulator.observation_dtype != np.uint8 or not isinstance(simulator, Pokable):
        return inert
    inert[:] = True
    rng = np.random.default_rng(0)
    known = [np.unique(np.concatenate([demo.observations[:, entry] for demo in demos])) for entry in range(len(inert))]
    for demo in demos:
        # Not the first steps: a game that was just reset has nothing to restore.
        apart = max(sum(map(len, demos)) // PLACES, APART)
        for step in range(min(apart, len(demo) - 1), len(demo), apart):
            begin_at(simulator, demo, step)
            values = np.array([_another(known[entry], value, rng) for entry, value in enumerate(simulator.observe())])
            inert[_seen(simulator, demo.actions[step : step + WATCHED], values, np.flatnonzero(inert))] = False
    return inert


def _another(known: NDArray[np.uint8], value: np.uint8, rng: np.random.Generator) -> int:
    others = known[known != value]
    return int(rng.choice(others)) if len(others) else (int(value) + 1) % 256


def _seen(
    simulator: Pokable, actions: NDArray[np.int64], values: NDArray[np.int64], candidates: NDArray[np.int64]
) -> list[int]:
    """Those of ``candidates`` with whose ``values`` anything else is seen from here on."""
    state = simulator.save()
    glances = [actions[begin : begin + GLANCE].tolist() for begin in range(0, len(actions), GLANCE)]
    # From a restored state, as all that it is compared with.
    simulator.restore(state)
    usual = [_glance(simulator, glance) for glance in glances]

    def matter(entries: NDArray[np.int64]) -> bool:
        simulator.restore(state)
        for entry in entries:
            simulator.poke(int(entry), int(values[entry]))
        return any(_glance(simulator, glance) != before for glance, before in zip(glances, usual, strict=True))

    def divide(entries: NDArray[np.int64]) -> list[int]:
        if not len(entries) or not matter(entries):
            return []
        if len(entries) == 1:
            return [int(entries[0])]
        middle = len(entries) // 2
        return divide(entries[:middle]) + divide(entries[middle:])

    return divide(candidates)


def _glance(simulator: Simulator, actions: Sequence[int]) -> tuple[float, int, bytes]:
    """What ``actions`` lead to: their reward, the lives left, the picture."""
    reward = simulator.play(actions)
    return reward, simulator.lives, simulator.render().tobytes()
