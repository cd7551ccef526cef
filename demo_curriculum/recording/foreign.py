"""Demos of Minari datasets and NPZ files, played again on the installed simulator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from demo_curriculum.demo import Demo
from demo_curriculum.errors import DemoCurriculumError, MismatchError, UsageError
from demo_curriculum.recording.verification import verify_demo
from demo_curriculum.simulators import make_simulator
from demo_curriculum.simulators.playback import play_demo
from demo_curriculum.store import Recording, StoreError, is_minari, read_minari, read_npz
from demo_curriculum.store.files import check_regular_file

MAX_FILE_BYTES = 4 << 30


@dataclass(frozen=True)
class ForeignReport:
    """How the installed simulator played an episode of another format.

    Attributes:
        env_id: the game.
        steps: demo steps.
        score: points.
        compared: rewards that were compared and equal; 0 where the file has none.
        exact: whether the file held a whole demo of ours, all of which was equal.
    """

    env_id: str
    steps: int
    score: float
    compared: int
    exact: bool

    def line(self) -> str:
        """For people."""
        if self.exact:
            how = "equal in every reward, observation and snapshot"
        else:
            how = f"all {self.compared:,} rewards equal" if self.compared else "it holds no rewards to compare"
        return f"{self.env_id}: {self.steps:,} steps, score {self.score:,g}; {how}"


def import_foreign(
    path: Path, env_id: str | None = None, *, on_step: Callable[[int, int], None] | None = None
) -> tuple[list[Demo], list[ForeignReport]]:
    """The demos of a Minari dataset's folder or an NPZ file.

    Args:
        env_id: the game, where the file does not say it.
        on_step: called with demo steps played and in all, of each episode.

    Raises:
        StoreError: the file cannot be read, or is of a simulator that is not installed.
        UsageError: neither the file nor ``env_id`` says which game it is of.
        MismatchError: the installed simulator does not give the rewards of the file.
    """
    found = read_minari(path) if is_minari(path) else read_npz(path)
    demos, reports = [], []
    for index, item in enumerate(found):
        name = f"{path}: episode {index}"
        if isinstance(item, Demo):
            demo, compared = _check(name, item, on_step), len(item)
        else:
            demo, compared = _play(name, item, env_id, path.name, on_step)
        demos.append(demo)
        reports.append(
            ForeignReport(demo.simulator.env_id, len(demo), demo.score, compared, exact=isinstance(item, Demo))
        )
    return demos, reports


def _check(name: str, demo: Demo, on_step: Callable[[int, int], None] | None) -> Demo:
    verification = verify_demo(demo, on_progress=on_step)
    if not verification.matched:
        raise MismatchError(f"{name}: does not play as recorded: {verification.problem or verification}")
    return demo


def _play(
    name: str, recording: Recording, env_id: str | None, note: str, on_step: Callable[[int, int], None] | None
) -> tuple[Demo, int]:
    env_id = env_id or recording.env_id
    if env_id is None:
        raise UsageError(f"{name}: the file does not say which game it is of; name it with --env-id")
    try:
        simulator = make_simulator(env_id, **recording.kwargs)
    except TypeError as error:
        raise StoreError(f"{name}: no simulator for {env_id!r} with {dict(recording.kwargs)}: {error}") from error
    actions = recording.actions.repeat(recording.frame_skip).tolist()
    try:
        demo = play_demo(
            simulator,
            actions,
            origin="import",
            note=f"imported from {note}",
            on_step=None if on_step is None else lambda step: on_step(step + 1, len(actions)),
        )
    except DemoCurriculumError as error:
        raise MismatchError(f"{name}: {error}") from error
    if recording.rewards is None:
        return demo, 0
    got = demo.rewards.reshape(-1, recording.frame_skip).sum(axis=1)
    wrong = np.flatnonzero(got != recording.rewards)
    if len(wrong):
        raise MismatchError(
            f"{name}: does not play as recorded: action {wrong[0]:,} gives {got[wrong[0]]:g} points, recorded were "
            f"{recording.rewards[wrong[0]]:g}"
        )
    return demo, len(got)


def refuse_unrestorable(path: Path) -> None:
    """Says of robomimic's and ManiSkill's HDF5 files why they cannot be imported.

    Raises:
        StoreError: always.
    """
    check_regular_file(path, max_bytes=MAX_FILE_BYTES)
    kind = "an HDF5 file of another program"
    try:
        with h5py.File(path, "r", locking=False) as file:
            names = list(file.keys())[:8] if file.id.get_num_objs() < 100_000 else []
            if "data" in names:
                kind = "a robomimic file, whose states are MuJoCo's"
            elif any(name.startswith("traj_") for name in names):
                kind = "a ManiSkill file, whose states are SAPIEN's"
            elif h5py.h5a.exists(file.id, b"format"):
                raise StoreError(f"{path}: is a demo file already, or damaged; see verify")
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise StoreError(f"{path}: is not an HDF5 file, or damaged") from error
    raise StoreError(
        f"{path}: is {kind}, and no installed simulator restores them; register one that does and record with it"
    )
