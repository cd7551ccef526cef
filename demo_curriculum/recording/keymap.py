"""Which keys and pad buttons play which action, and which command the recorder. Knows no window: keys are names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from demo_curriculum.simulators import Simulator

DIRECTIONS = ("up", "down", "left", "right")
OPPOSITE = {"up": "down", "down": "up", "left": "right", "right": "left"}
WASD = {"w": "up", "s": "down", "a": "left", "d": "right"}
# Keys for actions whose names say nothing about directions.
NUMBERS = "1234567890"

_ALE = re.compile(r"(UP|DOWN)?(LEFT|RIGHT)?(FIRE)?")
_IDLE = {"noop", "nothing", "none", "stay", "wait", "idle", "still"}
_WORDS = {
    "up": "up",
    "north": "up",
    "forward": "up",
    "down": "down",
    "south": "down",
    "backward": "down",
    "left": "left",
    "west": "left",
    "right": "right",
    "east": "right",
    "fire": "fire",
    "shoot": "fire",
    "jump": "fire",
}
# SDL's key codes beyond ASCII that Gymnasium's key maps use.
_CODES = {1073741903: "right", 1073741904: "left", 1073741905: "down", 1073741906: "up", 32: "space", 13: "return"}


@dataclass(frozen=True)
class Command:
    """One thing the recorder can be told to do.

    Attributes:
        keys: any of them; a letter that the game uses is the game's.
        pad: the button of a game controller, by SDL's name; empty for none.
        help: for the help screen.
    """

    name: str
    keys: tuple[str, ...]
    help: str
    pad: str = ""


SLOTS = ("f5", "f6", "f7", "f8")
COMMANDS = (
    Command(
        "back", ("r", "backspace", "page up"), "hold: back in time, from 1× to 8×; Shift: 8× at once", "leftshoulder"
    ),
    Command("forward", ("t", "page down"), "hold: forward again through what was played", "rightshoulder"),
    Command("life", ("l", "delete"), "undo the last life lost: to two seconds before it", "back"),
    Command("undo", ("z", "f3"), "undo the last change by time travel"),
    Command("pause", ("p", "return"), "pause, and go on", "start"),
    Command("step", (".",), "one frame on, with the keys held"),
    Command("step back", (",",), "one frame back"),
    Command("slower", ("-",), "slow motion: 1/2, 1/4, 1/8"),
    Command("faster", ("=", "+"), "faster again"),
    Command("slot", SLOTS, "quick-save slots 1 to 4: load; Shift: save"),
    Command("begin", ("home",), "to the beginning"),
    Command("end", ("end",), "to the end"),
    Command("cut", ("x", "f4"), "end the demo here"),
    Command("save", ("f2",), "save now (every exit saves too)"),
    Command("help", ("h", "f1"), "this help", "y"),
    Command("fullscreen", ("f11",), "full screen"),
    Command("quit", ("escape",), "save and leave"),
)


@dataclass(frozen=True)
class KeyMap:
    """Held buttons -> action.

    Attributes:
        actions: which buttons together play which action; the empty set, where there is one, is no action.
        buttons: key name -> button.
        commands: key name -> the recorder's command, for keys that the game does not use.
        meanings: names of the actions, by number.
    """

    actions: Mapping[frozenset[str], int]
    buttons: Mapping[str, str]
    meanings: Sequence[str]
    commands: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        commands = {key: command.name for command in COMMANDS for key in command.keys if key not in self.buttons}
        object.__setattr__(self, "commands", commands)

    def action(self, held: Sequence[str]) -> int | None:
        """The action that most of the ``held`` buttons together play; of two opposite directions the later counts.

        None where nothing is held and doing nothing is no action: such a game waits.

        Args:
            held: in the order in which they were pressed.
        """
        wanted = [button for index, button in enumerate(held) if OPPOSITE.get(button) not in held[index + 1 :]]
        order = {button: index for index, button in enumerate(wanted)}
        fitting = [buttons for buttons in self.actions if buttons <= set(wanted)]
        if not fitting:
            return None
        # Of combinations of the same size the one pressed last; a direction that cannot be fired in is still walked.
        return self.actions[
            max(fitting, key=lambda buttons: (len(buttons), sorted((order[b] for b in buttons), reverse=True)))
        ]

    def help(self) -> list[tuple[str, str]]:
        """(keys, what they play) for the help screen."""
        if self.buttons.keys() >= {*DIRECTIONS, *WASD} and set(self.buttons.values()) <= {*DIRECTIONS, "fire"}:
            lines = [("arrows, WASD, pad", "move")]
            if any("fire" in buttons for buttons in self.actions):
                lines.append(("Space, F, pad A", "fire, jump"))
            return lines
        keys: dict[str, list[str]] = {}
        for key, button in self.buttons.items():
            keys.setdefault(button, []).append(key)
        return [
            (" + ".join("/".join(keys[button]) for button in sorted(buttons)), self.meanings[action])
            for buttons, action in self.actions.items()
            if buttons
        ]


class Held:
    """The game buttons held down, in the order pressed; one tapped between two steps counts for one step."""

    def __init__(self) -> None:
        self._down: dict[str, str] = {}
        self._tapped: list[str] = []

    @property
    def fresh(self) -> bool:
        """Whether a button was pressed since the last ``take``."""
        return bool(self._tapped)

    @property
    def any(self) -> bool:
        return bool(self._down or self._tapped)

    def press(self, key: str, button: str) -> None:
        self._down[key] = button
        self._tapped.append(button)

    def release(self, key: str) -> None:
        self._down.pop(key, None)

    def release_all(self) -> None:
        self._down.clear()
        self._tapped.clear()

    @property
    def buttons(self) -> list[str]:
        """Held or tapped since the last ``take``; in order, each once."""
        tapped = [button for button in self._tapped if button not in self._down.values()]
        return list(dict.fromkeys([*tapped, *self._down.values()]))

    def take(self) -> list[str]:
        buttons = self.buttons
        self._tapped.clear()
        return buttons


def keymap_of(simulator: Simulator) -> KeyMap:
    """The key map of a simulator: from its ``get_keys_to_action()`` where it has one (as Gymnasium's environments do),
    else from the names of its actions, for instance ALE's UPRIGHTFIRE; actions whose names say nothing get numbers.
    """
    meanings = [str(meaning) for meaning in simulator.action_meanings]
    own = getattr(simulator, "get_keys_to_action", None)
    if own is not None:
        return _from_keys(own(), meanings)
    actions: dict[frozenset[str], int] = {}
    numbered = []
    for action, meaning in enumerate(meanings):
        buttons = _buttons_of(meaning)
        if buttons is None or buttons in actions:
            numbered.append(action)
        else:
            actions[buttons] = action
    for number, action in zip(NUMBERS, numbered, strict=False):
        actions[frozenset(number)] = action
    known = frozenset[str]().union(*actions)
    buttons_of_keys = {button: button for button in known if button in DIRECTIONS or button in NUMBERS}
    buttons_of_keys |= {key: button for key, button in WASD.items() if button in known}
    if "fire" in known:
        buttons_of_keys |= {"space": "fire", "f": "fire"}
    return KeyMap(actions, buttons_of_keys, meanings)


def _buttons_of(meaning: str) -> frozenset[str] | None:
    """What plays an action of this name; None if the name does not say."""
    match = _ALE.fullmatch(meaning)
    if match is not None and meaning:
        return frozenset(part.lower() for part in match.groups() if part)
    words = re.findall("[a-z]+", meaning.lower().replace("no-op", "noop"))
    if _IDLE & set(words):
        return frozenset()
    return frozenset(_WORDS[word] for word in words if word in _WORDS) or None


def _from_keys(keys_to_action: Mapping[Any, Any], meanings: Sequence[str]) -> KeyMap:
    """From Gymnasium's form: keys are tuples of, or single, characters or key codes."""
    actions = {}
    for keys, action in keys_to_action.items():
        parts = keys if isinstance(keys, (tuple, frozenset)) else (keys,)
        actions[frozenset(_key_name(part) for part in parts) - {""}] = int(action)
    buttons = {key: key for key in frozenset[str]().union(*actions)}
    # A pad, and players who prefer the other half of the keyboard, speak arrows.
    for letter, arrow in WASD.items():
        if letter in buttons and arrow not in buttons:
            buttons[arrow] = letter
        elif arrow in buttons and letter not in buttons:
            buttons[letter] = arrow
    return KeyMap(actions, buttons, meanings)


def _key_name(key: Any) -> str:
    if isinstance(key, str):
        return "space" if key == " " else key.lower()
    return "" if not key else _CODES.get(int(key)) or chr(int(key)).lower()
