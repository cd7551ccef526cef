"""``demo-curriculum split``: a demo as several, each restorable on its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import tyro


def main(
    file: Annotated[Path, tyro.conf.Positional],
    *,
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])],
    at: Literal["rewards", "lives"] | None = None,
    every: int | None = None,
    at_least: int = 1,
    id: str = "episode_0",
    overwrite: bool = False,
) -> None:
    """Cuts a demo into sub-demos in one new file, each restorable on its own; the old file stays as it is.

    Args:
        file: a demo file.
        output: the demo file to write.
        at: cut behind every reward, or behind every life lost.
        every: cut every so many steps.
        at_least: steps of a sub-demo; cuts that would make a shorter one are left out.
        id: which demo of the file.
        overwrite: replace the output file if there is one.
    """
    from demo_curriculum.cli.bars import step_bar
    from demo_curriculum.errors import UsageError
    from demo_curriculum.recording.cutting import life_cuts, reward_cuts, split_demo, step_cuts
    from demo_curriculum.simulators import simulator_of
    from demo_curriculum.store import read_demo, refuse_existing, write_demos

    if (at is None) == (every is None):
        raise UsageError("say where to cut: --at rewards, --at lives or --every STEPS")
    if at_least < 1 or (every is not None and every < 1):
        raise UsageError("--every and --at-least take 1 or more")
    if not overwrite:
        refuse_existing(output)
    demo = read_demo(file, id)
    cuts = {"rewards": reward_cuts, "lives": life_cuts}[at](demo) if at else step_cuts(demo, every or 1)
    with step_bar(f"playing {id}") as advance:
        parts = split_demo(
            simulator_of(demo.simulator),
            demo,
            cuts,
            at_least=at_least,
            on_step=lambda step: advance(step + 1, len(demo)),
        )
    write_demos(output, parts, creator="demo-curriculum split", overwrite=overwrite)
    print(f"wrote {output}: {len(parts):,} demos of {len(demo):,} steps")
    for index, part in enumerate(parts):
        begin = part.offset - demo.offset
        print(f"episode_{index}: steps {begin:,} to {begin + len(part):,}, score {part.score:,g}")
