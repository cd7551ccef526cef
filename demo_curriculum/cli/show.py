"""``demo-curriculum show``: what is in a demo file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

if TYPE_CHECKING:
    from demo_curriculum.store import DemoSummary

MOST_REWARDS = 40


def main(file: Annotated[Path, tyro.conf.Positional], *, json: bool = False) -> None:
    """Shows the demos of a file: game, length, score, where the rewards are and how it was made.

    Args:
        file: a demo file.
        json: print one JSON document instead, with every reward.
    """
    from json import dumps

    from demo_curriculum.store import summarise

    summaries = summarise(file)
    if json:
        print(dumps({"file": str(file), "demos": [_record(summary) for summary in summaries]}, indent=2))
        return
    _print_tables(file, summaries)


def _record(summary: DemoSummary) -> dict[str, Any]:
    from dataclasses import asdict

    simulator = asdict(summary.simulator)
    rewards = [{"step": step, "points": points} for step, points in summary.rewards]
    return asdict(summary) | {"simulator": simulator, "rewards": rewards}


def _print_tables(file: Path, summaries: list[DemoSummary]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    simulator = summaries[0].simulator
    versions = ", ".join(f"{name} {version}" for name, version in simulator.versions.items())
    rom = f", ROM {simulator.rom_md5}" if simulator.rom_md5 else ""
    console.print(
        Text(f"{file}: {simulator.env_id} on {simulator.adapter} ({versions or 'no version'}){rom}"), soft_wrap=True
    )
    for summary in summaries:
        table = Table("", "", show_header=False, box=None, pad_edge=False)
        rewards = [f"{step}:{points:+g}" for step, points in summary.rewards]
        if len(rewards) > MOST_REWARDS:
            rewards = [*rewards[: MOST_REWARDS - 1], f"… ({len(rewards)} in all)", rewards[-1]]
        rows = {
            "steps": f"{summary.steps:,}" + (", to the game's own end" if summary.complete else ""),
            "score": f"{summary.score:,g}",
            "snapshots": f"{summary.snapshots:,}",
            "begins": f"{summary.offset} steps after the reset" if summary.offset else "at the reset",
            "origin": summary.origin,
            "rewards": "  ".join(rewards) or "none",
            "note": summary.note,
        }
        for name, value in rows.items():
            if value:
                table.add_row(Text(name), Text(value))
        console.print()
        console.print(Text(summary.id))
        console.print(table)
