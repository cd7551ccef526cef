"""Atari games through the Arcade Learning Environment (ale-py)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property, lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import ale_py
import numpy as np
from numpy.typing import NDArray

from demo_curriculum.demo import SimulatorSpec
from demo_curriculum.errors import DemoCurriculumError
from demo_curriculum.simulators.ale_state import parse_state
from demo_curriculum.simulators.protocol import SnapshotError

Observation = Literal["ram", "pixels"]

SCREEN = (210, 160)
# Loading any of these ends the process in ale-py 0.12.1, which no exception can catch.
CRASHING_ROMS = frozenset({"combat", "joust", "maze_craze", "warlords"})


def game_of(env_id: str) -> str:
    """``ALE/MontezumaRevenge-v5`` -> ``montezuma_revenge``.

    Raises:
        DemoCurriculumError: not an Atari id, or a game that the installed ale-py has no ROM of or crashes on.
    """
    name, _, suffix = env_id.removeprefix("ALE/").partition("-")
    if not env_id.startswith("ALE/") or suffix != "v5":
        raise DemoCurriculumError(f"{env_id!r} is not an Atari id; expected something like ALE/MontezumaRevenge-v5")
    game = {game.replace("_", ""): game for game in ale_py.roms.get_all_rom_ids()}.get(name.lower())
    if game is None or game in CRASHING_ROMS:
        raise DemoCurriculumError(f"{env_id!r}: the installed ale-py {version('ale-py')} cannot play {name!r}")
    return game


@lru_cache(maxsize=8)
def rom_md5(game: str) -> str:
    return hashlib.md5(_rom_path(game).read_bytes()).hexdigest()


def _rom_path(game: str) -> Path:
    path = ale_py.roms.get_rom_path(game)
    assert path is not None, "game_of has checked the name"
    return Path(path)


class AleSimulator:
    """One Atari game; a demo step is one emulator frame. Implements ``Simulator``.

    Args:
        env_id: for instance ``ALE/MontezumaRevenge-v5``.
        observation: ``ram`` (u8, 128) or ``pixels`` (u8, grey, the maximum over the last two frames, resized).
        size: height and width of ``pixels``; 84×84 as in RND, 105×80 as in atari-reset.
        full_action_space: all 18 actions instead of the game's minimal set.
    """

    def __init__(
        self,
        env_id: str,
        *,
        observation: Observation = "ram",
        size: tuple[int, int] = (84, 84),
        full_action_space: bool = False,
    ) -> None:
        game = game_of(env_id)
        ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
        self._ale = ale_py.ALEInterface()
        self._ale.setInt("random_seed", 0)
        # Sticky actions are the environment's business: ALE's own are not restorable (their last action is not in
        # the state), and the setting takes effect only when a ROM is loaded.
        self._ale.setFloat("repeat_action_probability", 0.0)
        self._ale.loadROM(_rom_path(game))
        actions = self._ale.getLegalActionSet() if full_action_space else self._ale.getMinimalActionSet()
        self._codes = [int(action.value) for action in actions]
        self.action_meanings: Sequence[str] = [action.name for action in actions]
        self._observation = observation
        self._size = size
        self._spec = SimulatorSpec(
            env_id=env_id,
            kwargs={"full_action_space": full_action_space},
            adapter="ale/1",
            versions={"ale-py": version("ale-py")},
            rom_md5=rom_md5(game),
        )
        # The two latest screens, which pixel observations pool; Atari sprites flicker from frame to frame.
        self._screens = np.zeros((2, *SCREEN), np.uint8)
        self._loaded = self._ale.cloneState()
        self._acted = False
        self.reset()
        self._layout = parse_state(self.save(), rom_md5=self._spec.rom_md5).layout

    @property
    def spec(self) -> SimulatorSpec:
        return self._spec

    @property
    def action_count(self) -> int:
        return len(self._codes)

    @property
    def observation_shape(self) -> tuple[int, ...]:
        return (128,) if self._observation == "ram" else self._size

    @property
    def observation_dtype(self) -> np.dtype[Any]:
        return np.dtype(np.uint8)

    @property
    def game_over(self) -> bool:
        return bool(self._ale.game_over())

    @property
    def lives(self) -> int:
        return int(self._ale.lives())

    def reset(self) -> None:
        # A reset draws the timer's first value from the emulator's own generator and moves it on, so that in 29 of 104
        # games, Private Eye among them, the second game begins otherwise than the first. This puts the generator back.
        self._ale.restoreState(self._loaded)
        self._ale.reset_game()
        self._acted = False
        if self._observation == "pixels":
            self._ale.getScreenGrayscale(self._screens[1])
            self._screens[0] = self._screens[1]

    def play(self, actions: Sequence[int]) -> float:
        ale, codes = self._ale, self._codes
        if len(actions) and not 0 <= min(actions) <= max(actions) < len(codes):
            raise ValueError(f"actions {list(actions)} are not all within 0..{len(codes) - 1}")
        pixels = self._observation == "pixels"
        reward = 0
        self._acted = self._acted or len(actions) > 0
        for index, action in enumerate(actions):
            reward += ale.act(codes[action])
            over = ale.game_over()
            if pixels and (over or index >= len(actions) - 2):
                self._screens[0] = self._screens[1]
                ale.getScreenGrayscale(self._screens[1])
            if over:
                break
        return float(reward)

    def observe(self) -> NDArray[np.uint8]:
        if self._observation == "ram":
            return np.asarray(self._ale.getRAM())
        return self._resize(self._screens.max(axis=0))

    def save(self) -> bytes:
        return bytes(self._ale.cloneState().serialize())

    def restore(self, data: bytes) -> None:
        try:
            state = _checked_state(data, self._spec.rom_md5, self._spec.env_id, self._layout)
            # The state does not say how much of a picture is drawn. An emulator that is not done with one, as after the
            # reset of Q*bert and Tetris, would go on drawing where the state's clocks say, beyond its buffer; it has to
            # act before it is restored. It acts again because the screen would else show what was there before.
            if not self._acted:
                self._ale.act(0)
                self._acted = True
            self._ale.restoreState(state)
            self._ale.act(0)
            self._ale.restoreState(state)
        except SystemError as error:
            raise SnapshotError(f"ale-py {version('ale-py')} refused a state of {len(data)} bytes") from error
        if self._observation == "pixels":
            self._ale.getScreenGrayscale(self._screens[1])
            self._screens[0] = self._screens[1]

    def fingerprint(self) -> int:
        digest = hashlib.sha256(np.asarray(self._ale.getRAM()).tobytes()).digest()
        return int.from_bytes(digest[:8], "little")

    def render(self) -> NDArray[np.uint8]:
        return np.asarray(self._ale.getScreenRGB())

    @cached_property
    def _resizers(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return _area_weights(SCREEN[0], self._size[0]), _area_weights(SCREEN[1], self._size[1]).T

    def _resize(self, screen: NDArray[np.uint8]) -> NDArray[np.uint8]:
        rows, columns = self._resizers
        return np.rint(rows @ (screen.astype(np.float32) @ columns)).astype(np.uint8)


@lru_cache(maxsize=1024)  # the same starts are restored again and again
def _checked_state(data: bytes, md5: str, env_id: str, layout: tuple[str, tuple[bool, ...]]) -> ale_py.ALEState:
    if parse_state(data, rom_md5=md5).layout != layout:
        raise SnapshotError(f"the state is not laid out as those of {env_id} are")
    return ale_py.ALEState(data)


def _area_weights(source: int, target: int) -> NDArray[np.float32]:
    """(target, source): each target pixel is the mean of the source pixels it covers, in proportion to the overlap."""
    edges = np.arange(target + 1) * source / target
    pixels = np.arange(source)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    weights: NDArray[np.float32] = (np.clip(overlap, 0, None) * target / source).astype(np.float32)
    return weights
