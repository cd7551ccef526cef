"""Moments of a demo at which its scene changes for good, so that what an agent sees tells when it comes there.

Rewards are what a demo is cut at; where there is none for long, it is these. A room that is entered is one: most of
what is drawn there, or of what the game remembers of it, becomes another and stays.

Where the demo goes back to what it saw before, and got nothing for it, it might as well have stayed: nothing to be seen
tells who was there from who was not, and a policy that neither remembers it nor is told goes there again and again.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.generic]

STILL = 32
"""Demo steps for which what a scene is made of does not change, before it and after."""
BLEND = 4
"""Demo steps that the change takes at most."""
LEAST_SHARE = 1 / 12
"""Of an observation's entries that change. A room of Montezuma's Revenge is 10 to 20 bytes of 128, and what a sprite is
drawn from, which is still too while it walks, up to 10."""
ALIKE = 0.8
"""Of a scene's entries that have to be seen: not all are the same each time, such as an enemy's that waits or not."""
BEFORE, LOOKED_BACK = 400, 2000
"""Demo steps before a landmark in which the demo itself must not see its scene, and in which it is looked for."""
BACK, LOOKED_AHEAD = 0.75, 2000
"""Of the entries that change those that are as before where the demo has gone back, and demo steps after a landmark in
which that is looked for."""
ENTRIES_AT_ONCE = 256


class Landmark(NamedTuple):
    """A demo step, and what is seen from there on: ``values`` (K,) at ``entries`` (K,) of a flattened observation.

    Attributes:
        news: demo steps before it, as far as is looked back, in which the demo does not see its scene: who sees it then
            is as far as the demo comes only later.
    """

    step: int
    entries: NDArray[np.int64]
    values: Values
    news: int

    def seen(self, observation: Values) -> bool:
        """Whether ``observation``, of the demo's shape, shows this scene."""
        alike = np.count_nonzero(observation.reshape(-1)[self.entries] == self.values)
        return bool(alike / len(self.values) >= ALIKE)


def find_landmarks(
    observations: Values,
    rewards: NDArray[np.float64],
    *,
    seen: NDArray[np.int64] | None = None,
    told: bool = False,
) -> list[Landmark]:
    """The landmarks of a demo, by step.

    Args:
        observations: (T+1, ...), before each step and after the last; of a mapped array only a part at a time is read.
        rewards: (T,), of which those above 0 are what a demo goes somewhere for.
        seen: of a flattened observation the entries that are looked at; None for all. What an agent does not see may be
            others for it.
        told: whether an agent is told which landmarks lie behind. If not, those that the demo goes back from are none.
    """
    steps = len(observations)
    flat = observations.reshape(steps, -1)
    if seen is not None:
        flat = flat[:, seen]
    # A landmark at t is compared from t - BLEND - STILL to t + STILL.
    first, last = BLEND + STILL, steps - 1 - STILL
    if last < first or not flat.shape[1]:
        return []
    changes = np.zeros(last - first + 1, np.int64)
    for begin in range(0, flat.shape[1], ENTRIES_AT_ONCE):
        changes += _changed(np.asarray(flat[:, begin : begin + ENTRIES_AT_ONCE]), first, last).sum(axis=1)
    landmarks = []
    least = max(LEAST_SHARE * flat.shape[1], 2)
    for place in np.flatnonzero(changes >= least).tolist():
        around = changes[max(place - STILL, 0) : place + STILL + 1]
        # Of equals the first.
        if changes[place] < around.max() or changes[max(place - STILL, 0) : place].max(initial=0) == changes[place]:
            continue
        step = first + place
        lately = np.asarray(flat[step - first : step + STILL + 1])
        entries = np.flatnonzero(_changed(lately, first, first)[0])
        values = np.asarray(flat[step, entries])
        earlier = flat[max(step - LOOKED_BACK, 0) : step - BLEND][:, entries]
        sights = np.flatnonzero((earlier == values).mean(axis=1) >= ALIKE)
        news = min(step, LOOKED_BACK) - (int(sights[-1]) + 1 if len(sights) else 0)
        if news >= min(step, BEFORE) and (told or not _goes_back(flat, rewards, step, entries)):
            landmarks.append(Landmark(step, entries if seen is None else seen[entries], values, news))
    return landmarks


def _goes_back(flat: Values, rewards: NDArray[np.float64], step: int, entries: NDArray[np.int64]) -> bool:
    """Whether ``entries`` become again what they were before ``step``, and no reward comes earlier."""
    gains = np.flatnonzero(rewards[step : step + LOOKED_AHEAD] > 0)
    end = step + (int(gains[0]) if len(gains) else LOOKED_AHEAD)
    later = flat[step : end + 1][:, entries]
    return bool(((later == flat[step - BLEND, entries]).mean(axis=1) >= BACK).any())


def _changed(values: Values, first: int, last: int) -> NDArray[np.bool_]:
    """bool (last - first + 1, K): which of ``values`` (T+1, K) become others around each step and are still else."""
    moved = np.zeros(values.shape, np.int32)
    moved[1:] = np.where(values[1:] != values[:-1], np.arange(1, len(values), dtype=np.int32)[:, None], 0)
    latest = np.maximum.accumulate(moved, axis=0)
    steps = np.arange(first, last + 1)
    still_before = latest[steps - BLEND] <= (steps - BLEND - STILL)[:, None]
    still_after = latest[steps + STILL] <= steps[:, None]
    return np.asarray(still_before & still_after & (values[steps - BLEND] != values[steps]))
