"""``demo-curriculum show``: what is in a demo file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

if TYPE_CHECKING:
    from demo_curriculum.store import DemoSummary

MOST_REWARDS = 40
MOST_LIVES = 12


def main(
    file: Annotated[Path, tyro.conf.Positional],
    *,
    json: bool = False,
    png: Path | None = None,
    id: str = "episode_0",
    overwrite: bool = False,
) -> None:
    """Shows the demos of a file: game, length, score, where the rewards are and how it was made.

    Args:
        file: a demo file.
        json: print one JSON document instead, with every reward, every loss of a life and every snapshot's step.
        png: draw a contact sheet of one demo to this file: frames along it, score, lives and snapshots.
        id: which demo to draw.
        overwrite: replace the picture if there is one.
    """
    from json import dumps

    from demo_curriculum.store import summarise

    if png is not None:
        _draw(file, id, png, overwrite)
    summaries = summarise(file)
    if json:
        print(dumps({"file": str(file), "demos": [_record(summary) for summary in summaries]}, indent=2))
        return
    _print_tables(file, summaries)
    if png is not None:
        print(f"\nwrote {png}: contact sheet of {id}")


def _draw(file: Path, id: str, png: Path, overwrite: bool) -> None:
    from demo_curriculum.cli.bars import step_bar
    from demo_curriculum.recording.sheet import draw_sheet
    from demo_curriculum.simulators import simulator_of
    from demo_curriculum.store import read_demo, refuse_existing, write_file

    if not overwrite:
        refuse_existing(png)
    demo = read_demo(file, id)
    end = ", to the game's own end" if demo.complete else ""
    title = f"{demo.simulator.env_id} · {file.name} {id} · {len(demo):,} steps{end} · {demo.score:,g} points"
    with step_bar(f"playing {id}") as advance:
        picture = draw_sheet(
            simulator_of(demo.simulator), demo, title=title, on_step=lambda step: advance(step + 1, len(demo))
        )
    write_file(png, picture, overwrite=overwrite)


def _record(summary: DemoSummary) -> dict[str, Any]:
    from dataclasses import asdict

    simulator = asdict(summary.simulator)
    rewards = [{"step": step, "points": points} for step, points in summary.rewards]
    lives = [{"step": step, "lives": lives} for step, lives in summary.lives]
    return asdict(summary) | {"simulator": simulator, "rewards": rewards, "lives": lives}


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
            "lives": _lives(summary),
            "snapshots": f"{len(summary.snapshots):,}",
            "begins": f"{summary.offset} steps after the reset" if summary.offset else "at the reset",
            "origin": summary.origin,
            "rewards": "  ".join(rewards) or "none",
            "note": summary.note,
            "fingerprint": summary.fingerprint,
        }
        for name, value in rows.items():
            if value:
                table.add_row(Text(name), Text(value))
        console.print()
        console.print(Text(summary.id))
        console.print(table)


def _lives(summary: DemoSummary) -> str:
    """``6, then 5 at step 13,719``; empty where the game has none."""
    (_, first), *changes = summary.lives
    if not changes and not first:
        return ""
    words = [f"{lives} at step {step:,}" for step, lives in changes]
    if len(words) > MOST_LIVES:
        words = [*words[: MOST_LIVES - 1], f"… ({len(words)} changes in all)", words[-1]]
    return ", then ".join([str(first), *words])
