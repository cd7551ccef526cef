"""``bench learn``: what a demo, a curriculum and each part of ours are worth, at the same number of agent steps."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import tyro

from demo_curriculum.training.config import TrainConfig

WIDTH = 200


def main(
    demo: Annotated[Path, tyro.conf.Positional],
    /,
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])],
    agent_steps: int,
    config: tyro.conf.OmitArgPrefixes[TrainConfig],
    seeds: int = 3,
    only: tuple[str, ...] = (),
    episodes: int = 100,
    jobs: int | None = None,
    png: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None,
    json_: Annotated[bool, tyro.conf.arg(name="json")] = False,
) -> None:
    """Train in many ways from one demo, for the same number of agent steps each, and compare the play from the reset.

    PPO without the demo, with and without RND; behaviour cloning; the control and the published rules as published,
    without RND and imitation; ours; and ours without each of its parts. Every training is a run directory in --output,
    for `eval`, `replay` and `compare`; the same command goes on with what is not finished.

    Args:
        demo: demo file; all demos in it are trained on, the first is judged.
        output: folder of the run directories.
        agent_steps: of each training. Cloning takes none to learn: for it they stand for as many gradient steps.
        config: settings of all trainings, but for what the variants are about; --seed is the first seed.
        seeds: trainings of each variant.
        only: names of variants, as in the table.
        episodes: from the game's own reset for each protocol, sticky and deterministic.
        jobs: trainings at once, one process each; by default as many as there are cores.
        png: a picture, into this file.
        json_: print one JSON document and nothing else.
    """
    from rich.console import Console

    from demo_curriculum.processes import cores
    from demo_curriculum.progress.log import write_atomically
    from demo_curriculum.progress.standings import draw_standings, standings
    from demo_curriculum.training.variants import VARIANTS, Bout, bouts, run_bouts

    plan = bouts(demo, output, config, only=only, seeds=seeds, agent_steps=agent_steps, episodes=episodes)
    # Seed by seed, so that there is a first comparison early.
    todo = [bout for alike in zip(*plan.values(), strict=True) for bout in alike if not bout.done]
    finished = 0

    def tell(bout: Bout) -> None:
        nonlocal finished
        finished += 1
        print(f"{finished} of {len(todo)}: {bout.run_dir.name} done", file=sys.stderr, flush=True)

    run_bouts(todo, jobs if jobs is not None else cores(), tell)
    document = standings({name: [bout.run_dir for bout in alike] for name, alike in plan.items()})
    if png is not None:
        write_atomically(png, draw_standings(document))
        print(f"wrote {png}", file=sys.stderr)
    if json_:
        print(json.dumps(document))
        return
    # A pipe has no width that the table should be squeezed into.
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    console.print(_table(document))
    for name in plan:
        console.print(f"{name}: {VARIANTS[name].what}")


def _table(document: dict[str, Any]) -> Any:
    from rich.table import Table

    from demo_curriculum.progress.comparison import describe

    demo = document["demo"]
    table = Table(
        title=f"{demo['env_id']} from its own reset; the demo: {demo['score']:,.6g} points in {demo['length']:,} steps",
        caption="IQM over seeds (95 % interval); frames and seconds are means of all that a training took",
    )
    table.add_column("", no_wrap=True)
    protocols = list(document["rows"][0]["protocols"])
    for protocol in protocols:
        table.add_column(f"{protocol}: score", justify="right", no_wrap=True)
        table.add_column("ties", justify="right", no_wrap=True)
    for column in ("frontier 0 after", "reset tied after", "frames", "seconds"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in document["rows"]:
        cells = []
        for protocol in protocols:
            score, ties = (row["protocols"][protocol][what] for what in ("mean", "ties"))
            cells += [f"{score['iqm']:,.4g} ({score['low']:,.4g}–{score['high']:,.4g})", f"{ties['iqm']:.0%}"]
        cells += [describe(row[what], row["seeds"]) for what in ("frontier_0", "reset_tied")]
        cells += [f"{sum(row[what]) / row['seeds']:,.0f}" for what in ("frames", "seconds")]
        table.add_row(row["name"], *cells)
    return table
