"""The demos as the installed simulator plays them, with what this policy would have seen."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from demo_curriculum.demo import Demo
from demo_curriculum.envs.workers import without_observations
from demo_curriculum.errors import DemoCurriculumError, MismatchError
from demo_curriculum.simulators import Simulator
from demo_curriculum.simulators.playback import replay_demo
from demo_curriculum.training.ranks import Ranks

# Of the demos as they are held in memory: 8 kB each for Atari, and a start is never far from one.
SNAPSHOT_EVERY = 20


def replay_demos(
    demos: Sequence[Demo], make_simulator: Callable[[int], Simulator], ranks: Ranks, folder: Path
) -> list[Demo]:
    """Replays ``demos``, which checks them and gives snapshots of the installed simulator's own making; a file's are
    never trusted. All ranks call it together.

    The observations, 375 MB for a demo of 53,000 frames of pixels, are mapped read-only from a file that each machine's
    first rank writes, so that its ranks share one copy of them, which the system drops where memory is short. The file
    loses its name once all have it, so nothing is left behind.

    Args:
        make_simulator: a simulator for the demo of that index, with the observations that the policy sees.
        folder: where the files go; no other ranks may replay into it at the same time.

    Raises:
        MismatchError: a demo does not replay.
        DemoCurriculumError: the game ended before a demo did, or a file cannot be written.
    """
    # Machines may share the folder.
    paths = [folder / f".observations-{socket.gethostname()}-{index}.npy" for index in range(len(demos))]

    def replay() -> list[Demo]:
        return [_replay(index, demo, make_simulator(index), paths[index]) for index, demo in enumerate(demos)]

    try:
        light = ranks.from_first(replay)
        problem = None
        if ranks.first_here and not ranks.first:
            try:
                replay()
            except DemoCurriculumError as error:
                problem = error
        for found in filter(None, ranks.gather(problem)):
            raise found
        mapped = [
            replace(demo, observations=np.load(path, mmap_mode="r")) for demo, path in zip(light, paths, strict=True)
        ]
        ranks.gather(None)
    finally:
        if ranks.first_here:
            for path in paths:
                path.unlink(missing_ok=True)
    return mapped


def seen_at(observations: NDArray[Any], steps: NDArray[np.int64], *, stack: int, frame_skip: int) -> NDArray[Any]:
    """(B, stack, ...): what an agent passing through ``steps`` (B,) of a demo's ``observations`` (T+1, ...) sees."""
    back = np.arange(stack - 1, -1, -1) * frame_skip
    return np.asarray(observations[np.maximum(steps[:, None] - back, 0)])


def _replay(index: int, demo: Demo, simulator: Simulator, path: Path) -> Demo:
    """Replays one demo, its observations into a file."""
    dense = range(SNAPSHOT_EVERY, len(demo), SNAPSHOT_EVERY)
    comparison = replay_demo(simulator, demo, snapshot_steps=dense, allocate=partial(_allocate, path))
    if comparison.rewards:
        raise MismatchError(
            f"demo {index} does not replay on the installed simulator: its reward at step "
            f"{comparison.rewards[0]} differs ({len(comparison.rewards)} in all); see `demo-curriculum verify`"
        )
    return without_observations(comparison.replayed)


def _allocate(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """An array in a file."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        array: NDArray[Any] = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
        if hasattr(os, "posix_fallocate"):
            # Else a disk that fills up would end the process instead of being an error.
            with path.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    except OSError as error:
        raise DemoCurriculumError(f"{path.parent}: no place for a demo's observations: {error.strerror}") from error
    return array


def batches_of(demos: Sequence[Demo], size: int) -> Iterator[Tensor]:
    """The demos' observations, ``size`` at a time."""
    for demo in demos:
        for first in range(0, len(demo.observations), size):
            yield torch.from_numpy(np.array(demo.observations[first : first + size]))
