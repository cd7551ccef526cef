"""Recording by hand: what the recorder does with keys and time. The window that shows it is ``window``."""

from __future__ import annotations

import os
import signal
import sys
from typing import Literal, Protocol

from demo_curriculum.errors import DemoCurriculumError
from demo_curriculum.recording.draft import Draft
from demo_curriculum.recording.journal import Edit
from demo_curriculum.recording.keymap import SLOTS, Held, KeyMap, keymap_of
from demo_curriculum.recording.tape import Take
from demo_curriculum.simulators import Simulator

Mode = Literal["waiting", "playing", "paused", "back", "forward"]
"""waiting: until a game key is pressed, at the beginning and after time travel; back and forward: while held."""

SYNC_EVERY = 2.0
"""Seconds between autosaves; a power cut or SIGKILL loses at most what was played since the last one."""
ATARI_FPS = 60.0
SLOWEST = 8
FASTEST_TRAVEL = 8
TRAVEL_DOUBLES = 0.8
"""Seconds for which a time travel key is held before it is twice as fast."""
TURN_TRAVEL_FPS = 10.0
"""Speed of time travel where the game itself waits for keys."""
LIFE_LEAD = 2.0
"""Seconds before the loss of a life to which undoing it leads."""
TURN_LIFE_LEAD = 2
"""The same in demo steps, where the game waits for keys."""
LONGEST_TICK = 0.1
ROUNDING = 1e-6
"""So that sixty ticks of a sixtieth are a second."""
MOST_UNDOS = 50
MESSAGE_TIME = 4.0


def has_display() -> bool:
    """Whether a window can be expected to open."""
    if sys.platform in ("win32", "darwin"):
        return True
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"))


def own_fps(simulator: Simulator) -> float:
    """Demo steps per second at which a simulator is meant to be played: its ``render_fps`` if it has one, else Atari's.

    0 stands for a game that waits for the player.
    """
    return float(getattr(simulator, "render_fps", ATARI_FPS))


class Recorder:
    """Plays, travels and remembers; driven by ``press``, ``release`` and ``advance``.

    Args:
        fps: demo steps per second; 0 plays one step for every key pressed.

    Attributes:
        held: the game buttons that are down.
        slow: plays at 1/slow of the speed.
        slots: quick-saves, by number from 1.
        message: what was done last, for some seconds.
        done: whether the player wants to leave.
        help: whether the key help is asked for.
    """

    def __init__(self, draft: Draft, *, fps: float = ATARI_FPS) -> None:
        self.draft = draft
        self.tape = draft.tape
        self.fps = fps
        self.keymap: KeyMap = keymap_of(draft.simulator)
        self.held = Held()
        self.mode: Mode = "waiting"
        self.slow = 1
        self.slots: dict[int, Take] = {}
        self.message = ""
        self.done = False
        self.help = False
        self.fullscreen = False
        self._back_to: Mode = "waiting"
        self._came_by = "rewind"
        self._undos: list[Take] = []
        self._fast = False
        self._travelled = 0.0
        self._due = 0.0
        self._message_left = 0.0
        self._unsynced = 0.0

    @property
    def travel_speed(self) -> int:
        """How many times as fast as the game the time travel is now."""
        doubled = int(self._travelled / TRAVEL_DOUBLES + ROUNDING)
        return FASTEST_TRAVEL if self._fast else min(2**doubled, FASTEST_TRAVEL)

    def say(self, message: str) -> None:
        self.message, self._message_left = message, MESSAGE_TIME

    def press(self, key: str, *, shift: bool = False) -> None:
        """A key went down, by its name."""
        if key in self.keymap.buttons:
            self.held.press(key, self.keymap.buttons[key])
        elif key in SLOTS and key in self.keymap.commands:
            self.slot(SLOTS.index(key) + 1, save=shift)
        elif key in self.keymap.commands:
            self.command(self.keymap.commands[key], fast=shift)

    def release(self, key: str) -> None:
        self.held.release(key)
        command = self.keymap.commands.get(key)
        if command is not None:
            self.end_command(command)

    def command(self, name: str, *, fast: bool = False) -> None:
        """Does what one of ``keymap.COMMANDS`` says; ``back`` and ``forward`` go on until ``end_command``."""
        match name:
            case "back" | "forward":
                if self.mode not in ("back", "forward"):
                    self._back_to = "paused" if self.mode == "paused" else "waiting"
                self.mode = "back" if name == "back" else "forward"
                self._fast, self._travelled, self._due = fast, 0.0, 1.0
                self._came_by = "rewind"
            case "pause":
                self.mode = "playing" if self.mode in ("paused", "waiting") else "paused"
                self._due = 0.0
            case "step":
                self.mode = "paused"
                action = self.keymap.action(self.held.take())
                if action is None:
                    self.say("this game has no action for no key: hold one while stepping")
                else:
                    self._play(action)
            case "step back":
                self._travel_to(self.tape.step - 1, "rewind", "paused")
            case "begin":
                self._travel_to(0, "rewind")
            case "end":
                self._travel_to(len(self.tape), "rewind")
            case "life":
                self._undo_life()
            case "undo":
                self._undo()
            case "cut":
                if self.tape.step < len(self.tape):
                    self._cut("cut")
                    self.say(f"the demo ends at {self.tape.step:,} now; Z undoes it")
            case "slower" | "faster":
                self.slow = min(self.slow * 2, SLOWEST) if name == "slower" else max(self.slow // 2, 1)
                self.say(f"speed 1/{self.slow}" if self.slow > 1 else "full speed")
            case "save":
                self._save()
            case "help":
                self.help = not self.help
            case "fullscreen":
                self.fullscreen = not self.fullscreen
            case "quit" if self.help:
                self.help = False
            case "quit":
                self.done = True
            case _:
                raise ValueError(f"no command {name!r}")

    def end_command(self, name: str) -> None:
        if name == self.mode and name in ("back", "forward"):
            self.mode = self._back_to

    def slot(self, number: int, *, save: bool) -> None:
        """Saves the path and the position into a slot, or goes back there, on another path than now if need be."""
        if save:
            self.slots[number] = self.tape.take()
            self.say(f"slot {number} saved at {self.tape.step:,}")
        elif number not in self.slots:
            self.say(f"slot {number} is empty: Shift+F{number + 4} saves into it")
        else:
            take = self.slots[number]
            if self.tape.passes(take):
                self.tape.go(take.step)
            else:
                self._note(f"slot {number}", take.step)
                self.tape.put(take)
            self._came_by = f"slot {number}"
            self._wait()
            self.say(f"slot {number}: back at {self.tape.step:,}")

    def go(self, step: int) -> None:
        """To any step of the path, as by a click on the time line."""
        self._travel_to(step, "jump")

    def pause(self) -> None:
        """Stops time, as when the window loses the keyboard, and forgets what was held."""
        self.held.release_all()
        self.mode = "paused"

    def advance(self, seconds: float) -> None:
        """Lets time pass.

        After a longer stop (a window that was dragged) the game goes on rather than catch up.
        """
        seconds = min(seconds, LONGEST_TICK)
        self._message_left -= seconds
        if self._message_left <= 0:
            self.message = ""
        if not self.help:
            self._advance(seconds)
        self._unsynced += seconds
        if self._unsynced >= SYNC_EVERY:
            self._unsynced = 0.0
            try:
                self.draft.autosave()
            except DemoCurriculumError as error:
                self.say(f"autosave failed: {error}")

    def _advance(self, seconds: float) -> None:
        if self.mode in ("back", "forward"):
            self._due += seconds * (self.fps or TURN_TRAVEL_FPS) * self.travel_speed
            self._travelled += seconds
            steps = int(self._due + ROUNDING)
            self._due -= steps
            self.tape.go(self.tape.step + (-steps if self.mode == "back" else steps))
            return
        if self.mode == "waiting" and self.held.any:
            self.mode, self._due = "playing", 0.0
        if self.mode != "playing":
            return
        if not self.fps:
            if self.held.fresh:
                self._play_held()
            return
        self._due += seconds * self.fps / self.slow
        while self._due > 1 - ROUNDING and self.mode == "playing":
            self._due -= 1
            self._play_held()

    def _play_held(self) -> None:
        action = self.keymap.action(self.held.take())
        if action is not None:
            self._play(action)

    def _play(self, action: int) -> None:
        if self.tape.game_over:
            self.mode = "paused"
            self.say("the game is over: R goes back, Escape saves and leaves")
            return
        self._cut(self._came_by)
        self.tape.play(action)
        self.draft.played += 1

    def _cut(self, kind: str) -> None:
        if self.tape.step < len(self.tape):
            self._note(kind, self.tape.step)
            self.tape.cut_here()

    def _note(self, kind: str, to: int) -> None:
        """Remembers the path as it is, before it is changed."""
        self._undos = [*self._undos, self.tape.take()][-MOST_UNDOS:]
        self.draft.edits.append(Edit(kind, len(self.tape), to))

    def _undo(self) -> None:
        if not self._undos:
            self.say("nothing to undo")
            return
        take = self._undos.pop()
        self.draft.edits.append(Edit("undo", len(self.tape), len(take.actions)))
        self.tape.put(take)
        self.tape.go(len(self.tape))
        self._wait()
        self.say(f"undone: the demo has {len(self.tape):,} steps again")

    def _undo_life(self) -> None:
        loss = self.tape.loss_before(self.tape.step)
        if loss is None:
            self.say("no life was lost before here")
            return
        lead = round(LIFE_LEAD * self.fps) if self.fps else TURN_LIFE_LEAD
        # Not into the life before, which is another matter.
        self._travel_to(max(loss - lead, self.tape.loss_before(loss - 1) or 0), "life")
        self.say(f"before the life lost at {loss:,}; play on from here, or L again for the one before")

    def _travel_to(self, step: int, came_by: str, mode: Mode | None = None) -> None:
        self.tape.go(step)
        self._came_by = came_by
        if mode is None:
            self._wait()
        else:
            self.mode = mode

    def _wait(self) -> None:
        """Time stands still until a game key is pressed anew: one held through the jump would lead astray."""
        self.held.release_all()
        self.mode = "paused" if self.mode == "paused" else "waiting"
        self._due = 0.0

    def _save(self) -> None:
        try:
            self.say(self.draft.save() if self.draft.changed else "everything is saved")
        except DemoCurriculumError as error:
            self.say(f"not saved: {error}")


class Screen(Protocol):
    """What ``play`` shows the recorder on and gets keys from; ``window.Window``, or a test's own."""

    def update(self, recorder: Recorder) -> float:
        """Hands what was pressed to the recorder, shows it, waits for the next frame; returns the seconds passed."""


def play(recorder: Recorder, screen: Screen) -> int | None:
    """Lets the player play until they leave, or until the process is asked to end.

    Returns:
        The number of the signal that ended it (Ctrl-C, SIGTERM, SIGHUP), which the caller's saving comes after; None
        where the player did.
    """
    ended: list[int] = []
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, lambda number, frame: ended.append(number)) for number in signals]
    try:
        seconds = 0.0
        while not recorder.done and not ended:
            recorder.advance(seconds)
            seconds = screen.update(recorder)
        return ended[0] if ended else None
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)
