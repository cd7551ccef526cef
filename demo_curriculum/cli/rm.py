"""``demo-curriculum rm``: a file without some of its demos."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro


def main(
    file: Annotated[Path, tyro.conf.Positional],
    ids: Annotated[tuple[str, ...], tyro.conf.Positional],
) -> None:
    """Removes demos from a file, which is replaced as a whole; those behind them move up.

    Args:
        file: a demo file.
        ids: the demos to remove, for instance episode_1 episode_3.
    """
    from demo_curriculum.errors import UsageError
    from demo_curriculum.store import change_demos
    from demo_curriculum.store.schema import episode_name

    with change_demos(file, creator="demo-curriculum rm") as demos:
        names = [episode_name(index) for index in range(len(demos))]
        if not ids or not set(ids) <= set(names):
            missing = ", ".join(sorted(set(ids) - set(names))) or "no demo named"
            raise UsageError(f"{file}: {missing}: there are {', '.join(names[:20])}")
        if set(ids) == set(names):
            raise UsageError(f"{file}: these are all its demos; a demo file holds at least one, so delete the file")
        kept = [index for index, name in enumerate(names) if name not in ids]
        demos[:] = [demos[index] for index in kept]
    for new, old in enumerate(kept):
        if new != old:
            print(f"episode_{old} is now episode_{new}")
    print(f"wrote {file}: {len(kept):,} of {len(names):,} demos")
