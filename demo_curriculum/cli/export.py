"""``demo-curriculum export``: demos for other programs, runs for other people."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import tyro

from demo_curriculum.errors import UsageError


def main(
    source: Annotated[Path, tyro.conf.Positional],
    *,
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])],
    film: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None,
) -> None:
    """Writes the demos of a file as NPZ, where the output ends with .npz, or as a Minari dataset, which import reads
    back without loss; or a run as a folder that a model hub takes and that eval and replay read. Nothing is uploaded.

    Args:
        source: a demo file, or a run directory.
        output: demos.npz; or the folder of a Minari dataset, named NAME-vNUMBER, for minari.load_dataset(NAME-vNUMBER)
            to find when MINARI_DATASETS_PATH is the folder that it is in; of a run, a new folder.
        film: a film of the run, to go with it.
    """
    if source.is_dir():
        from demo_curriculum.progress.model_card import export_run

        export_run(source, output, lambda text: print(f"warning: {text}", file=sys.stderr), film=film)
        print(f"wrote {output}: weights, config, results and model card")
        return
    if film is not None:
        raise UsageError("--film goes with a run directory, not with a demo file")
    from demo_curriculum.recording.exporting import export_demos

    count = export_demos(source, output)
    print(f"wrote {output}: {count:,} demos")
