"""The recorder's window: pygame events in, pictures out."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from demo_curriculum.errors import DemoCurriculumError, UsageError
from demo_curriculum.recording.keyboard import Recorder
from demo_curriculum.recording.keymap import COMMANDS

# pygame greets on standard output, which is the command's, and calls the window's class by the script's name.
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
os.environ.setdefault("SDL_VIDEO_X11_WMCLASS", "demo-curriculum")
try:
    import pygame
    from pygame import Rect, Surface
    from pygame._sdl2 import controller
except ImportError as missing:
    raise DemoCurriculumError("recording by hand needs pygame-ce: pip install 'demo-curriculum[play]'") from missing

Colour = tuple[int, int, int]

REFRESH = 60
PANEL = 264
TIME_LINE = 74
MARGIN = 16
LEAST_HEIGHT = 520
PICTURE_HEIGHT = 640
PICTURE_WIDTH = 960
STICK = 0.5

BACKGROUND: Colour = (17, 19, 24)
SURFACE: Colour = (27, 30, 38)
LINE: Colour = (52, 57, 70)
TEXT: Colour = (233, 236, 242)
DIM: Colour = (140, 147, 163)
ACCENT: Colour = (94, 176, 255)
GOLD: Colour = (255, 205, 84)
RED: Colour = (255, 99, 99)
GREEN: Colour = (110, 214, 140)
MODE_COLOURS = {"waiting": GREEN, "playing": DIM, "paused": GOLD, "back": ACCENT, "forward": ACCENT}

_PAD_COMMANDS = {command.pad: command.name for command in COMMANDS if command.pad}
_PAD_BUTTONS = {
    "up": "up",
    "down": "down",
    "left": "left",
    "right": "right",
    "a": "space",
    "b": "space",
}
_PAD_CODES: Mapping[int, str] = {
    pygame.CONTROLLER_BUTTON_A: "a",
    pygame.CONTROLLER_BUTTON_B: "b",
    pygame.CONTROLLER_BUTTON_Y: "y",
    pygame.CONTROLLER_BUTTON_BACK: "back",
    pygame.CONTROLLER_BUTTON_START: "start",
    pygame.CONTROLLER_BUTTON_LEFTSHOULDER: "leftshoulder",
    pygame.CONTROLLER_BUTTON_RIGHTSHOULDER: "rightshoulder",
    pygame.CONTROLLER_BUTTON_DPAD_UP: "up",
    pygame.CONTROLLER_BUTTON_DPAD_DOWN: "down",
    pygame.CONTROLLER_BUTTON_DPAD_LEFT: "left",
    pygame.CONTROLLER_BUTTON_DPAD_RIGHT: "right",
}
_STICK_AXES = {
    pygame.CONTROLLER_AXIS_LEFTX: ("left", "right"),
    pygame.CONTROLLER_AXIS_LEFTY: ("up", "down"),
}


def pixel_aspect(picture: NDArray[np.uint8]) -> float:
    """Width of a pixel over its height: Atari's are wide, as a television shows them."""
    height, width = picture.shape[:2]
    return 5 / 3 if width == 160 and height in (210, 250) else 1.0


class Clock(Protocol):
    """pygame's, or one that makes time pass otherwise."""

    def tick(self, framerate: float) -> float:
        """Waits for the next frame; returns the milliseconds since the last call."""


class Window:
    """Implements ``keyboard.Screen``. Made by ``open_window``."""

    def __init__(self, recorder: Recorder, clock: Clock) -> None:
        picture = recorder.draft.simulator.render()
        self._aspect = pixel_aspect(picture)
        height, width = picture.shape[0], picture.shape[1] * self._aspect
        scale = min(PICTURE_HEIGHT / height, PICTURE_WIDTH / width)
        # Whole pixels are all of one size.
        scale = int(scale) if scale >= 1 else scale
        size = (
            round(width * scale) + 2 * MARGIN + PANEL,
            max(round(height * scale) + MARGIN + TIME_LINE, LEAST_HEIGHT),
        )
        self._surface = pygame.display.set_mode(size, pygame.RESIZABLE)
        self._size = size
        self._full = False
        pygame.display.set_caption(f"demo-curriculum record: {recorder.draft.subject.spec.env_id}")
        self._clock = clock
        self._pads: list[controller.Controller] = []
        self._sticks: dict[tuple[int, int], str] = {}
        self._bar = Rect(0, 0, 1, 1)
        self._dragging = False

    def update(self, recorder: Recorder) -> float:
        for event in pygame.event.get():
            self._take(event, recorder)
        if recorder.fullscreen != self._full:
            self._full = recorder.fullscreen
            flags = pygame.FULLSCREEN if self._full else pygame.RESIZABLE
            self._surface = pygame.display.set_mode((0, 0) if self._full else self._size, flags)
        self._draw(recorder)
        pygame.display.flip()
        return self._clock.tick(REFRESH) / 1000

    def _take(self, event: pygame.Event, recorder: Recorder) -> None:
        if event.type == pygame.QUIT:
            recorder.done = True
        elif event.type == pygame.KEYDOWN:
            recorder.press(_key_name(event.key), shift=bool(event.mod & pygame.KMOD_SHIFT))
        elif event.type == pygame.KEYUP:
            recorder.release(_key_name(event.key))
        elif event.type == pygame.WINDOWFOCUSLOST:
            recorder.pause()
        elif event.type == pygame.CONTROLLERDEVICEADDED:
            if controller.is_controller(event.device_index):
                self._pads.append(controller.Controller(event.device_index))
        elif event.type == pygame.CONTROLLERDEVICEREMOVED:
            self._pads = [pad for pad in self._pads if pad.attached()]
            recorder.pause()
        elif event.type in (pygame.CONTROLLERBUTTONDOWN, pygame.CONTROLLERBUTTONUP):
            self._pad_button(event, recorder)
        elif event.type == pygame.CONTROLLERAXISMOTION and event.axis in _STICK_AXES:
            self._stick(event, recorder)
        elif event.type == pygame.MOUSEBUTTONDOWN and event.button == 1:
            self._dragging = self._bar.inflate(8, 24).collidepoint(event.pos)
            self._drag(event.pos[0], recorder)
        elif event.type == pygame.MOUSEMOTION:
            self._drag(event.pos[0], recorder)
        elif event.type == pygame.MOUSEBUTTONUP:
            self._dragging = False

    def _pad_button(self, event: pygame.Event, recorder: Recorder) -> None:
        name = _PAD_CODES.get(event.button, "")
        down = event.type == pygame.CONTROLLERBUTTONDOWN
        if name in _PAD_COMMANDS:
            act = recorder.command if down else recorder.end_command
            act(_PAD_COMMANDS[name])
        elif name in _PAD_BUTTONS:
            _pad_key(recorder, _PAD_BUTTONS[name], name, down)

    def _stick(self, event: pygame.Event, recorder: Recorder) -> None:
        low, high = _STICK_AXES[event.axis]
        # SDL's controllers give -32768..32767, pygame's posted events -1..1.
        value = event.value / 32768 if abs(event.value) > 1 else event.value
        key = low if value < -STICK else high if value > STICK else ""
        where = (event.instance_id, event.axis)
        before = self._sticks.get(where, "")
        if key == before:
            return
        self._sticks[where] = key
        if before:
            _pad_key(recorder, before, "stick", False)
        if key:
            _pad_key(recorder, key, "stick", True)

    def _drag(self, x: int, recorder: Recorder) -> None:
        if self._dragging and len(recorder.tape):
            recorder.go(round((x - self._bar.left) / max(self._bar.width, 1) * len(recorder.tape)))

    def _draw(self, recorder: Recorder) -> None:
        surface = self._surface
        width, height = surface.get_size()
        surface.fill(BACKGROUND)
        area = Rect(MARGIN, MARGIN, max(width - PANEL - 2 * MARGIN, 1), max(height - TIME_LINE - MARGIN, 1))
        box = self._draw_picture(recorder, area)
        self._draw_panel(
            recorder, Rect(width - PANEL, MARGIN, PANEL - MARGIN, height - 2 * MARGIN - TIME_LINE + MARGIN)
        )
        self._draw_time_line(recorder, Rect(MARGIN, height - TIME_LINE, width - 2 * MARGIN, TIME_LINE))
        if recorder.help:
            self._draw_help(recorder, area)
        elif recorder.message or not len(recorder.tape):
            _draw_message(surface, recorder.message or _welcome(recorder), box)

    def _draw_picture(self, recorder: Recorder, area: Rect) -> Rect:
        picture = np.ascontiguousarray(recorder.draft.simulator.render())
        height, width = picture.shape[:2]
        image = pygame.image.frombuffer(picture.tobytes(), (width, height), "RGB")
        scale = min(area.width / (width * self._aspect), area.height / height)
        size = (max(1, round(width * self._aspect * scale)), max(1, round(height * scale)))
        box = Rect((0, 0), size)
        box.center = area.center
        self._surface.blit(pygame.transform.scale(image, size), box)
        pygame.draw.rect(self._surface, LINE, box.inflate(2, 2), 1)
        if recorder.mode in ("back", "forward"):
            # The past is seen through a blue glass, so that nobody takes it for play.
            glass = Surface(size, pygame.SRCALPHA)
            glass.fill((*ACCENT, 36))
            self._surface.blit(glass, box)
            pygame.draw.rect(self._surface, ACCENT, box, 3)
        return box

    def _draw_panel(self, recorder: Recorder, area: Rect) -> None:
        surface, tape = self._surface, recorder.tape
        pygame.draw.rect(surface, SURFACE, area, border_radius=10)
        inner = area.inflate(-2 * MARGIN, -2 * MARGIN)
        x, right, y = inner.left, inner.right, inner.top
        y = self._draw_mode(recorder, inner)
        _text(surface, "SCORE", 13, DIM, (x, y))
        _text(surface, f"{tape.score:,g}", 46, TEXT, (x, y + 14))
        y += 74
        rows = [
            ("Lives", str(tape.lives[tape.step])),
            ("Frame", f"{tape.step:,}"),
            ("Demo length", f"{len(tape):,}"),
            ("Time", _time(tape.step, recorder.fps) if recorder.fps else "at your keys"),
            ("Action", _action(recorder)),
        ]
        if not tape.lives[0]:
            del rows[0]
        for name, value in rows:
            _text(surface, name, 16, DIM, (x, y))
            _text(surface, value, 16, TEXT, (right, y), align="right")
            y += 24
        y += 10
        pygame.draw.line(surface, LINE, (x, y), (right, y))
        y += 12
        _text(surface, "REWARDS", 13, DIM, (x, y))
        y += 22
        bottom = inner.bottom - 72
        rewards = tape.rewarded[: tape.rewards_so_far]
        fit = max((bottom - y) // 22, 1)
        hidden = max(len(rewards) - fit, 0)
        if hidden:
            hidden += 1
            _text(surface, f"{hidden} before", 15, DIM, (x, y))
            y += 22
        for step in rewards[hidden:]:
            reward = tape.rewards[step]
            _text(surface, f"frame {step:,}", 16, DIM, (x, y))
            _text(surface, f"{reward:+,g}", 16, GOLD if reward > 0 else RED, (right, y), align="right")
            y += 22
        if not rewards:
            _text(surface, "none yet", 16, DIM, (x, y))
        self._draw_slots(recorder, Rect(x, inner.bottom - 58, inner.width, 26))
        _text(surface, "H", 16, ACCENT, (x, inner.bottom - 18))
        _text(surface, "all keys", 16, DIM, (x + 20, inner.bottom - 18))
        _text(surface, "R", 16, ACCENT, (x + 104, inner.bottom - 18))
        _text(surface, "hold: back", 16, DIM, (x + 122, inner.bottom - 18))

    def _draw_mode(self, recorder: Recorder, area: Rect) -> int:
        mode, slow = recorder.mode, f" at 1/{recorder.slow}" if recorder.slow > 1 else ""
        words = {
            "waiting": "READY: PRESS A KEY" if not recorder.tape.game_over else "GAME OVER",
            "playing": f"RECORDING{slow}",
            "paused": "PAUSED" if not recorder.tape.game_over else "GAME OVER",
            "back": f"BACK {recorder.travel_speed}×",
            "forward": f"FORWARD {recorder.travel_speed}×",
        }
        colour = RED if mode == "playing" or recorder.tape.game_over else MODE_COLOURS[mode]
        badge = Rect(area.left, area.top, area.width, 34)
        tint: Colour = (SURFACE[0] + colour[0] // 6, SURFACE[1] + colour[1] // 6, SURFACE[2] + colour[2] // 6)
        pygame.draw.rect(self._surface, tint, badge, border_radius=8)
        left, middle = badge.left + 18, badge.centery
        if mode == "playing":
            pygame.draw.circle(self._surface, colour, (left, middle), 6)
        elif mode == "paused":
            for offset in (-5, 2):
                pygame.draw.rect(self._surface, colour, Rect(left + offset, middle - 6, 4, 12))
        else:
            way = -1 if mode == "back" else 1
            starts = (left,) if mode == "waiting" else (left - 4, left + 5)
            for tip in starts:
                points = [(tip - 5 * way, middle - 6), (tip - 5 * way, middle + 6), (tip + 5 * way, middle)]
                pygame.draw.polygon(self._surface, colour, points)
        _text(self._surface, words[mode], 16, colour, (badge.left + 38, middle), align="middle")
        return badge.bottom + 18

    def _draw_slots(self, recorder: Recorder, area: Rect) -> None:
        gap = 8
        width = (area.width - 3 * gap) // 4
        for number in range(1, 5):
            slot = Rect(area.left + (number - 1) * (width + gap), area.top, width, area.height)
            full = number in recorder.slots
            pygame.draw.rect(self._surface, ACCENT if full else LINE, slot, 0 if full else 1, border_radius=5)
            _text(self._surface, f"F{number + 4}", 14, BACKGROUND if full else DIM, slot.center, align="centre")

    def _draw_time_line(self, recorder: Recorder, area: Rect) -> None:
        surface, tape = self._surface, recorder.tape
        self._bar = bar = Rect(area.left, area.top + 30, area.width, 14)
        pygame.draw.rect(surface, SURFACE, bar, border_radius=7)
        length = len(tape)
        if not length:
            _text(surface, "the time line of your demo will be here", 14, DIM, bar.center, align="centre")
            return

        def at(step: int) -> int:
            return bar.left + round(step / length * bar.width)

        pygame.draw.rect(surface, LINE, bar, border_radius=7)
        played = Rect(bar.left, bar.top, max(at(tape.step) - bar.left, 1), bar.height)
        pygame.draw.rect(surface, (45, 92, 140), played, border_radius=7)
        for step in tape.losses:
            x = at(step)
            pygame.draw.polygon(surface, RED, [(x - 5, bar.bottom + 10), (x + 5, bar.bottom + 10), (x, bar.bottom + 2)])
        for step in tape.rewarded:
            colour = GOLD if tape.rewards[step] > 0 else RED
            pygame.draw.rect(surface, colour, Rect(at(step + 1) - 1, bar.top - 7, 3, bar.height + 7))
        for number, take in recorder.slots.items():
            if tape.passes(take):
                _text(surface, f"F{number + 4}", 12, ACCENT, (at(take.step), bar.top - 14), align="centre")
        x = at(tape.step)
        pygame.draw.rect(surface, TEXT, Rect(x - 2, bar.top - 4, 4, bar.height + 8), border_radius=2)
        _text(surface, "0", 13, DIM, (bar.left, bar.bottom + 8))
        _text(surface, f"{length:,}", 13, DIM, (bar.right, bar.bottom + 8), align="right")

    def _draw_help(self, recorder: Recorder, area: Rect) -> None:
        lines = [*recorder.keymap.help(), ("", "")]
        for command in COMMANDS:
            keys = [key for key in command.keys if recorder.keymap.commands.get(key) == command.name]
            pads = [f"pad {_PAD_LABELS[command.pad]}"] if command.pad else []
            shown = ["F5–F8"] if command.name == "slot" else [_label(key) for key in keys]
            lines.append((", ".join([*shown, *pads]), command.help))
        lines += [("mouse", "on the time line: to that frame")]
        shade = Surface(area.size, pygame.SRCALPHA)
        shade.fill((*BACKGROUND, 236))
        self._surface.blit(shade, area)
        row = min((area.height - 24) // max(len(lines), 1), 27)
        size = max(min(row - 8, 17), 10)
        y = area.top + (area.height - row * len(lines)) // 2
        keys_width = max((_render(names, size, ACCENT).get_width() for names, _ in lines), default=0)
        for names, what in lines:
            _text(self._surface, names, size, ACCENT, (area.left + 20 + keys_width, y), align="right")
            _text(self._surface, what, size, TEXT, (area.left + 40 + keys_width, y))
            y += row


@contextmanager
def open_window(recorder: Recorder, clock: Clock | None = None) -> Iterator[Window]:
    """The window, until the end of the ``with`` block.

    Args:
        clock: by default the real one.

    Raises:
        UsageError: the display cannot be opened.
    """
    # Where no display opens, SDL by itself takes a driver that shows nothing, and the player would wait for ever.
    drivers = [driver for driver, name in (("x11", "DISPLAY"), ("wayland", "WAYLAND_DISPLAY")) if os.environ.get(name)]
    if drivers:
        os.environ.setdefault("SDL_VIDEODRIVER", ",".join(drivers))
    try:
        pygame.display.init()
        pygame.font.init()
        controller.init()
        window = Window(recorder, clock or pygame.time.Clock())
    except pygame.error as error:
        pygame.quit()
        raise UsageError(f"the display cannot be opened: {error}; record by --search or --actions instead") from error
    try:
        yield window
    finally:
        pygame.quit()
        # Fonts do not outlive pygame.
        _font.cache_clear()
        _render.cache_clear()


_PAD_LABELS = {"leftshoulder": "LB", "rightshoulder": "RB", "back": "Back", "start": "Start", "y": "Y"}


def _pad_key(recorder: Recorder, key: str, source: str, down: bool) -> None:
    """As if the keyboard's key were pressed; under a name of its own, so that both may be held."""
    button = recorder.keymap.buttons.get(key)
    if button is None:
        return
    if down:
        recorder.held.press(f"pad {source} {key}", button)
    else:
        recorder.held.release(f"pad {source} {key}")


def _key_name(code: int) -> str:
    return pygame.key.name(code).lower()


def _label(key: str) -> str:
    return key.upper() if len(key) == 1 or key[1:].isdigit() else key.title()


def _action(recorder: Recorder) -> str:
    """What led to the picture that is seen."""
    tape = recorder.tape
    return recorder.keymap.meanings[tape.actions[tape.step - 1]] if tape.step else "–"


def _welcome(recorder: Recorder) -> str:
    keys = "; ".join(f"{names}: {what}" for names, what in recorder.keymap.help()[:4])
    return f"{keys} – any of them begins; H: all keys"


def _time(step: int, fps: float) -> str:
    seconds = step / fps
    return f"{int(seconds) // 60}:{seconds % 60:04.1f}"


@lru_cache(maxsize=32)
def _font(size: int) -> pygame.font.Font:
    return pygame.font.Font(None, round(size * 2.7))


@lru_cache(maxsize=2000)
def _render(text: str, size: int, colour: Colour) -> Surface:
    # Twice as large, then halved: letters are spaced more evenly than the font's hints do it.
    image = _font(size).render(text, True, colour)
    return pygame.transform.smoothscale_by(image, 0.5)


def _text(
    surface: Surface, text: str, size: int, colour: Colour, position: tuple[int, int], *, align: str = "left"
) -> None:
    """Draws text with its top left, top right, left middle or centre at ``position``."""
    image = _render(text, size, colour)
    anchor = {"left": "topleft", "right": "topright", "middle": "midleft", "centre": "center"}[align]
    surface.blit(image, image.get_rect(**{anchor: position}))


def _draw_message(surface: Surface, message: str, box: Rect) -> None:
    image = _render(message, 17, TEXT)
    back = image.get_rect().inflate(28, 18)
    back.midbottom = (box.centerx, box.bottom - 14)
    back.left = max(back.left, 4)
    shade = Surface(back.size, pygame.SRCALPHA)
    pygame.draw.rect(shade, (*SURFACE, 235), shade.get_rect(), border_radius=9)
    surface.blit(shade, back)
    surface.blit(image, image.get_rect(center=back.center))
