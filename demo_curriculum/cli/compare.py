"""``demo-curriculum compare``: runs on the same demo, side by side."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import tyro

from demo_curriculum.errors import UsageError


def main(
    run_dirs: tyro.conf.Positional[tuple[Path, ...]],
    *,
    png: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None,
    html: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None,
    json_: Annotated[bool, tyro.conf.arg(name="json")] = False,
) -> None:
    """Compare how many agent steps runs needed back to each reward of the demo; runs alike but for the seed are one.

    Args:
        run_dirs: run directories of trainings on the same demo.
        png: a picture, into this file.
        html: picture and table as a page that needs no network, into this file.
        json_: print one JSON document and nothing else.
    """
    if not run_dirs:
        raise UsageError("compare takes the run directories of trainings on the same demo")

    from demo_curriculum.progress.comparison import compare_runs, comparison_page, describe, draw_comparison
    from demo_curriculum.progress.log import write_atomically
    from demo_curriculum.progress.story import read_climb

    def warn(text: str) -> None:
        print(f"warning: {text}", file=sys.stderr)

    comparison = compare_runs([(folder.resolve().name, read_climb(folder, warn)) for folder in run_dirs])
    for path, draw in ((png, draw_comparison), (html, lambda compared: comparison_page(compared).encode())):
        if path is not None:
            write_atomically(path, draw(comparison))
            print(f"wrote {path}", file=sys.stderr)
    document = comparison.to_json()
    if json_:
        print(json.dumps(document))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title="agent steps to each reward: IQM over seeds (95 % interval), how many came there")
    table.add_column("reward")
    table.add_column("demo step", justify="right")
    for group in document["groups"]:
        table.add_column(group["label"] or group["name"], justify="right")
    for index, goal in enumerate(document["goals"]):
        figures = [describe(group["goals"][index], group["seeds"]) for group in document["groups"]]
        table.add_row(goal["name"], f"{goal['step']:,}", *figures)
    Console().print(table)
