"""What keeping demos costs: sizes and latencies, for the benchmarks."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

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
    columns = (*schema.EPISODE_COLUMNS, *schema.INFO_COLUMNS)
    plain = sum(getattr(demo, column).nbytes for demo in demos for column in columns)
    return StoreFigures(
        steps=steps,
        snapshots=sum(len(demo.snapshots) for demo in demos),
        bytes_per_1000_steps=1000 * path.stat().st_size / steps,
        plain_bytes_per_1000_steps=1000 * plain / steps,
        npz_bytes_per_1000_steps=1000 * npz_bytes / steps,
        open_ms=float(np.median([_milliseconds(lambda: summarise(path)) for _ in range(20)])),
        load_ms=float(np.median([_milliseconds(lambda: read_demos(path)) for _ in range(3)])),
        start_ms=float(np.median(starts)),
        slowest_start_ms=max(starts),
    )


def _milliseconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - begun)
