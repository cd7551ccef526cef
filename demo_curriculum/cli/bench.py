"""``bench``: how fast this machine trains, layer by layer, and next to other libraries."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import tyro

FILE_WIDTH = 140


def main(
    demo: Annotated[Path, tyro.conf.Positional],
    /,
    only: tuple[str, ...] = (),
    envs: int = 32,
    rounds: int = 3,
    json_: Annotated[bool, tyro.conf.arg(name="json")] = False,
) -> None:
    """Measure the speed of simulators, networks, training, demo files and the curriculum.

    All rows take turns, so that a noisy machine is noisy for all of them; a row's ratio is the median of its ratios to
    another row in the same turn. `pip install 'demo-curriculum[bench]'` adds the libraries that it compares with. Takes
    about a quarter of an hour; with --only, as long as those rows take.

    Args:
        demo: demo file; its first demo is trained on, from the end, and read and written.
        only: names of rows, as in the table; the rows that they are compared with come along.
        envs: simulators in the vector environments.
        rounds: turns of each; the median counts.
        json_: print one JSON document and nothing else.
    """
    from rich.console import Console
    from rich.table import Table

    from demo_curriculum.training.benchmark import benchmark

    console = Console(stderr=True)
    with console.status("") as status:
        results = benchmark(demo, only=only, envs=envs, rounds=rounds, on_turn=status.update)
    if json_:
        print(json.dumps({"envs": envs, "rounds": rounds, "results": [result._asdict() for result in results]}))
        return
    table = Table(title=f"{envs} simulators, one thread a process, median of {rounds}")
    table.add_column("name", no_wrap=True)
    table.add_column("a second", justify="right", no_wrap=True)
    table.add_column("ratio")
    table.add_column("what")
    for result in results:
        if result.rate is None:
            table.add_row(result.name, "–", "", f"{result.what}; skipped: {result.skipped}")
            continue
        rate = f"{result.rate:,.0f}" if result.rate >= 10 else f"{result.rate:,.2f}"
        ratio = "" if result.ratio is None else f"{result.ratio:.2f} × {result.reference}"
        table.add_row(result.name, rate, ratio, f"{result.unit}: {result.what}")
    # A file has room.
    Console(width=None if sys.stdout.isatty() else FILE_WIDTH).print(table)
