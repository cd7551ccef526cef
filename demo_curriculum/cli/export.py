"""``demo-curriculum export``: a run for others."""

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
    """Writes a run as a folder that a model hub takes and that eval and replay read; nothing is uploaded.

    Args:
        source: a run directory.
        output: a new folder.
        film: a film of the run, to go with it.
    """
    if not source.is_dir():
        raise UsageError(f"{source} is not a run directory; export takes the --run-dir of a training")

    from demo_curriculum.progress.model_card import export_run

    export_run(source, output, lambda text: print(f"warning: {text}", file=sys.stderr), film=film)
    print(f"wrote {output}: weights, config, results and model card")
