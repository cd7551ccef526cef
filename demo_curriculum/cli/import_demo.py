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
    """Turns a recording of another program into a demo file and says what of it matched on the installed simulator:
    an OpenAI .demo, the folder of a Minari dataset, or NPZ with an array of actions.

    Args:
        file: for instance MontezumaRevenge.demo, datasets/montezuma-v0 or actions.npz.
        output: the demo file to write.
        env_id: the game, where the file does not say it, for instance ALE/MontezumaRevenge-v5.
        overwrite: replace the output file if there is one.
        json: print the report as one JSON document.
    """
    from dataclasses import asdict
    from json import dumps

    from demo_curriculum.cli.bars import step_bar
    from demo_curriculum.recording.foreign import import_foreign, refuse_unrestorable
    from demo_curriculum.recording.importing import import_openai_demo
    from demo_curriculum.store import is_minari, refuse_existing, write_demos

    if not overwrite:
        refuse_existing(output)
    creator = "demo-curriculum import"
    if is_minari(file) or file.suffix == ".npz":
        with step_bar(f"playing {file.name}") as advance:
            demos, reports = import_foreign(file, env_id, on_step=advance)
        write_demos(output, demos, creator=creator, overwrite=overwrite)
        if json:
            print(dumps([asdict(episode) for episode in reports], indent=2))
            return
        for episode in reports:
            print(episode.line())
        print(f"wrote {output}: {len(demos):,} demos")
        return
    if file.suffix in (".h5", ".hdf5"):
        refuse_unrestorable(file)
    with step_bar(f"playing {file.name}") as advance:
        demos, report = import_openai_demo(file, env_id, on_step=advance)
    write_demos(output, demos, creator=creator, overwrite=overwrite)
    if json:
        print(dumps(asdict(report), indent=2))
        return
    for line in report.lines():
        print(line)
    print(f"wrote {output}: {report.env_id}, {len(demos[0]):,} steps, {len(demos[0].snapshots)} snapshots")
