#!/usr/bin/env python
"""What keeping a demo costs: its size in this and other formats, and how fast one gets at it.

    python tools/store_figures.py D.h5 [--pickle D.demo]

Minari's figures (pip install minari) are of its own writer, given what the demo holds without its snapshots.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from demo_curriculum.demo import Demo
from demo_curriculum.store import measure_store, read_demos


def minari_bytes(demo: Demo) -> int:
    """Size of the data set that Minari itself makes of a demo."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MINARI_DATASETS_PATH"] = folder
        import gymnasium
        import minari
        from minari.data_collector import EpisodeBuffer

        warnings.simplefilter("ignore")  # that the data set names no author
        buffer = EpisodeBuffer(
            id=0,
            observations=list(demo.observations),
            actions=demo.actions.tolist(),
            rewards=demo.rewards.tolist(),
            terminations=demo.terminations.tolist(),
            truncations=demo.truncations.tolist(),
            infos={"lives": demo.lives},
        )
        minari.create_dataset_from_buffers(
            "figures-v0",
            [buffer],
            observation_space=gymnasium.spaces.Box(0, 255, demo.observations.shape[1:], demo.observations.dtype),
            action_space=gymnasium.spaces.Discrete(int(demo.actions.max()) + 1),
        )
        return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--pickle", type=Path, help="the recording that the demo was imported from")
    arguments = parser.parse_args()
    figures = measure_store(arguments.file, rng=np.random.default_rng(0))
    print(f"{arguments.file.name}: {figures.steps:,} steps, {figures.snapshots:,} snapshots")
    rows = [
        ("demo file, with snapshots", figures.bytes_per_1000_steps),
        ("NPZ export, with snapshots", figures.npz_bytes_per_1000_steps),
        ("arrays as they are, no snapshots", figures.plain_bytes_per_1000_steps),
    ]
    demos = read_demos(arguments.file)
    try:
        rows.append(("Minari's own file, no snapshots", 1000 * sum(map(minari_bytes, demos)) / figures.steps))
    except ImportError:
        print("Minari is not installed: pip install 'minari[hdf5]'")
    if arguments.pickle is not None:
        rows.append(("the pickle, with snapshots", 1000 * arguments.pickle.stat().st_size / figures.steps))
    for name, size in rows:
        print(f"  {name:34} {size / 1000:8.2f} kB per 1,000 steps")
    for name, milliseconds in (
        ("open and list", figures.open_ms),
        ("fetch any start, median of 200", figures.start_ms),
        ("fetch any start, slowest of 200", figures.slowest_start_ms),
        ("read everything", figures.load_ms),
    ):
        print(f"  {name:34} {milliseconds:8.2f} ms")


if __name__ == "__main__":
    main()
