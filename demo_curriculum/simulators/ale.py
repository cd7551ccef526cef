"""Atari games through the Arcade Learning Environment (ale-py)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from functools import cached_property, lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, NamedTuple

import ale_py
import numpy as np
from numpy.typing import NDArray

from demo_curriculum.demo import SimulatorSpec
from demo_curriculum.errors import DemoCurriculumError
from demo_curriculum.simulators.ale_state import parse_state
from demo_curriculum.simulators.protocol import SnapshotError

Observation = Literal["ram", "pixels"]

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


class _Opening(NamedTuple):
    """What the first frame of a game led to."""

    state: ale_py.ALEState
    reward: int
    over: bool


@lru_cache(maxsize=8)
def _openings(md5: str) -> dict[int, _Opening]:
    """Of a game, by the first action's code, those that were played in this process."""
    return {}


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
        self._screens = np.zeros((2, *self._ale.getScreenDims()), np.uint8)
        self._loaded = self._ale.cloneState()
        self._reset_emulator()
        self._layout = parse_state(self.save(), rom_md5=self._spec.rom_md5).layout
        self._first_ram, self._first_screen = self._ale.getRAM(), self._ale.getScreenGrayscale()
        self._first_lives = int(self._ale.lives())
        self._openings = _openings(self._spec.rom_md5)
        self.reset()

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
        return not self._at_reset and bool(self._ale.game_over())

    @property
    def lives(self) -> int:
        return self._first_lives if self._at_reset else int(self._ale.lives())

    def reset(self) -> None:
        # The emulator plays 64 frames to reset a game. So it is left
        # alone until the first action comes, and then restored to what that once led to, or really reset.
        self._at_reset = self._drawn = True
        self._screens[:] = self._first_screen

    def _reset_emulator(self) -> None:
        # A reset draws the timer's first value from the emulator's own generator and moves it on, so that in 29 of 104
        # games, Private Eye among them, the second game begins otherwise than the first. This puts the generator back.
        self._ale.restoreState(self._loaded)
        self._ale.reset_game()
        self._at_reset = self._acted = False
        # Whether the screens are the state's: not after a restore, since the emulator draws only while it acts.
        self._drawn = True

    def _catch_up(self) -> None:
        """Brings the emulator to where this simulator is, for all that is not kept of a game's beginning."""
        if self._at_reset:
            self._reset_emulator()

    def _open(self, code: int, frames: int) -> tuple[int, bool]:
        """Plays the first of ``frames`` frames of a game; returns its reward and whether the game is over."""
        known = self._openings.get(code)
        # Not where the screens of the first two frames matter: one a state does not have, the other is not drawn as a
        # whole after a restore. And an emulator that was reset and did not act yet cannot be restored.
        if known is not None and frames > 3 and not known.over and self._acted:
            self._ale.restoreState(known.state)
            self._at_reset, self._drawn = False, True
            return known.reward, known.over
        self._reset_emulator()
        reward, over = self._ale.act(code), self._ale.game_over()
        self._openings[code] = _Opening(self._ale.cloneState(), reward, over)
        return reward, over

    def play(self, actions: Sequence[int]) -> float:
        ale, codes = self._ale, self._codes
        if len(actions) and not 0 <= min(actions) <= max(actions) < len(codes):
            raise ValueError(f"actions {list(actions)} are not all within 0..{len(codes) - 1}")
        pixels = self._observation == "pixels"
        if pixels and len(actions) < 3:
            self._draw()
        reward = 0
        for index, action in enumerate(actions):
            if self._at_reset:
                gained, over = self._open(codes[action], len(actions))
            else:
                gained, over = ale.act(codes[action]), ale.game_over()
            reward += gained
            if pixels and (over or index >= len(actions) - 2):
                self._take_screen()
            if over:
                break
        if len(actions):
            self._acted = self._drawn = True
        return float(reward)

    def _take_screen(self) -> None:
        before, latest = self._screens
        if self._drawn:
            before[:] = latest
        self._ale.getScreenGrayscale(latest)
        if not self._drawn:
            # Of a state that was restored, or reset to, there is no screen of before.
            before[:] = latest
        self._drawn = True

    def _draw(self) -> None:
        """Has the emulator draw a restored state, for those who look before they play."""
        if not self._drawn:
            state = self._ale.cloneState()
            self._ale.act(0)
            self._ale.restoreState(state)
            self._take_screen()

    def observe(self) -> NDArray[np.uint8]:
        if self._observation == "ram":
            return self._first_ram.copy() if self._at_reset else np.asarray(self._ale.getRAM())
        self._draw()
        return self._resize(self._screens.max(axis=0))

    def save(self) -> bytes:
        self._catch_up()
        return bytes(self._ale.cloneState().serialize())

    def restore(self, data: bytes) -> None:
        try:
            state = _checked_state(data, self._spec.rom_md5, self._spec.env_id, self._layout)
            # The state does not say how much of a picture is drawn. An emulator that is not done with one, as after the
            # reset of Q*bert and Tetris, would go on drawing where the state's clocks say, beyond its buffer; it has to
            # act before it is restored.
            if not self._acted:
                self._ale.act(0)
                self._acted = True
            self._ale.restoreState(state)
        except SystemError as error:
            raise SnapshotError(f"ale-py {version('ale-py')} refused a state of {len(data)} bytes") from error
        self._at_reset, self._drawn = False, False

    def poke(self, entry: int, value: int) -> None:
        """Overwrites a byte of the memory, which no game does by itself: to find out what it is good for."""
        self._catch_up()
        self._ale.setRAM(entry, value)

    def fingerprint(self) -> int:
        self._catch_up()
        digest = hashlib.sha256(np.asarray(self._ale.getRAM()).tobytes()).digest()
        return int.from_bytes(digest[:8], "little")

    def render(self) -> NDArray[np.uint8]:
        self._catch_up()
        self._draw()
        return np.asarray(self._ale.getScreenRGB())

    @cached_property
    def _resizers(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        _, height, width = self._screens.shape
        return _area_weights(height, self._size[0]), _area_weights(width, self._size[1]).T

    def _resize(self, screen: NDArray[np.uint8]) -> NDArray[np.uint8]:
        rows, columns = self._resizers
        # No target pixel covers source pixels of two blocks, so that small products of blocks do for the whole.
        shrunk = rows @ screen.astype(np.float32).reshape(-1, rows.shape[1], screen.shape[1])
        return np.rint(shrunk.reshape(-1, columns.shape[0]) @ columns).astype(np.uint8).reshape(self._size)


@lru_cache(maxsize=1024)  # the same starts are restored again and again
def _checked_state(data: bytes, md5: str, env_id: str, layout: tuple[str, tuple[bool, ...]]) -> ale_py.ALEState:
    if parse_state(data, rom_md5=md5).layout != layout:
        raise SnapshotError(f"the state is not laid out as those of {env_id} are")
    return ale_py.ALEState(data)


def _area_weights(source: int, target: int) -> NDArray[np.float32]:
    """(target, source) of the smallest block that repeats: each target pixel is the mean of the source pixels it
    covers, in proportion to the overlap."""
    blocks = math.gcd(source, target)
    source, target = source // blocks, target // blocks
    edges = np.arange(target + 1) * source / target
    pixels = np.arange(source)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    weights: NDArray[np.float32] = (np.clip(overlap, 0, None) * target / source).astype(np.float32)
    return weights
