"""Entries of an observation that nothing on the screen depends on.

Most bytes of a machine's memory are scratch: pointers of the sound, of what was drawn last, random numbers, flags of
other rooms. Along one demo each of their values belongs to one moment, so a policy that sees them learns to recognise
the moment by them, and is lost where they are others, after a lost life for instance, though all that can be seen is
the same. Whether a byte matters cannot be told from a demo. It can be from a simulator: overwrite it and look.

Others matter in some places alone. That an enemy is gone shows in its room and nowhere else, but the byte that says so
is another for the rest of the game.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeGuard, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from demo_curriculum.demo import Demo
from demo_curriculum.simulators.playback import begin_at
from demo_curriculum.simulators.protocol import Simulator

PLACES, APART = 64, 8
"""Moments of the demos that are looked at, at most, and demo steps between two at least."""
FEWEST, NEAR = 4, 30
"""Moments of a stretch that are looked at, at least, and demo steps between two at most."""
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
    if not _can_be_tried(simulator):
        return inert
    inert[:] = True
    rng = np.random.default_rng(0)
    known = _known(demos)
    for demo in demos:
        # Not the first steps: a game that was just reset has nothing to restore.
        apart = max(sum(map(len, demos)) // PLACES, APART)
        for step in range(min(apart, len(demo) - 1), len(demo), apart):
            begin_at(simulator, demo, step)
            values = np.array([_another(known[entry], value, rng) for entry, value in enumerate(simulator.observe())])
            inert[_seen(simulator, demo.actions[step : step + WATCHED], values, np.flatnonzero(inert))] = False
    return inert


class Stretch(NamedTuple):
    """The steps of demo number ``demo`` from ``begin`` to ``end``."""

    demo: int
    begin: int
    end: int


def find_relevant(
    simulator: Simulator, demos: Sequence[Demo], stretches: Sequence[Stretch], entries: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Which of ``entries`` (S,) matter in each of the stretches: bool (stretches, S).

    As ``find_inert`` does, but at moments of the stretch alone, and twice: also with all bits turned round, since what
    was the same all along a demo, such as that an enemy lives, is not when it is played.

    All, where ``find_inert`` finds none. Arguments are as its, too.
    """
    relevant = np.ones((len(stretches), len(entries)), np.bool_)
    if not _can_be_tried(simulator):
        return relevant
    relevant[:] = False
    rng = np.random.default_rng(0)
    known = _known(demos)
    for found, (index, begin, end) in zip(relevant, stretches, strict=True):
        demo = demos[index]
        # As much as is watched, where there is so much; and not the first steps, as above.
        begin = max(min(begin, end - WATCHED), min(APART, end - 1))
        moments = np.linspace(begin, end, max(-(-(end - begin) // NEAR), FEWEST), endpoint=False, dtype=np.int64)
        for step in np.unique(moments).tolist():
            begin_at(simulator, demo, step)
            now = simulator.observe()
            others = np.array([_another(known[entry], value, rng) for entry, value in enumerate(now)])
            for values in (others, 255 - now.astype(np.int64)):
                begin_at(simulator, demo, step)
                matter = _seen(simulator, demo.actions[step : step + WATCHED], values, entries[~found])
                found |= np.isin(entries, matter)
    return relevant


def _can_be_tried(simulator: Simulator) -> TypeGuard[Pokable]:
    vector = len(simulator.observation_shape) == 1 and simulator.observation_dtype == np.uint8
    return vector and isinstance(simulator, Pokable)


def _known(demos: Sequence[Demo]) -> list[NDArray[np.uint8]]:
    """The values that each entry has anywhere in the demos."""
    entries = range(demos[0].observations.shape[1])
    return [np.unique(np.concatenate([demo.observations[:, entry] for demo in demos])) for entry in entries]


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
