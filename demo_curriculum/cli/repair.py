"""``demo-curriculum repair``: what can be saved of a damaged file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

if TYPE_CHECKING:
    from demo_curriculum.demo import Demo
    from demo_curriculum.store import Remains


def main(
    file: Annotated[Path, tyro.conf.Positional],
    *,
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])],
    overwrite: bool = False,
) -> int:
    """Saves what can be saved of a damaged demo file to a new one and says what was lost; the old one stays as it is.

    A demo that is whole is copied. Of another the actions that can be read are played again on the installed
    simulator, as far as they go. Exits with 1 if something was lost.

    Args:
        file: a damaged demo file.
        output: the demo file to write.
        overwrite: replace the output file if there is one.
    """
    from demo_curriculum.demo import Demo
    from demo_curriculum.recording.mending import rebuild
    from demo_curriculum.simulators import simulator_of
    from demo_curriculum.store import StoreError, refuse_existing, salvage, write_demos

    if not overwrite:
        refuse_existing(output)
    saved: list[Demo] = []
    whole = True
    for finding in salvage(file):
        match finding.found:
            case None:
                whole = False
                print(f"{finding.id}: LOST: {finding.problem}")
                continue
            case Demo() as demo:
                words = f"whole, {len(demo):,} steps"
            case remains:
                mended = _mend(remains, finding.id)
                if isinstance(mended, str):
                    whole = False
                    print(f"{finding.id}: LOST: {finding.problem}; {mended}")
                    continue
                demo = mended
                whole = whole and len(demo) == remains.total_steps
                words = f"made again, {len(demo):,} of {remains.total_steps:,} steps, score {demo.score:,g} "
                words += f"({finding.problem})"
        saved.append(demo)
        print(f"{finding.id}: {words}; now episode_{len(saved) - 1}")
    if not saved:
        raise StoreError(f"{file}: nothing could be saved, {output} is not written")
    # A file holds demos of one version of the simulator, and what was made again is of the installed one.
    if any(demo.simulator != saved[0].simulator for demo in saved):
        simulator = simulator_of(saved[0].simulator)
        saved = [demo if demo.simulator == simulator.spec else rebuild(simulator, demo) for demo in saved]
    write_demos(output, saved, creator="demo-curriculum repair", overwrite=overwrite)
    print(f"wrote {output}: {len(saved):,} demos")
    return 0 if whole else 1


def _mend(remains: Remains, name: str) -> Demo | str:
    """The demo, or why there is none."""
    from demo_curriculum.cli.bars import step_bar
    from demo_curriculum.errors import DemoCurriculumError
    from demo_curriculum.recording.mending import mend
    from demo_curriculum.simulators import simulator_of

    try:
        with step_bar(f"playing {name}") as advance:
            return mend(
                simulator_of(remains.simulator),
                remains,
                on_step=lambda step: advance(step + 1, len(remains.actions)),
            )
    except DemoCurriculumError as error:
        return str(error)
