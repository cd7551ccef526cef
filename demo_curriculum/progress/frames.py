"""Pictures of a demo: its own frames, made by playing its actions on the simulator."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from demo_curriculum.demo import Demo
from demo_curriculum.errors import DemoCurriculumError, MismatchError
from demo_curriculum.progress.log import Warn
from demo_curriculum.progress.story import DEMO
from demo_curriculum.simulators.playback import check_same_game
from demo_curriculum.simulators.registry import simulator_of
from demo_curriculum.store import read_demos

QUALITY = 70


class Pictures(NamedTuple):
    """Frames along a demo: the demo step before which each was on the screen, and the pictures as WebP data URLs."""

    steps: list[int]
    images: list[str]


def demos_of_run(described: Sequence[Mapping[str, Any]], run_dir: Path, given: Path | None = None) -> list[Demo] | None:
    """A run's demos, from the file ``given`` or the run directory's own copy; None where there is neither.

    Raises:
        MismatchError: the file given lacks one of them.
        DemoCurriculumError: the file cannot be read.
    """
    path = given if given is not None else run_dir / DEMO
    if given is None and not path.is_file():
        return None
    found = {demo.fingerprint: demo for demo in read_demos(path)}
    for index, entry in enumerate(described):
        if entry.get("fingerprint") not in found:
            raise MismatchError(f"{path} does not hold demo {index} of {run_dir}; give the file it was trained on")
    return [found[entry["fingerprint"]] for entry in described]


def pictures_of_run(
    described: Sequence[Mapping[str, Any]],
    run_dir: Path,
    given: Path | None,
    count: int,
    warn: Warn,
    drawn: dict[str, Pictures],
) -> dict[str, Pictures]:
    """Pictures of each of a run's demos, by fingerprint; none, and a warning, where the demo file is not at hand.

    Args:
        drawn: those that other runs have drawn already; takes in the new ones.
    """
    demos = demos_of_run(described, run_dir, given)
    if demos is None:
        warn(f"{run_dir} has no copy of its demo, so there are no pictures of it; give the file with --demo")
        return {}
    for demo in demos:
        if demo.fingerprint not in drawn:
            drawn[demo.fingerprint] = draw_demo(demo, count)
    return {demo.fingerprint: drawn[demo.fingerprint] for demo in demos}


def draw_demo(demo: Demo, count: int) -> Pictures:
    """``count`` pictures at even distances from the demo's first step to its last, fewer of a shorter demo.

    Raises:
        MismatchError: the installed simulator plays another game.
        DemoCurriculumError: Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise DemoCurriculumError("pictures of the demo need Pillow: pip install 'demo-curriculum[html]'") from error
    simulator = simulator_of(demo.simulator)
    check_same_game(simulator, demo)
    if demo.offset > 0:
        simulator.restore(demo.snapshots[0].data)
    else:
        simulator.reset()
    actions = demo.actions.tolist()
    steps = sorted({round(share) for share in np.linspace(0, len(demo), min(count, len(demo) + 1))})
    images = []
    at = 0
    for step in steps:
        simulator.play(actions[at:step])
        at = step
        picture = io.BytesIO()
        Image.fromarray(simulator.render()).save(picture, "WEBP", quality=QUALITY, method=4)
        images.append("data:image/webp;base64," + base64.b64encode(picture.getvalue()).decode())
    return Pictures(steps, images)
