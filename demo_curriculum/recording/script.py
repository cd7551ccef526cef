"""Demos from a list of actions: NPY, NPZ, CSV or JSON."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from demo_curriculum.demo import Demo
from demo_curriculum.errors import DemoCurriculumError, UsageError
from demo_curriculum.simulators import Simulator
from demo_curriculum.simulators.playback import play_demo
from demo_curriculum.store import Recording, StoreError, read_npy, read_npz
from demo_curriculum.store.files import check_regular_file

MAX_FILE_BYTES = 64 << 20
MAX_STEPS = 4_000_000


def read_actions(path: Path, meanings: Sequence[str]) -> list[int]:
    """The actions of a file, one a demo step.

    - ``.npy``: a row of whole numbers; ``.npz``: its array ``actions``;
    - ``.csv``: an action a line, and behind it, if wanted, for how many steps; a first line of other words is a head;
    - ``.json``: a list whose items are actions or pairs of an action and a number of steps.

    In CSV and JSON an action is its number or its name, one of ``meanings``.

    Raises:
        StoreError: the file cannot be read as such a list.
        UsageError: its name ends in none of the four ways.
    """
    check_regular_file(path, max_bytes=MAX_FILE_BYTES)
    names = {name: number for number, name in enumerate(meanings)}
    try:
        match path.suffix:
            case ".npy":
                rows: list[Any] = read_npy(path).tolist()
            case ".npz":
                found = read_npz(path)
                if len(found) != 1 or not isinstance(found[0], Recording):
                    raise StoreError(f"{path}: is no single list of actions; import reads what export wrote")
                rows = found[0].actions.tolist()
            case ".csv":
                with path.open(newline="", encoding="utf-8") as file:
                    rows = [[cell.strip() for cell in row] for row in csv.reader(file) if row]
                if rows and not rows[0][0].isdigit() and rows[0][0] not in names:
                    del rows[0]
            case ".json":
                rows = json.loads(path.read_text(encoding="utf-8"))
            case suffix:
                raise UsageError(
                    f"{path}: actions come as .npy, .npz, .csv or .json, not {suffix or 'without a suffix'}"
                )
    except (ValueError, csv.Error, RecursionError, OSError) as error:
        raise StoreError(f"{path}: cannot be read: {error}") from error
    if not isinstance(rows, list) or not rows:
        raise StoreError(f"{path}: is not a list of actions")
    actions: list[int] = []
    for number, row in enumerate(rows):
        actions += _expand(path, number, row, names)
        if len(actions) > MAX_STEPS:
            raise StoreError(f"{path}: holds more than {MAX_STEPS:,} steps")
    return actions


def _expand(path: Path, number: int, row: Any, names: dict[str, int]) -> list[int]:
    action, *times = row if isinstance(row, list) and row else [row]
    action = names.get(action, action) if isinstance(action, str) else action
    try:
        if len(times) > 1 or any(isinstance(value, float | bool | type(None)) for value in (action, *times)):
            raise ValueError
        count = int(times[0]) if times and times[0] != "" else 1
        action = int(action)
    except (ValueError, TypeError) as error:
        known = ", ".join(names)
        raise StoreError(
            f"{path}: item {number} is {str(row)[:40]!r}, neither a number nor one of {known}, with or without a "
            "number of steps"
        ) from error
    if not 0 <= action < len(names) or not 0 <= count <= MAX_STEPS:
        raise StoreError(
            f"{path}: item {number} is {str(row)[:40]!r}; actions are 0..{len(names) - 1}, steps 0 or more"
        )
    return [action] * count


def record_script(simulator: Simulator, path: Path, *, on_step: Callable[[int, int], None] | None = None) -> Demo:
    """Plays the actions of a file from the game's own reset.

    Raises:
        StoreError: as ``read_actions``.
        DemoCurriculumError: the game ends before the actions do.
    """
    actions = read_actions(path, simulator.action_meanings)
    try:
        return play_demo(
            simulator,
            actions,
            origin="script",
            note=f"actions of {path.name}",
            on_step=None if on_step is None else lambda step: on_step(step + 1, len(actions)),
        )
    except DemoCurriculumError as error:
        raise DemoCurriculumError(f"{path}: {error}") from error
