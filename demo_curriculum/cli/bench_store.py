"""``bench store``: what keeping a demo costs, in this and in other formats, and how fast one gets at it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import tyro


def main(
    demo: Annotated[Path, tyro.conf.Positional],
    /,
    pickle: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
    json_: Annotated[bool, tyro.conf.arg(name="json")] = False,
) -> None:
    """Measure the size of a demo file next to other formats, and the time to get at what is in it.

    Minari's size (`pip install 'demo-curriculum[bench]'`) is of what its own writer makes of the demos, which holds no
    snapshots.

    Args:
        demo: demo file.
        pickle: the recording that the demo was imported from, to be compared with; only its size is looked at.
        json_: print one JSON document and nothing else.
    """
    import numpy as np

    from demo_curriculum.store import measure_store

    figures = measure_store(demo, rng=np.random.default_rng(0))
    document = dataclasses.asdict(figures)
    document["pickle_bytes_per_1000_steps"] = pickle and 1000 * pickle.stat().st_size / figures.steps
    if json_:
        print(json.dumps(document))
        return
    print(f"{demo}: {figures.steps:,} steps, {figures.snapshots:,} snapshots")
    for name, size in (
        ("demo file, with snapshots", figures.bytes_per_1000_steps),
        ("NPZ, with snapshots", figures.npz_bytes_per_1000_steps),
        ("pickle, with snapshots", document["pickle_bytes_per_1000_steps"]),
        ("Minari, no snapshots", figures.minari_bytes_per_1000_steps),
        ("the bare arrays, no snapshots", figures.plain_bytes_per_1000_steps),
    ):
        if size is not None:
            print(f"  {name:32} {size / 1000:8.2f} kB per 1,000 steps")
    for name, milliseconds in (
        ("open and list", figures.open_ms),
        ("fetch any start, median of 200", figures.start_ms),
        ("fetch any start, slowest of 200", figures.slowest_start_ms),
        ("read everything", figures.load_ms),
    ):
        print(f"  {name:32} {milliseconds:8.2f} ms")
