"""The serialized state of ale-py 0.12.1: a parser that stands before the emulator, and a converter of old states.

The emulator's own deserializer trusts its input: a forged RAM length makes it write past its arrays, a forged register
makes it index past its tables, and half of a state is restored before an error is noticed. So nothing reaches it that
this parser has not walked from end to end. The layout is that of ``ALEState::serialize`` and of the ``save`` methods
of Stella's components (``src/ale/environment/ale_state.cpp`` and ``src/ale/emucore`` of the Arcade Learning
Environment): little-endian 32-bit words and length-prefixed strings.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from demo_curriculum.simulators.protocol import SnapshotError

TRUE, FALSE = 0xFAB1FAB2, 0xBAD1BAD2
RAM_BYTES = 128
MAX_STATE_BYTES = 1 << 16

# What a word may hold: the largest value it may have, or BOOL for one of the two patterns.
BOOL = -1
BYTE = 0xFF
POSITIVE = 0x7FFFFFFF
ANY = 0xFFFFFFFF

# A, X, Y, SP, IR, PC; N, V, B, D, I, notZ, C; execution status
_CPU = (*[BYTE] * 5, 0xFFFF, *[BOOL] * 7, BYTE)
# timer, interval shift, cycles at which it was set and its interrupt reset; read after interrupt; DDRA, DDRB
_RIOT = (RAM_BYTES, *[BYTE] * RAM_BYTES, ANY, 10, ANY, ANY, BOOL, BYTE, BYTE)
_TIA = (
    *[ANY] * 4,  # clocks: frame started, display starts, display stops, last update; see _check_clocks
    228,  # clocks to the end of the scan line
    *[ANY] * 3,  # scan lines of the last frame, current scan line, clock at which VSYNC finishes
    63,  # enabled objects: they index the collision table
    *[BYTE] * 4,  # VSYNC, VBLANK, NUSIZ0, NUSIZ1
    *[ANY] * 4,  # colours of the players, the playfield and the background
    *[BYTE] * 2,  # CTRLPF, playfield priority and score
    *[BOOL] * 2,  # REFP0, REFP1
    0xFFFFF,  # PF
    *[BYTE] * 4,  # GRP0, GRP1, DGRP0, DGRP1
    *[BOOL] * 4,  # ENAM0, ENAM1, ENABL, DENABL
    *[15] * 5,  # HMP0, HMP1, HMM0, HMM1, HMBL: they index the motion table
    *[BOOL] * 5,  # VDELP0, VDELP1, VDELBL, RESMP0, RESMP1
    0xFFFF,  # collisions
    *[159] * 5,  # positions of players, missiles and ball: they index the mask tables
    *[BYTE] * 2,  # current GRP0, GRP1
    ANY,  # clock of the last HMOVE
    *[BOOL] * 2,  # HMOVE blank enabled, Cosmic Ark motion enabled
    3,  # Cosmic Ark counter
    BOOL,  # dump enabled
    ANY,  # cycle at which the dump was disabled
)
_SOUND = (*[BYTE] * 6, ANY)
# The cartridges of the ROMs that ale-py ships: banks or slices, and memory of their own behind its length.
_EXTRA_RAM = (RAM_BYTES, *[BYTE] * RAM_BYTES)
_CARTRIDGES: dict[str, tuple[int, ...]] = {
    "Cartridge2K": (),
    "Cartridge4K": (),
    "CartridgeFE": (),
    "CartridgeF8": (1,),
    "CartridgeF6": (3,),
    "CartridgeF8SC": (1, *_EXTRA_RAM),
    "CartridgeF6SC": (3, *_EXTRA_RAM),
    "CartridgeE0": (4, *[7] * 4),
    # bank; tops, bottoms, counters and flags of the data fetchers; music modes; random number, cycles, clocks
    "CartridgeDPC": (
        *(1, 8, *[BYTE] * 8, 8, *[BYTE] * 8, 8, *[2047] * 8, 8, *[BYTE] * 8),
        *(3, *[BOOL] * 3, BYTE, ANY, ANY),
    ),
}
# Words that are lengths of arrays: the deserializer loops on them, so they must be exact.
_LENGTHS = {"M6532": (0,), "CartridgeF8SC": (1,), "CartridgeF6SC": (1,), "CartridgeE0": (0,)} | {
    "CartridgeDPC": (1, 10, 19, 28, 37)
}
_MAX_SETTINGS = 64
_FRAME_CLOCKS = 300 * 228  # the frame buffer holds 300 scan lines


@dataclass(frozen=True)
class AleState:
    """What the parser found; everything else in the state was checked and left where it is.

    Attributes:
        rom_md5: of the ROM that the state belongs to.
        frame: emulator frames since the ROM was loaded.
        episode_frame: emulator frames since the game's own reset.
        mode: of the game.
        difficulty: of the game.
        rng: the emulator's random generator as text, 625 numbers.
        ram: the console's memory, 128 bytes.
        paddle_limits: smallest and largest paddle position.
        layout: cartridge, and which of the game's own words are booleans: equal in all states of one game.
    """

    rom_md5: str
    frame: int
    episode_frame: int
    mode: int
    difficulty: int
    rng: bytes
    ram: bytes
    paddle_limits: tuple[int, int]
    layout: tuple[str, tuple[bool, ...]]


def parse_state(data: bytes, *, rom_md5: str) -> AleState:
    """Walks a serialized state from end to end.

    Raises:
        SnapshotError: ``data`` is not a state of the ROM with ``rom_md5`` that can be given to the emulator.
    """
    outer = _Reader(data)
    _, _, frame, episode_frame, mode, difficulty = outer.words("header", (ANY, ANY, *[POSITIVE] * 4))
    inner = _Reader(outer.string("system"))
    paddle_min, paddle_max = outer.words("paddle limits", (POSITIVE, POSITIVE))
    outer.expect_end()

    md5 = inner.string("ROM md5")
    if md5 != rom_md5.encode():
        raise SnapshotError(f"the state is of the ROM {_printable(md5)}, the installed one is {rom_md5}")
    inner.component("System", (ANY,))
    rng = inner.string("random generator")
    _check_rng(rng)
    inner.component("M6502Low", _CPU)
    riot = inner.component("M6532", _RIOT)
    _check_clocks(inner.component("TIA", _TIA))
    inner.component("TIASound", _SOUND)
    cartridge = inner.string("cartridge").decode("latin-1")
    if cartridge not in _CARTRIDGES:
        raise SnapshotError(f"the state has an unknown cartridge {_printable(cartridge.encode())}")
    inner.limited_words(cartridge, _CARTRIDGES[cartridge])
    settings = inner.rest("game")
    if not 1 <= len(settings) <= _MAX_SETTINGS or settings[-1] != FALSE:
        raise SnapshotError("the state does not end as one saved without its random generator does")
    return AleState(
        rom_md5=rom_md5,
        frame=frame,
        episode_frame=episode_frame,
        mode=mode,
        difficulty=difficulty,
        rng=rng,
        ram=bytes(riot[1 : RAM_BYTES + 1]),
        paddle_limits=(paddle_min, paddle_max),
        layout=(cartridge, tuple(word in (TRUE, FALSE) for word in settings)),
    )


def old_rom_md5(data: bytes) -> str:
    """The ROM that a state in the old format (see ``convert_old_state``) belongs to.

    Raises:
        SnapshotError: ``data`` is not in the old format.
    """
    return _split_old(data)[1].decode("latin-1")


def convert_old_state(data: bytes, template: AleState) -> bytes:
    """A state as atari-py and old versions of ale-py serialized it, in the installed version's format.

    The old format has no mode, difficulty, random generator and paddle limits, and says first instead of last whether
    a random generator was included. What it lacks is taken from ``template``, a state of the same game made by the
    installed version, and so is the ROM's md5: some old files were made with another dump of the same game.

    Raises:
        SnapshotError: ``data`` is not in the old format, or the result is not a state of the template's game.
    """
    header, _, cycles, rest = _split_old(data)
    inner = (
        _string(template.rom_md5.encode())
        + _string(b"System")
        + cycles
        + _string(template.rng)
        + rest
        + struct.pack("<I", FALSE)
    )
    converted = (
        header
        + struct.pack("<2I", template.mode, template.difficulty)
        + _string(inner)
        + struct.pack("<2I", *template.paddle_limits)
    )
    state = parse_state(converted, rom_md5=template.rom_md5)
    if state.layout != template.layout:
        raise SnapshotError(f"the old state has the layout of another game: {state.layout[0]}")
    return converted


def _split_old(data: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """Header, ROM md5, cycles and everything behind them of a state in the old format."""
    outer = _Reader(data)
    header = outer.take(16, "header")
    inner = _Reader(outer.string("system"))
    outer.expect_end()
    inner.words("random generator flag", (BOOL,))
    md5 = inner.string("ROM md5")
    inner.expect_name("System")
    cycles = inner.take(4, "cycles")
    return header, md5, cycles, inner.take(len(inner.data) - inner.position, "components")


class _Reader:
    """Reads words and strings one after the other and refuses what is not as it must be."""

    def __init__(self, data: bytes) -> None:
        if len(data) > MAX_STATE_BYTES:
            raise SnapshotError(f"the state has {len(data)} bytes, more than the {MAX_STATE_BYTES} that one may have")
        self.data = data
        self.position = 0

    def take(self, size: int, what: str) -> bytes:
        end = self.position + size
        if end > len(self.data):
            raise SnapshotError(f"the state ends within its {what}, at byte {len(self.data)}")
        taken = self.data[self.position : end]
        self.position = end
        return taken

    def string(self, what: str) -> bytes:
        return self.take(int.from_bytes(self.take(4, what), "little"), what)

    def words(self, what: str, limits: Sequence[int]) -> tuple[int, ...]:
        """Unsigned words, each within its limit."""
        words: tuple[int, ...] = struct.unpack(f"<{len(limits)}I", self.take(4 * len(limits), what))
        for index, (word, limit) in enumerate(zip(words, limits, strict=True)):
            if word > limit and not (limit == BOOL and word in (TRUE, FALSE)):
                raise SnapshotError(f"the state holds {word:#x} as word {index} of its {what}")
        return words

    def limited_words(self, name: str, limits: Sequence[int]) -> tuple[int, ...]:
        """The words of the component ``name``, in which array lengths must be exact."""
        words = self.words(name, limits)
        for index in _LENGTHS.get(name, ()):
            if words[index] != limits[index]:
                raise SnapshotError(f"the state holds the length {words[index]} as word {index} of its {name}")
        return words

    def component(self, name: str, limits: Sequence[int]) -> tuple[int, ...]:
        self.expect_name(name)
        return self.limited_words(name, limits)

    def expect_name(self, name: str) -> None:
        found = self.string(name)
        if found != name.encode():
            raise SnapshotError(f"the state holds {_printable(found)} where {name} belongs")

    def rest(self, what: str) -> tuple[int, ...]:
        size = len(self.data) - self.position
        if size % 4:
            raise SnapshotError(f"the state's {what} is not made of whole words: {size} bytes")
        return self.words(what, [ANY] * (size // 4))

    def expect_end(self) -> None:
        if self.position != len(self.data):
            raise SnapshotError(f"the state has {len(self.data) - self.position} bytes too many")


@lru_cache(maxsize=64)  # nearly all states of a demo hold the same text
def _check_rng(text: bytes) -> None:
    """A Mersenne twister as C++ prints it: 624 numbers of 32 bits and the index of the next."""
    numbers = text.split(b" ")
    if (
        len(numbers) != 625
        or not all(number.isdigit() and len(number) <= 10 and int(number) <= ANY for number in numbers)
        or int(numbers[-1]) > 624
    ):
        raise SnapshotError("the state's random generator is not the text of 625 numbers")


def _check_clocks(tia: Sequence[int]) -> None:
    """The display's clocks decide how much of the frame buffer is written; they must agree with one another."""
    started, begin, end, updated = (word - (word >> 31 << 32) for word in tia[:4])
    if not (-228 < started <= 0 < begin <= updated <= end <= begin + _FRAME_CLOCKS):
        raise SnapshotError(f"the state's display clocks contradict each other: {started}, {begin}, {updated}, {end}")


def _string(text: bytes) -> bytes:
    return struct.pack("<I", len(text)) + text


def _printable(text: bytes) -> str:
    return repr(text[:40].decode("latin-1"))
