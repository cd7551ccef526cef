"""Cell functions: which situations of a game the search for a demo takes as one (Ecoffet et al. 2021, Go-Explore).

Too fine, and the archive drowns in cells; too coarse, and the first step of the way hides the next one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from demo_curriculum.simulators import Simulator

Cell = Callable[[Simulator], bytes]

# RAM addresses found by comparing the RAM along human demos and along walks of our own; those of Montezuma's room,
# place and inventory are also those of AtariARI (Anand et al. 2019).
MONTEZUMA_ROOM, MONTEZUMA_X, MONTEZUMA_Y, MONTEZUMA_INVENTORY, MONTEZUMA_OBJECTS = 3, 42, 43, 65, 66
MONTEZUMA_BIN = 8
# The item held, the thefts solved (bits), the cases closed.
PRIVATE_EYE_ROOM, PRIVATE_EYE_X, PRIVATE_EYE_Y = 92, 63, 86
PRIVATE_EYE_ITEM, PRIVATE_EYE_SOLVED, PRIVATE_EYE_CASES = 60, 72, 93
# The screen's number in the order of the game's shift register, and the treasures that are left.
PITFALL_SCREEN, PITFALL_X, PITFALL_Y, PITFALL_TREASURES = 1, 97, 105, 113
WIDE_BIN = 16

SCREEN_ROWS, SCREEN_COLUMNS, SCREEN_LEVELS = 14, 10, 8


def montezuma_cell(simulator: Simulator) -> bytes:
    """Room, inventory, what is left in the room (a bit for each key, door and jewel), and the place within it in
    squares of 8x8 RAM units.
    """
    ram = simulator.observe().tolist()
    return bytes(
        (
            ram[MONTEZUMA_ROOM],
            ram[MONTEZUMA_INVENTORY],
            ram[MONTEZUMA_OBJECTS],
            ram[MONTEZUMA_X] // MONTEZUMA_BIN,
            ram[MONTEZUMA_Y] // MONTEZUMA_BIN,
        )
    )


def private_eye_cell(simulator: Simulator) -> bytes:
    """Block of the town, item held, what is solved, and the place within the block in squares of 16x16 RAM units."""
    ram = simulator.observe().tolist()
    return bytes(
        (
            ram[PRIVATE_EYE_ROOM],
            ram[PRIVATE_EYE_ITEM],
            ram[PRIVATE_EYE_SOLVED],
            ram[PRIVATE_EYE_CASES],
            ram[PRIVATE_EYE_X] // WIDE_BIN,
            ram[PRIVATE_EYE_Y] // WIDE_BIN,
        )
    )


def pitfall_cell(simulator: Simulator) -> bytes:
    """Screen of the jungle, treasures left, and the place on the screen in squares of 16x16 RAM units."""
    ram = simulator.observe().tolist()
    return bytes((ram[PITFALL_SCREEN], ram[PITFALL_TREASURES], ram[PITFALL_X] // WIDE_BIN, ram[PITFALL_Y] // WIDE_BIN))


def screen_cell(simulator: Simulator) -> bytes:
    """The screen in 14x10 patches of 8 grey levels: the cell of Go-Explore without domain knowledge.

    For any simulator that draws; a picture of fewer rows or columns keeps those it has.
    """
    picture = simulator.render()
    height, width, colours = picture.shape
    rows, columns = _patches(height, SCREEN_ROWS), _patches(width, SCREEN_COLUMNS).repeat(colours, axis=1)
    # As products of matrices, many times as fast as means over axes. Sums below 2**24 are exact in float32.
    sums = (rows @ (picture.reshape(height, width * colours).astype(np.float32) @ columns.T)).astype(np.int64)
    pixels = int(rows[0].sum() * columns[0].sum())
    levels: bytes = (sums * SCREEN_LEVELS // (256 * pixels)).astype(np.uint8).tobytes()
    return levels


@lru_cache(maxsize=16)
def _patches(size: int, count: int) -> NDArray[np.float32]:
    """(patches, size): 1 where a pixel lies in a patch; what is left over behind the last patch is in none."""
    count = min(count, size)
    inside: NDArray[np.bool_] = np.arange(count)[:, None] == np.arange(size) // (size // count)
    return inside.astype(np.float32)


def observation_cell(simulator: Simulator) -> bytes:
    """The observation itself, to one decimal."""
    rounded: bytes = simulator.observe().round(1).tobytes()
    return rounded


CELLS: dict[str, Cell] = {
    "ALE/MontezumaRevenge-v5": montezuma_cell,
    "ALE/PrivateEye-v5": private_eye_cell,
    "ALE/Pitfall-v5": pitfall_cell,
}


CellName = Literal["game", "screen", "observation"]


def cell_of(env_id: str, name: CellName = "game") -> Cell:
    """The generic cell function ``name``; for ``game`` the game's own, or else the screen for Atari games and the
    observation elsewhere.
    """
    if name != "game":
        return {"screen": screen_cell, "observation": observation_cell}[name]
    return CELLS.get(env_id, screen_cell if env_id.startswith("ALE/") else observation_cell)
