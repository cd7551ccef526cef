"""What keeping demos costs: sizes and latencies, for the benchmarks."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from demo_curriculum.demo import Demo
from demo_curriculum.store import schema
from demo_curriculum.store.npz import write_npz
from demo_curriculum.store.reader import read_demos, read_start, summarise

STARTS = 200


@dataclass(frozen=True)
class StoreFigures:
    """Of one demo file.

    Attributes:
        steps: demo steps in it.
        snapshots: how many.
        bytes_per_1000_steps: of the file.
        plain_bytes_per_1000_steps: of its arrays without snapshots and compression, as Minari's collector writes them.
        npz_bytes_per_1000_steps: of its NPZ export.
        minari_bytes_per_1000_steps: of the data set that Minari itself makes of it; None where it is not installed.
        open_ms: opening and checking the file, reading what ``show`` shows.
        load_ms: reading all of it.
        start_ms: median over random demo steps: opening, and reading the snapshot before and the actions up to it.
        slowest_start_ms: the slowest of them.
    """

    steps: int
    snapshots: int
    bytes_per_1000_steps: float
    plain_bytes_per_1000_steps: float
    npz_bytes_per_1000_steps: float
    minari_bytes_per_1000_steps: float | None
    open_ms: float
    load_ms: float
    start_ms: float
    slowest_start_ms: float


def measure_store(path: Path | str, *, rng: np.random.Generator) -> StoreFigures:
    """Measures a demo file and an export of it, made in a temporary folder.

    Raises:
        StoreError: the file cannot be read.
    """
    path = Path(path)
    demos = read_demos(path)
    steps = sum(len(demo) for demo in demos)
    begins = rng.integers(len(demos[0]), size=STARTS).tolist()
    starts = [_milliseconds(partial(read_start, path, step)) for step in begins]
    with TemporaryDirectory() as folder:
        npz = Path(folder) / "a.npz"
        write_npz(npz, demos)
        npz_bytes = npz.stat().st_size
    minari_bytes = _minari_bytes(demos)
    columns = (*schema.EPISODE_COLUMNS, *schema.INFO_COLUMNS)
    plain = sum(getattr(demo, column).nbytes for demo in demos for column in columns)
    return StoreFigures(
        steps=steps,
        snapshots=sum(len(demo.snapshots) for demo in demos),
        bytes_per_1000_steps=1000 * path.stat().st_size / steps,
        plain_bytes_per_1000_steps=1000 * plain / steps,
        npz_bytes_per_1000_steps=1000 * npz_bytes / steps,
        minari_bytes_per_1000_steps=None if minari_bytes is None else 1000 * minari_bytes / steps,
        open_ms=float(np.median([_milliseconds(lambda: summarise(path)) for _ in range(20)])),
        load_ms=float(np.median([_milliseconds(lambda: read_demos(path)) for _ in range(3)])),
        start_ms=float(np.median(starts)),
        slowest_start_ms=max(starts),
    )


def _minari_bytes(demos: Sequence[Demo]) -> int | None:
    with TemporaryDirectory() as folder:
        # It looks there as it loads.
        os.environ["MINARI_DATASETS_PATH"] = folder
        try:
            import gymnasium
            import minari
            from minari.data_collector import EpisodeBuffer
        except ImportError:
            return None
        buffers = [
            EpisodeBuffer(
                id=index,
                observations=list(demo.observations),
                actions=demo.actions.tolist(),
                rewards=demo.rewards.tolist(),
                terminations=demo.terminations.tolist(),
                truncations=demo.truncations.tolist(),
                infos={"lives": demo.lives},
            )
            for index, demo in enumerate(demos)
        ]
        shape, dtype = demos[0].observations.shape[1:], demos[0].observations.dtype
        low, high = (0, 255) if dtype == np.uint8 else (-np.inf, np.inf)
        with warnings.catch_warnings():
            # That the data set names no author.
            warnings.simplefilter("ignore")
            minari.create_dataset_from_buffers(
                "measured-v0",
                buffers,
                observation_space=gymnasium.spaces.Box(low, high, shape, dtype.type),
                action_space=gymnasium.spaces.Discrete(max(int(demo.actions.max()) for demo in demos) + 1),
            )
        return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())


def _milliseconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - begun)
