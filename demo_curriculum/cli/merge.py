"""``demo-curriculum merge``: the demos of several files in one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro


def main(
    files: Annotated[tuple[Path, ...], tyro.conf.Positional],
    *,
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])],
    overwrite: bool = False,
) -> None:
    """Writes the demos of several files of one game as one new file; a demo that comes twice is kept once.

    Args:
        files: demo files.
        output: the demo file to write.
        overwrite: replace the output file if there is one.
    """
    from demo_curriculum.errors import UsageError
    from demo_curriculum.store import read_demos, refuse_existing, write_demos

    if not files:
        raise UsageError("name the demo files to merge")
    if not overwrite:
        refuse_existing(output)
    demos = {}
    simulator = None
    for file in files:
        for index, demo in enumerate(read_demos(file)):
            if simulator is None:
                simulator = demo.simulator
            differences = simulator.differences(demo.simulator)
            if differences:
                raise UsageError(f"{file}: is of another game than {files[0]}: {'; '.join(differences)}")
            if simulator.versions != demo.simulator.versions:
                raise UsageError(
                    f"{file}: was recorded with {dict(demo.simulator.versions)}, {files[0]} with "
                    f"{dict(simulator.versions)}; bring both to the installed version with verify --rebuild"
                )
            if demo.fingerprint in demos:
                print(f"episode_{index} of {file} is there already, kept once")
            else:
                demos[demo.fingerprint] = demo
    write_demos(output, list(demos.values()), creator="demo-curriculum merge", overwrite=overwrite)
    print(f"wrote {output}: {len(demos):,} demos of {len(files):,} files")
