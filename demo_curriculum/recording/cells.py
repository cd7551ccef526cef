"""Cell functions: which situations of a game the search for a demo takes as one (Ecoffet et al. 2021, Go-Explore).

Too fine, and the archive drowns in cells; too coarse, and the first step of the way hides the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Literal

import numpy as np

from demo_curriculum.simulators import Simulator

Cell = Callable[[Simulator], Hashable]

# RAM addresses found by comparing the RAM along a human demo; room, x, y and inventory are also those of AtariARI
# (Anand et al. 2019). OBJECTS holds a bit for each key, door and jewel that is still in the room.
MONTEZUMA_ROOM, MONTEZUMA_X, MONTEZUMA_Y, MONTEZUMA_INVENTORY, MONTEZUMA_OBJECTS = 3, 42, 43, 65, 66
MONTEZUMA_BIN = 8

SCREEN_ROWS, SCREEN_COLUMNS, SCREEN_LEVELS = 14, 10, 8


def montezuma_cell(simulator: Simulator) -> Hashable:
    """Room, inventory, what is left in the room, and the place within it in squares of 8x8 RAM units."""
    ram = simulator.observe().tolist()
    return (
        ram[MONTEZUMA_ROOM],
        ram[MONTEZUMA_INVENTORY],
        ram[MONTEZUMA_OBJECTS],
        ram[MONTEZUMA_X] // MONTEZUMA_BIN,
        ram[MONTEZUMA_Y] // MONTEZUMA_BIN,
    )


def screen_cell(simulator: Simulator) -> Hashable:
    """The screen in 14x10 patches of 8 grey levels: the cell of Go-Explore without domain knowledge.

    For any simulator that draws; a picture of fewer rows or columns keeps those it has.
    """
    grey = simulator.render().mean(axis=2)
    count = (min(SCREEN_ROWS, grey.shape[0]), min(SCREEN_COLUMNS, grey.shape[1]))
    rows, columns = grey.shape[0] // count[0], grey.shape[1] // count[1]
    patches = grey[: rows * count[0], : columns * count[1]].reshape(count[0], rows, count[1], columns)
    levels: bytes = (patches.mean(axis=(1, 3)) * SCREEN_LEVELS / 256).astype(np.uint8).tobytes()
    return levels


def observation_cell(simulator: Simulator) -> Hashable:
    """The observation itself, to one decimal."""
    rounded: bytes = simulator.observe().round(1).tobytes()
    return rounded


CELLS: dict[str, Cell] = {"ALE/MontezumaRevenge-v5": montezuma_cell}


CellName = Literal["game", "screen", "observation"]


def cell_of(env_id: str, name: CellName = "game") -> Cell:
    """The generic cell function ``name``; for ``game`` the game's own, or else the screen for Atari games and the
    observation elsewhere.
    """
    if name != "game":
        return {"screen": screen_cell, "observation": observation_cell}[name]
    return CELLS.get(env_id, screen_cell if env_id.startswith("ALE/") else observation_cell)
