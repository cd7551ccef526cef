"""Reader of OpenAI's human demonstrations: the ``.demo`` pickles of openai/atari-reset.

A pickle is a program for a stack machine, and Python's own machine lets it import and call anything. This one knows the
opcodes that these files use, and of numpy's functions only what they would have made, as plain bytes and numbers. There
is nothing here that could run code.
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from demo_curriculum.store.checked import first_line
from demo_curriculum.store.files import StoreError, check_regular_file

MAX_FILE_BYTES = 256 << 20
MAX_CHECKPOINT_BYTES = 64 << 10
MAX_ACTION = 17

_SCALARS = {"f8": "<d", "f4": "<f", "i8": "<q", "i4": "<i", "u1": "<B"}


@dataclass(frozen=True, eq=False)
class OpenAIRecording:
    """One recording; T emulator frames.

    Attributes:
        actions: i64 (T,), indices into the game's minimal action set.
        rewards: f64 (T,) or (T+1,): some files hold one too many.
        lives: i32 (T+1,); None where the file has none.
        checkpoints: emulator states in the old format.
        checkpoint_steps: i64, the frame before which each checkpoint was taken, increasing.
    """

    actions: NDArray[np.int64]
    rewards: NDArray[np.float64]
    lives: NDArray[np.int32] | None
    checkpoints: tuple[bytes, ...]
    checkpoint_steps: NDArray[np.int64]


def read_openai_demo(path: Path | str) -> OpenAIRecording:
    """Reads a ``.demo`` file without running anything in it.

    Raises:
        StoreError: the file is no such recording, or wants to import or do what such a recording does not.
    """
    path = Path(path)
    check_regular_file(path, max_bytes=MAX_FILE_BYTES)
    try:
        return _check(_Machine().run(path.read_bytes()))
    except _PickleError as error:
        raise StoreError(f"{path}: is not a recording of atari-reset: {first_line(error)}") from error
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror}") from error


class _PickleError(Exception):
    """What is wrong with the pickle."""


def _refuse(reason: str) -> NoReturn:
    raise _PickleError(reason)


class _Mark:
    """Where a run of arguments begins on the stack."""


@dataclass
class _Dtype:
    """What ``numpy.dtype(...)`` makes."""

    code: str


@dataclass
class _Array:
    """What numpy's ``_reconstruct`` makes; a one-dimensional array of bytes is all that these files hold."""

    data: bytes = b""


_FACTORIES = {
    "numpy dtype": "dtype",
    "numpy ndarray": "ndarray",
    "numpy.core.multiarray scalar": "scalar",
    "numpy.core.multiarray _reconstruct": "array",
}


@dataclass(frozen=True)
class _Name:
    """An imported name, which is never imported."""

    factory: str


@dataclass
class _Machine:
    """The pickle machine, as far as these files need it: see ``pickletools.dis`` of one of them."""

    stack: list[Any] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def run(self, data: bytes) -> Any:
        result = None
        try:
            for opcode, argument, position in pickletools.genops(data):
                handler = _OPCODES.get(opcode.name)
                if handler is None:
                    _refuse(f"it uses the opcode {opcode.name} at byte {position}")
                handler(self, argument)
                if opcode.name == "STOP":
                    result = self.stack.pop()
        except (IndexError, KeyError, TypeError, ValueError, struct.error) as error:
            raise _PickleError(f"the pickle is damaged: {error}") from error
        if self.stack:
            _refuse("the pickle is damaged: something is left over")
        return result

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop_mark(self) -> list[Any]:
        items = []
        while not isinstance(item := self.stack.pop(), _Mark):
            items.append(item)
        return items[::-1]

    def pop_tuple(self, size: int) -> None:
        items = tuple(self.stack[len(self.stack) - size :])
        if len(items) != size:
            raise IndexError("stack underflow")
        del self.stack[len(self.stack) - size :]
        self.push(items)

    def put(self, key: int) -> None:
        self.memo[key] = self.stack[-1]

    def get(self, key: int) -> None:
        self.push(self.memo[key])

    def append(self, items: Sequence[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not list:
            _refuse("it appends to something that is no list")
        target.extend(items)

    def set_items(self, items: Sequence[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not dict or len(items) % 2 or not all(isinstance(key, str) for key in items[::2]):
            _refuse("it sets items of something that is no dictionary of names")
        target.update(zip(items[::2], items[1::2], strict=True))

    def name(self, argument: str) -> None:
        if argument not in _FACTORIES:
            _refuse(f"it wants to import {argument.replace(' ', '.')!r}")
        self.push(_Name(_FACTORIES[argument]))

    def reduce(self) -> None:
        arguments = self.stack.pop()
        function = self.stack.pop()
        match function, arguments:
            case _Name("dtype"), (str(code), int(), int()) if code in _SCALARS:
                self.push(_Dtype(code))
            case _Name("scalar"), (_Dtype(code), bytes(data)):
                self.push(struct.unpack(_SCALARS[code], data)[0])
            case _Name("array"), (_Name("ndarray"), (0,), b"b"):
                self.push(_Array())
            case _:
                _refuse("it calls something that such a recording does not")

    def build(self) -> None:
        state = self.stack.pop()
        match self.stack[-1], state:
            case _Dtype(), (int(), "<" | "|", None, None, None, int(), int(), int()):
                pass
            case _Array() as array, (int(), (int(size),), _Dtype("u1"), False, bytes(data)) if size == len(data):
                array.data = data
            case _:
                _refuse("it builds something that such a recording does not hold")


_OPCODES: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda machine, argument: None,
    "STOP": lambda machine, argument: None,
    "MARK": lambda machine, argument: machine.push(_Mark()),
    "NONE": lambda machine, argument: machine.push(None),
    "NEWFALSE": lambda machine, argument: machine.push(False),
    "NEWTRUE": lambda machine, argument: machine.push(True),
    "EMPTY_LIST": lambda machine, argument: machine.push([]),
    "EMPTY_DICT": lambda machine, argument: machine.push({}),
    "TUPLE1": lambda machine, argument: machine.pop_tuple(1),
    "TUPLE2": lambda machine, argument: machine.pop_tuple(2),
    "TUPLE3": lambda machine, argument: machine.pop_tuple(3),
    "TUPLE": lambda machine, argument: machine.push(tuple(machine.pop_mark())),
    "APPEND": lambda machine, argument: machine.append([machine.stack.pop()]),
    "APPENDS": lambda machine, argument: machine.append(machine.pop_mark()),
    "SETITEM": lambda machine, argument: machine.set_items([machine.stack.pop(-2), machine.stack.pop()]),
    "SETITEMS": lambda machine, argument: machine.set_items(machine.pop_mark()),
    "GLOBAL": lambda machine, argument: machine.name(argument),
    "REDUCE": lambda machine, argument: machine.reduce(),
    "BUILD": lambda machine, argument: machine.build(),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), _Machine.put),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), _Machine.get),
    **dict.fromkeys(
        ("BININT", "BININT1", "BININT2", "BINFLOAT", "BINUNICODE", "BINBYTES", "SHORT_BINBYTES"), _Machine.push
    ),
}


def _check(content: Any) -> OpenAIRecording:
    if not isinstance(content, dict):
        _refuse("it does not hold a dictionary")
    actions = _numbers(content, "actions", np.dtype(np.int64))
    rewards = _numbers(content, "rewards", np.dtype(np.float64))
    steps = _numbers(content, "checkpoint_action_nr", np.dtype(np.int64))
    lives = _numbers(content, "lives", np.dtype(np.int32)) if "lives" in content else None
    length = len(actions)
    if not length or not 0 <= actions.min() <= actions.max() <= MAX_ACTION:
        _refuse(f"actions: are none, or not all within 0..{MAX_ACTION}")
    if len(rewards) not in (length, length + 1) or not np.isfinite(rewards).all():
        _refuse(f"rewards: {len(rewards)} for {length} actions, or not all finite")
    if lives is not None and len(lives) != length + 1:
        _refuse(f"lives: {len(lives)} for {length} actions")
    items = content.get("checkpoints")
    if not isinstance(items, list) or not all(isinstance(item, _Array) for item in items):
        _refuse("checkpoints: are not byte arrays")
    checkpoints = tuple(item.data for item in items)
    if any(len(checkpoint) > MAX_CHECKPOINT_BYTES for checkpoint in checkpoints):
        _refuse(f"checkpoints: one has more than {MAX_CHECKPOINT_BYTES} bytes")
    if len(checkpoints) != len(steps) or (np.diff(steps, prepend=-1) <= 0).any() or (steps > length).any():
        _refuse("checkpoint_action_nr: does not give each checkpoint a frame of its own, in order")
    return OpenAIRecording(actions, rewards, lives, checkpoints, steps)


def _numbers(content: dict[str, Any], name: str, dtype: np.dtype[Any]) -> NDArray[Any]:
    values = content.get(name)
    if not isinstance(values, list) or not all(type(value) in (int, float) for value in values):
        _refuse(f"{name}: is not a list of numbers")
    if dtype.kind == "i" and any(type(value) is not int for value in values):
        _refuse(f"{name}: are not all whole numbers")
    try:
        return np.array(values, dtype)
    except OverflowError as error:
        raise _PickleError(f"{name}: {error}") from error
