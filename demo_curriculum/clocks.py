"""Entries of an observation that tell nothing but the time.

A machine's memory has bytes that count frames. Of where an agent is in its game they say nothing, but along a demo each
of their values belongs to one action of the demonstrator, and a policy that sees them can act by the clock: it jumps
when he did and not when the skull comes. But floors go and gates open by the clock, too, and how long a floor that is
there will stay may be told by nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

ALWAYS = 0.99
"""Of a demo's steps in which a clock moves on by the same amount."""
VALUES = 256
"""Of a byte; a clock takes many of them, and as many steps tell it from a thing that flies by."""


def find_clocks(observations: Sequence[NDArray[np.generic]]) -> NDArray[np.bool_]:
    """Which entries (features,) of vectors of bytes change by the same amount, modulo 256, in nearly all steps.

    Of pixels, of anything but bytes and in less than 256 steps, none.

    Args:
        observations: of each demo, all of one shape, (T+1, features): before each step and after the last.
    """
    clocks = np.zeros(observations[0].shape[1:], np.bool_)
    steps = sum(len(seen) - 1 for seen in observations)
    if clocks.ndim != 1 or observations[0].dtype != np.uint8 or steps < VALUES:
        return clocks
    for entry in range(len(clocks)):
        changes = sum(np.bincount(np.diff(np.asarray(seen[:, entry])), minlength=VALUES) for seen in observations)
        clocks[entry] = np.asarray(changes)[1:].max() >= ALWAYS * steps
    return clocks
