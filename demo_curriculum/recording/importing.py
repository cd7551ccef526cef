"""Demos of other programs, played again on the installed simulator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from demo_curriculum.demo import Demo
from demo_curriculum.errors import DemoCurriculumError, MismatchError, UsageError
from demo_curriculum.simulators import Simulator, SnapshotError, make_simulator
from demo_curriculum.simulators.ale_state import convert_old_state, old_rom_md5, parse_state
from demo_curriculum.simulators.playback import play_demo
from demo_curriculum.store import OpenAIRecording, StoreError, read_openai_demo


@dataclass(frozen=True)
class ImportReport:
    """How the installed simulator played a recording; all its rewards came at their frames, or it is not imported.

    Attributes:
        env_id: the game.
        offset: frame of the recording at which the demo begins.
        reason: why it begins there.
        rewards: how many rewards other than 0 there are from ``offset`` on.
        score: their sum.
        checkpoints_matched: the recording's own checkpoints at which the console's whole memory was equal.
        checkpoints_total: its checkpoints from ``offset`` on.
        bytes_differing: at how many bytes of its 128 the memory differed at most; a few are counters that a game may
            begin with at any value.
        recorded_rom_md5: of the ROM it was recorded on; None where it has no checkpoint.
        installed_rom_md5: of the ROM it was played on.
        rewards_shifted: whether it has one reward more than actions, of which the first was left out.
        beginning: frames of the second demo, from the reset; 0 where there is none.
    """

    env_id: str
    offset: int
    reason: str
    rewards: int
    score: float
    checkpoints_matched: int
    checkpoints_total: int
    bytes_differing: int
    recorded_rom_md5: str | None
    installed_rom_md5: str
    rewards_shifted: bool
    beginning: int

    def lines(self) -> list[str]:
        """For people, one finding a line."""
        lines = [
            f"begins at frame {self.offset}: {self.reason}",
            f"rewards: all {self.rewards} matched, {self.score:,.0f} points",
            f"memory: equal at {self.checkpoints_matched} of {self.checkpoints_total} checkpoints"
            + (f", at most {self.bytes_differing} of 128 bytes differ" if self.bytes_differing else ""),
        ]
        if self.beginning:
            lines.append(f"a second demo shows the way from the reset to the first reward: {self.beginning} frames")
        if self.rewards_shifted:
            lines.append("the recording has one reward more than actions; the first, of no frame, is left out")
        if self.recorded_rom_md5 not in (None, self.installed_rom_md5):
            lines.append(f"ROM: recorded on {self.recorded_rom_md5}, played on {self.installed_rom_md5}")
        return lines


def import_openai_demo(
    path: Path | str, env_id: str | None = None, *, on_step: Callable[[int, int], None] | None = None
) -> tuple[list[Demo], ImportReport]:
    """Makes a demo of a recording of openai/atari-reset, with snapshots of the installed simulator.

    Its actions are played from the game's own reset; where that does not give the recorded rewards (the recorder's
    emulator began its games otherwise), from the recording's first checkpoint, converted. Then nothing in the demo
    shows how to come from the reset to where it begins. So a second demo, from the reset to the first reward after
    that, is made too, if it plays as recorded as far as that.

    Args:
        env_id: the game; by default from the file's name, ``PrivateEye.demo`` being of ``ALE/PrivateEye-v5``.
        on_step: called with frames played and frames in all, for progress displays.

    Raises:
        StoreError: the file cannot be read as such a recording.
        UsageError: the file's name does not say which game it is of.
        MismatchError: the installed simulator does not give the recorded rewards.
    """
    path = Path(path)
    recording = read_openai_demo(path)
    simulator = _make_simulator(path, env_id)
    actions = recording.actions.tolist()
    if max(actions) >= simulator.action_count:
        raise MismatchError(
            f"{path}: holds action {max(actions)}, but {simulator.spec.env_id} has only {simulator.action_count} "
            "actions; is it of another game?"
        )
    rewards = recording.rewards[-len(actions) :]
    checkpoints = _convert_checkpoints(path, recording, simulator)

    begin, offset = None, 0
    reason = "played from the game's own reset, every reward matches"
    difference = _first_difference(simulator, actions, rewards)
    if difference is not None:
        if not checkpoints or recording.checkpoint_steps[0] >= len(actions):
            raise MismatchError(
                f"{path}: played from the reset, the game differs from the recording at frame {difference}, and there "
                "is no checkpoint to begin at instead"
            )
        begin, offset = checkpoints[0], int(recording.checkpoint_steps[0])
        reason = f"played from the reset, the game differs at frame {difference}; here is the first checkpoint"
    try:
        demo = play_demo(
            simulator,
            actions[offset:],
            origin="import",
            begin=begin,
            offset=offset,
            note=f"imported from {path.name}",
            on_step=None if on_step is None else lambda step: on_step(offset + step + 1, len(actions)),
        )
    except DemoCurriculumError as error:
        raise MismatchError(f"{path}: played from frame {offset}, {error}") from error
    wrong = np.flatnonzero(demo.rewards != rewards[offset:])
    if len(wrong):
        raise MismatchError(
            f"{path}: does not play as recorded: from the reset it differs at frame {difference}, "
            f"from the first checkpoint at frame {offset + wrong[0]}"
        )
    beginning = None
    if difference is not None:
        paid = offset + np.flatnonzero(demo.rewards)
        if len(paid) and paid[0] < difference:
            note = f"the beginning of {path.name}"
            beginning = play_demo(simulator, actions[: paid[0] + 1], origin="import", note=note)
    differing = _differing_bytes(demo, checkpoints, recording.checkpoint_steps)
    return [demo] if beginning is None else [demo, beginning], ImportReport(
        env_id=simulator.spec.env_id,
        offset=offset,
        reason=reason,
        rewards=int(np.count_nonzero(demo.rewards)),
        score=demo.score,
        checkpoints_matched=differing.count(0),
        checkpoints_total=len(differing),
        bytes_differing=max(differing, default=0),
        recorded_rom_md5=old_rom_md5(recording.checkpoints[0]) if checkpoints else None,
        installed_rom_md5=simulator.spec.rom_md5,
        rewards_shifted=len(recording.rewards) > len(actions),
        beginning=len(beginning) if beginning is not None else 0,
    )


def _make_simulator(path: Path, env_id: str | None) -> Simulator:
    try:
        return make_simulator(env_id or f"ALE/{path.stem}-v5")
    except DemoCurriculumError as error:
        if env_id is not None:
            raise
        raise UsageError(f"{path}: its name does not say which game it is of; name it with --env-id") from error


def _convert_checkpoints(path: Path, recording: OpenAIRecording, simulator: Simulator) -> list[bytes]:
    simulator.reset()
    template = parse_state(simulator.save(), rom_md5=simulator.spec.rom_md5)
    try:
        return [convert_old_state(checkpoint, template) for checkpoint in recording.checkpoints]
    except SnapshotError as error:
        raise StoreError(f"{path}: a checkpoint cannot be converted for {simulator.spec.env_id}: {error}") from error


def _first_difference(simulator: Simulator, actions: Sequence[int], rewards: NDArray[np.float64]) -> int | None:
    """The first frame, played from the reset, with another reward or after the game's end; None if there is none."""
    simulator.reset()
    for frame, (action, reward) in enumerate(zip(actions, rewards.tolist(), strict=True)):
        if simulator.game_over or simulator.play([action]) != reward:
            return frame
    return None


def _differing_bytes(demo: Demo, checkpoints: Sequence[bytes], steps: NDArray[np.int64]) -> list[int]:
    """For each checkpoint from the demo's beginning on: how many bytes of its memory are not as the demo observed."""
    differing = []
    for checkpoint, step in zip(checkpoints, steps.tolist(), strict=True):
        if step >= demo.offset:
            memory = np.frombuffer(parse_state(checkpoint, rom_md5=demo.simulator.rom_md5).ram, np.uint8)
            differing.append(int(np.count_nonzero(memory != demo.observations[step - demo.offset])))
    return differing
