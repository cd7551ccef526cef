"""``demo-curriculum export``: demos for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro


def main(
    file: Annotated[Path, tyro.conf.Positional],
    *,
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])],
) -> None:
    """Writes all demos of a file as NPZ, where the output ends with .npz, else as a Minari dataset; import reads both
    back without loss.

    Args:
        file: a demo file.
        output: demos.npz, or the folder of a Minari dataset, named NAME-vNUMBER; minari.load_dataset(NAME-vNUMBER)
            finds it when MINARI_DATASETS_PATH is the folder that it is in.
    """
    from demo_curriculum.recording.exporting import export_demos

    count = export_demos(file, output)
    print(f"wrote {output}: {count:,} demos")
