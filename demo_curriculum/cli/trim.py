"""``demo-curriculum trim``: the beginning of a demo as a demo of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro


def main(
    file: Annotated[Path, tyro.conf.Positional],
    *,
    end: int,
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])],
    id: str = "episode_0",
    overwrite: bool = False,
) -> None:
    """Writes the first steps of a demo as a new demo file; the old one stays as it is.

    Args:
        file: a demo file.
        end: how many steps to keep.
        output: the demo file to write.
        id: which demo of the file.
        overwrite: replace the output file if there is one.
    """
    from demo_curriculum.demo import InvalidDemoError
    from demo_curriculum.errors import UsageError
    from demo_curriculum.store import read_demo, write_demos

    demo = read_demo(file, id)
    try:
        trimmed = demo.trim(end)
    except InvalidDemoError as error:
        raise UsageError(f"{file}: {error}") from error
    write_demos(output, [trimmed], creator="demo-curriculum trim", overwrite=overwrite)
    print(f"wrote {output}: {len(trimmed):,} of {len(demo):,} steps, score {trimmed.score:,g} of {demo.score:,g}")
