"""``demo-curriculum import``: demos of other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro


def main(
    file: Annotated[Path, tyro.conf.Positional],
    *,
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])],
    env_id: str | None = None,
    overwrite: bool = False,
    json: bool = False,
) -> None:
    """Turns an OpenAI .demo recording into a demo file and says what of it matched on the installed simulator.

    Args:
        file: a recording of openai/atari-reset, for instance MontezumaRevenge.demo.
        output: the demo file to write.
        env_id: the game, where the file's name does not say it, for instance ALE/MontezumaRevenge-v5.
        overwrite: replace the output file if there is one.
        json: print the report as one JSON document.
    """
    from dataclasses import asdict
    from json import dumps

    from demo_curriculum.cli.bars import step_bar
    from demo_curriculum.recording.importing import import_openai_demo
    from demo_curriculum.store import refuse_existing, write_demos

    if not overwrite:
        refuse_existing(output)
    with step_bar(f"playing {file.name}") as advance:
        demo, report = import_openai_demo(file, env_id, on_step=advance)
    write_demos(output, [demo], creator="demo-curriculum import", overwrite=overwrite)
    if json:
        print(dumps(asdict(report), indent=2))
        return
    for line in report.lines():
        print(line)
    print(f"wrote {output}: {report.env_id}, {len(demo):,} steps, {len(demo.snapshots)} snapshots")
