#!/usr/bin/env python
"""Hostile files by the thousand: reads mutants of every format and counts what came of them.

    python tools/fuzz.py [--mutants 5000] [--kinds hdf5-bytes snapshots …]

Outcomes: refused (a clear error of one line), same (read, equal to the original), other (read, valid, but something
else: what verify is for). Whatever is none of these is a fault: UNCAUGHT (another exception), CRASH, HANG (above 5 s of
computing, or 30 s of waiting), MEMORY (above 500 MB), OPENED (another file was opened). Exits with 1 if there was one.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import pickle
import resource
import select
import signal
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path

import h5py
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from demo_curriculum.demo import Demo
from demo_curriculum.errors import DemoCurriculumError
from demo_curriculum.recording.importing import import_openai_demo
from demo_curriculum.recording.verification import verify_on
from demo_curriculum.simulators import make_simulator
from demo_curriculum.simulators.playback import play_demo
from demo_curriculum.store import (
    StoreError,
    read_demos,
    read_minari,
    read_npz,
    read_openai_demo,
    read_start,
    salvage,
    summarise,
    write_demos,
    write_minari,
    write_npz,
)

SECONDS = 5.0
MEGABYTES = 500
FAULTS = ("UNCAUGHT", "CRASH", "HANG", "MEMORY", "OPENED")
OUTCOMES = ("refused", "same", "other", *FAULTS)
GAME = "ALE/MontezumaRevenge-v5"

Rng = np.random.Generator


@cache
def game_demos() -> list[Demo]:
    simulator = make_simulator(GAME)
    actions = np.random.default_rng(0).integers(18, size=60).repeat(4).tolist()
    demo = play_demo(simulator, actions, origin="script", snapshot_steps=[50, 150])
    return [demo, play_demo(simulator, actions[:120], origin="human", note="x")]


@cache
def original(suffix: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a{suffix}"
        write_npz(path, game_demos()) if suffix == ".npz" else write_demos(path, game_demos())
        return path.read_bytes()


def damaged(content: bytes, rng: Rng) -> bytes:
    """Bytes flipped, cut off, moved, repeated or set to extremes."""
    mutant = bytearray(content)
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(len(mutant)))
        match int(rng.integers(6)):
            case 0:
                mutant[at] ^= 1 << int(rng.integers(8))
            case 1:
                mutant[at : at + 4] = rng.bytes(4)
            case 2:
                mutant[at : at + 8] = [b"\xff" * 8, b"\0" * 8, b"\xff\xff\xff\x7f" * 2][int(rng.integers(3))]
            case 3:
                del mutant[at : at + int(rng.integers(1, 64))]
            case 4:
                other = int(rng.integers(len(mutant)))
                size = int(rng.integers(1, 200))
                mutant[at : at + size] = mutant[other : other + size]
            case 5 if rng.random() < 0.3 and at > 8:
                del mutant[at:]
        mutant = mutant or bytearray(b"\0")
    return bytes(mutant)


def identity(demos: list[Demo]) -> list[object]:
    return [
        (demo.fingerprint, demo.simulator, demo.snapshots, demo.note, demo.origin, demo.observations.tobytes())
        for demo in demos
    ]


def read_all(path: Path) -> str:
    """Every way of reading a demo file; the outcome is that of the strict one."""
    for read in (summarise, salvage, lambda p: read_start(p, 120)):
        try:
            read(path)
        except DemoCurriculumError as error:
            check_line(error)
    return "same" if identity(read_demos(path)) == identity(game_demos()) else "other"


def check_line(error: DemoCurriculumError) -> None:
    if "\n" in str(error) or len(str(error)) > 2000:
        raise AssertionError(f"not one line: {str(error)[:200]}")


def hdf5_bytes(folder: Path, rng: Rng) -> str:
    (folder / "x.h5").write_bytes(damaged(original(".h5"), rng))
    return read_all(folder / "x.h5")


def hdf5_structure(folder: Path, rng: Rng) -> str:
    path = folder / "x.h5"
    path.write_bytes(original(".h5"))
    with h5py.File(path, "r+") as file:
        for _ in range(int(rng.integers(1, 3))):
            _hostile(file, folder, rng)
    return read_all(path)


NAMES = ["episode_0", "episode_0/infos", "episode_0/snapshots"] + [
    f"episode_{index}/{name}"
    for index in range(2)
    for name in (
        *("actions", "rewards", "observations", "terminations", "truncations", "infos/lives"),
        *("snapshots/data", "snapshots/step", "snapshots/nbytes", "snapshots/fingerprint"),
    )
]


def _hostile(file: h5py.File, folder: Path, rng: Rng) -> None:
    """Puts something hostile in the place of a dataset, group or attribute; not all can be put everywhere."""
    with suppress(KeyError, ValueError, TypeError, RuntimeError, OSError):
        _replace(file, folder, rng)


def _replace(file: h5py.File, folder: Path, rng: Rng) -> None:
    if rng.random() < 0.25:
        _hostile_attribute(file, rng)
        return
    name = NAMES[int(rng.integers(len(NAMES)))]
    parent, _, child = name.rpartition("/")
    group = file[parent] if parent else file
    there = file[name]
    if isinstance(there, h5py.Dataset) and (
        there.ndim == 0 or there.external or there.is_virtual or (there.size or 0) > 10**7
    ):
        return  # hostile already; reading it would hang or fill this process
    length = file[name].shape[0] if isinstance(file[name], h5py.Dataset) else 5
    values = file[name][()] if isinstance(file[name], h5py.Dataset) else np.zeros(5)
    del group[child]
    pipe, secret = str(folder / "pipe"), str(folder / "secret")
    length = max(length, 1)

    def low(kind: h5py.h5t.TypeID, shape: tuple[int, ...] = (length,)) -> None:
        creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        if shape:
            creation.set_chunk(tuple(min(size, 64) for size in shape))
        h5py.h5d.create(group.id, child.encode(), kind, h5py.h5s.create_simple(shape), creation)

    def opaque() -> None:
        kind = h5py.h5t.create(h5py.h5t.OPAQUE, 8)
        kind.set_tag([b"NUMPY:|O", b"NUMPY:<M8[D]", b"x"][int(rng.integers(3))])
        low(kind)

    def virtual() -> None:
        layout = h5py.VirtualLayout((length,), "f8")
        layout[:] = h5py.VirtualSource([secret, pipe, "."][int(rng.integers(3))], "x", (length,))
        group.create_virtual_dataset(child, layout)

    def huge() -> None:
        shape = (int(10.0 ** rng.integers(6, 15)),) if rng.random() < 0.5 else (10**5, 10**5)
        group.create_dataset(child, shape, "u1", chunks=True, compression="gzip")

    def bomb() -> None:
        size = int(rng.integers(50, 300)) << 20
        dtype = np.dtype([np.uint8, np.int64, np.float64][int(rng.integers(3))])
        zeros = group.create_dataset(
            child, (size // dtype.itemsize,), dtype, chunks=(1 << 20,), compression="gzip", compression_opts=1
        )
        # One chunk stored for all: the others are made of its bytes, without compressing 300 MB each time.
        zeros[: 1 << 20] = 0
        _, content = zeros.id.read_direct_chunk((0,))
        for begin in range(1 << 20, len(zeros), 1 << 20):
            zeros.id.write_direct_chunk((begin,), content)

    def deep() -> None:
        inner = group.create_group(child)
        for _ in range(int(rng.integers(1, 200))):
            inner = inner.create_group("a")

    def big_chunk() -> None:
        group.create_dataset(child, (10**9,), "u1", chunks=(int(rng.integers(10**6, 2 * 10**8)),), compression="gzip")

    def changed() -> None:
        array = np.array(values)
        flat = array.reshape(-1).view(np.uint8)
        for _ in range(int(rng.integers(1, 4))):
            flat[int(rng.integers(len(flat)))] = int(rng.integers(256))
        if array.dtype == bool:
            array = array.view(np.uint8).astype(bool)
        group.create_dataset(child, data=array, chunks=array.shape, fletcher32=True)

    makers: list[Callable[[], object]] = [
        opaque,
        virtual,
        huge,
        bomb,
        deep,
        big_chunk,
        changed,
        changed,
        changed,
        lambda: None,
        lambda: group.__setitem__(child, h5py.ExternalLink([secret, pipe, "/dev/zero"][int(rng.integers(3))], "/x")),
        lambda: group.__setitem__(child, h5py.SoftLink(["/", "/episode_1/actions", name][int(rng.integers(3))])),
        lambda: group.__setitem__(child, file["/"]),
        lambda: group.__setitem__(child, file["episode_1"]),
        lambda: group.create_dataset(child, (length,), "f8", external=[([secret, pipe][int(rng.integers(2))], 0, 99)]),
        lambda: group.create_dataset(child, data=["variable"] * length),
        lambda: group.create_dataset(child, (length,), h5py.vlen_dtype(np.int64), chunks=True),
        lambda: group.create_dataset(child, (length,), h5py.ref_dtype, chunks=True),
        lambda: group.create_dataset(child, (length,), h5py.regionref_dtype, chunks=True),
        lambda: group.create_dataset(child, (length,), np.dtype("f8,i4"), chunks=True),
        lambda: group.create_dataset(child, (length,), np.dtype(("i8", (3,))), chunks=True),
        lambda: group.create_dataset(child, (length,), np.dtype("c16"), chunks=True),
        lambda: group.create_dataset(child, (length,), np.dtype(">i8"), chunks=True),
        lambda: group.create_dataset(child, (length,), np.dtype("f2"), chunks=True),
        lambda: group.create_dataset(child, data=np.full(length, np.nan), chunks=True),
        lambda: group.create_dataset(child, data=np.full(length, np.inf), chunks=True),
        lambda: group.create_dataset(child, data=h5py.Empty("f8")),
        lambda: group.create_dataset(child, data=3),
        lambda: group.create_dataset(child, (0,), "i8", maxshape=(None,), chunks=True),
        lambda: group.create_dataset(child, (length, 0), "i8", maxshape=(None, None), chunks=True),
        lambda: group.create_dataset(child, data=np.zeros((length, 2, 2, 2, 2, 2)), chunks=True),
        lambda: group.create_dataset(child, data=np.zeros(length), compression="lzf", chunks=True),
        lambda: group.create_dataset(child, data=np.zeros(length), scaleoffset=2, chunks=True),
        lambda: group.create_dataset(child, data=np.arange(length) - 3, chunks=True),
        lambda: group.create_dataset(child, data=np.arange(length) * 2**58, chunks=True),
        lambda: low(h5py.h5t.C_S1.copy()),
        lambda: low(h5py.h5t.STD_B64LE),
        lambda: group.create_group(child),
        lambda: group.__setitem__(child, np.dtype("i8")),
    ]
    makers[int(rng.integers(len(makers)))]()


def _hostile_attribute(file: h5py.File, rng: Rng) -> None:
    item = [file, file["episode_0"]][int(rng.integers(2))] if "episode_0" in file else file
    if not isinstance(item, h5py.Group) or not len(item.attrs):
        return
    name = sorted(item.attrs)[int(rng.integers(len(item.attrs)))]
    del item.attrs[name]
    kind = h5py.h5t.create(h5py.h5t.OPAQUE, 8)
    kind.set_tag(b"NUMPY:|O")

    def text(value: str) -> None:
        item.attrs.create(name, value.encode(), dtype=h5py.string_dtype("utf-8", max(1, len(value.encode()))))

    makers: list[Callable[[], object]] = [
        lambda: h5py.h5a.create(item.id, name.encode(), kind, h5py.h5s.create(h5py.h5s.SCALAR)),
        lambda: item.attrs.__setitem__(name, "variable length"),
        lambda: item.attrs.__setitem__(name, np.zeros(1000)),
        lambda: item.attrs.__setitem__(name, np.float64("nan")),
        lambda: item.attrs.__setitem__(name, -1),
        lambda: item.attrs.__setitem__(name, 2**40),
        lambda: item.attrs.__setitem__(name, h5py.Empty("i8")),
        lambda: text("[" * 3000),
        lambda: text('{"id": "os:system", "kwargs": {}}'),
        lambda: text('{"id": "ALE/Pong-v5", "kwargs": {"size": [1000000, 1000000], "observation": "pixels"}}'),
        lambda: text('{"a": 1e999}'),
        lambda: text("2.0"),
        lambda: text("x" * 20_000),
        lambda: None,
    ]
    makers[int(rng.integers(len(makers)))]()


@cache
def simulator():
    return make_simulator(GAME)


def mutated_state(state: bytes, rng: Rng) -> bytes:
    """Words of a state set to extremes, its text's digits changed, its length changed, or bytes flipped."""
    mutant = bytearray(state)
    # Most of a state is the text of its random generator; what matters is elsewhere.
    text = range(state.index(b"System") + 14, state.index(b"M6502Low") - 4)
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(len(mutant) - 8))
        while at in text and rng.random() < 0.95:
            at = int(rng.integers(len(mutant) - 8))
        word = [0, 1, 127, 128, 129, 255, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 0xFAB1FAB2, 0xBAD1BAD2]
        match int(rng.integers(5)):
            case 0:
                mutant[at] ^= 1 << int(rng.integers(8))
            case 1 | 2:
                mutant[at : at + 4] = int(word[int(rng.integers(len(word)))]).to_bytes(4, "little")
            case 3:
                mutant[at : at + 4] = rng.bytes(4)
            case 4 if rng.random() < 0.2:
                del mutant[at : at + int(rng.integers(1, 9))]
    return bytes(mutant)


def snapshots(folder: Path, rng: Rng) -> str:
    """A forged state is restored and played on; a tampered demo is verified, and must be found."""
    demo = game_demos()[0]
    index = int(rng.integers(len(demo.snapshots)))
    good = demo.snapshots[index]
    mutant = mutated_state(good.data, rng)
    try:
        simulator().restore(mutant)
        simulator().play([int(action) for action in rng.integers(18, size=40)])
        simulator().render()
        accepted = True
    except DemoCurriculumError as error:
        check_line(error)
        accepted = False
    if mutant == good.data:
        return "same"
    tampered = list(demo.snapshots)
    tampered[index] = replace(good, data=mutant)
    if verify_on(simulator(), replace(demo, snapshots=tuple(tampered))).matched:
        raise AssertionError("verify did not find a tampered snapshot")
    return "other" if accepted else "refused"


def begins(folder: Path, rng: Rng) -> str:
    """The state that a demo of a middle begins in is tampered with, in a valid file. It is found, every time; and where
    the forger gives the demo a new fingerprint too, it is no longer the demo of its author's.
    """
    path = folder / "x.h5"
    demo = game_demos()[0].segment(50, 240)
    first = demo.snapshots[0]
    mutant = mutated_state(first.data, rng)
    if mutant == first.data:
        return "same"
    forged = replace(demo, snapshots=(replace(first, data=mutant), *demo.snapshots[1:]))
    if rng.random() < 0.5:
        write_demos(path, [forged], overwrite=True)
        with h5py.File(path, "r+") as file:
            seal = file["episode_0"].attrs
            seal.modify("fingerprint", np.bytes_(demo.fingerprint))
        for read in (summarise, read_demos):
            with suppress(StoreError):
                read(path)
                raise AssertionError("a tampered beginning was read")
        return "refused"
    if forged.fingerprint == demo.fingerprint:
        raise AssertionError("a forged demo has the fingerprint of the original")
    # Where verify finds nothing, all rewards, observations, lives and later snapshots are those of the original.
    return "other" if verify_on(simulator(), forged).matched else "refused"


def actions(folder: Path, rng: Rng) -> str:
    """Actions out of range, in a file that is valid otherwise; and rewards that are not those of its actions."""
    demo = game_demos()[1]
    changed = demo.actions.copy()
    wrong = int(rng.choice([18, 19, 255, 256, 2**31, 2**32, 2**63 - 1, int(rng.integers(18))]))
    changed[int(rng.integers(len(changed)))] = wrong
    write_demos(folder / "x.h5", [replace(demo, actions=changed)], overwrite=True)
    (read,) = read_demos(folder / "x.h5")
    verification = verify_on(simulator(), read)
    if verification.matched and not np.array_equal(changed, demo.actions):
        # Another action may lead to the same: then the demo is as true as the original.
        return "other"
    return "same" if verification.matched else "refused"


@cache
def recording() -> bytes:
    demo = game_demos()[0]
    content = {
        "actions": demo.actions.tolist(),
        "rewards": [np.float64(reward) for reward in demo.rewards],
        "lives": demo.lives.tolist(),
        "checkpoints": [np.frombuffer(snapshot.data, np.uint8).copy() for snapshot in demo.snapshots],
        "checkpoint_action_nr": [snapshot.step for snapshot in demo.snapshots],
    }
    return pickle.dumps(content, protocol=3).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


HOSTILE_PICKLES = (
    b"cos\nsystem\nX\x02\x00\x00\x00ls\x85R.",
    b"cnumpy\ndtype\nX\x02\x00\x00\x00O8K\x00K\x01\x87R.",
    b"(K\x03X\x01\x00\x00\x00|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tb",
    b"\x8b\xff\xff\xff\x7f" + b"x" * 9,
    b"B\xff\xff\xff\xff",
    b"r\xff\xff\xff\xff",
    b"]" * 500 + b"a" * 499,
    b"cbuiltins\neval\nX\x03\x00\x00\x001/0\x85R",
    b"c__main__\nx\n",
    b"\x93",
    b"(" * 400,
    b"2" * 200,
)


def pickles(folder: Path, rng: Rng) -> str:
    path = folder / "MontezumaRevenge.demo"
    content = recording()
    if rng.random() < 0.4:
        at = int(rng.integers(2, len(content)))
        content = content[:at] + HOSTILE_PICKLES[int(rng.integers(len(HOSTILE_PICKLES)))] + content[at:]
        if rng.random() < 0.3:
            content = b"\x80\x03" + HOSTILE_PICKLES[int(rng.integers(len(HOSTILE_PICKLES)))] + b"."
    else:
        content = damaged(content, rng)
    path.write_bytes(content)
    read = read_openai_demo(path)
    if rng.random() < 0.1:
        try:
            import_openai_demo(path)
        except DemoCurriculumError as error:
            check_line(error)
    demo = game_demos()[0]
    same = np.array_equal(read.actions, demo.actions) and np.array_equal(read.rewards, demo.rewards)
    return "same" if same and read.checkpoints == tuple(item.data for item in demo.snapshots) else "other"


def npz(folder: Path, rng: Rng) -> str:
    path = folder / "x.npz"
    if rng.random() < 0.6:
        path.write_bytes(damaged(original(".npz"), rng))
    else:
        with zipfile.ZipFile(_on_disk(folder, "good.npz", original(".npz"))) as source:
            entries = {name: source.read(name) for name in source.namelist()}
        name = list(entries)[int(rng.integers(len(entries)))]
        entries[name] = damaged(entries[name][:200], rng) + entries[name][200:]
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for entry, content in entries.items():
                archive.writestr(entry, content)
            if rng.random() < 0.05:
                archive.writestr("episode_0/extra.npy", bytes(400 << 20))
    found = read_npz(path)
    if not all(isinstance(demo, Demo) for demo in found):
        return "other"
    return "same" if identity(found) == identity(game_demos()) else "other"


def _on_disk(folder: Path, name: str, content: bytes) -> Path:
    (folder / name).write_bytes(content)
    return folder / name


SPECS = (
    '{"id": "os:system"}',
    '{"id": "ALE/Pong-v5", "entry_point": "os:system", "kwargs": {"frameskip": 10000000000}}',
    '{"id": "ALE/Pong-v5", "kwargs": {"frameskip": [2, 5], "repeat_action_probability": 0}}',
    '{"id": "ALE/Pong-v5", "kwargs": {"frameskip": 4, "repeat_action_probability": 0, "size": [1000000, 1000000]}}',
    '{"id": 7, "kwargs": {}}',
    "[]",
    "[" * 5000,
    '{"id": "../../../etc/passwd"}',
)


def minari(folder: Path, rng: Rng) -> str:
    source, target = folder / "source-v0", folder / "x"
    if not source.exists():
        write_demos(folder / "m.h5", game_demos(), overwrite=True)
        write_minari(folder / "m.h5", source, action_count=18)
    data = target / "data"
    data.mkdir(parents=True, exist_ok=True)
    content = (source / "data" / "main_data.hdf5").read_bytes()
    metadata = (source / "data" / "metadata.json").read_bytes()
    which = int(rng.integers(4))
    if which == 0:
        metadata = damaged(metadata, rng)
    elif which == 1:
        fields = json.loads(metadata) | {"env_spec": SPECS[int(rng.integers(len(SPECS)))]}
        metadata = json.dumps(fields).encode()
    (data / "metadata.json").write_bytes(metadata)
    (data / "main_data.hdf5").write_bytes(damaged(content, rng) if which == 2 else content)
    if which in (1, 3):
        # As Minari itself writes: without our format, so that the generic reader is at work.
        with h5py.File(data / "main_data.hdf5", "r+") as file:
            for name in list(file.attrs):
                del file.attrs[name]
            if which == 3:
                _hostile(file, folder, rng)
    found = read_minari(target)
    if not all(isinstance(demo, Demo) for demo in found):
        return "other"
    return "same" if identity(found) == identity(game_demos()) else "other"


KINDS: dict[str, Callable[[Path, Rng], str]] = {
    "hdf5-bytes": hdf5_bytes,
    "hdf5-structure": hdf5_structure,
    "snapshots": snapshots,
    "begins": begins,
    "actions": actions,
    "pickles": pickles,
    "npz": npz,
    "minari": minari,
}


def judge(kind: str, folder: Path, rng: Rng) -> str:
    """The outcome of one mutant, in this process."""
    try:
        return KINDS[kind](folder, rng)
    except DemoCurriculumError as error:
        try:
            check_line(error)
        except AssertionError as long:
            return f"UNCAUGHT {long}"
        return "refused"
    except Exception as error:
        return f"UNCAUGHT {type(error).__name__}: {error}".splitlines()[0][:200]


def child(kind: str, numbers: range, seed: int, folder: Path, answers: int) -> None:
    """Judges mutants and reports each; ends early only by dying."""
    opened: list[str] = []

    def audit(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open" and isinstance(arguments[0], str) and "secret" in arguments[0]:
            opened.append(arguments[0])

    sys.addaudithook(audit)
    KINDS[kind](folder, np.random.default_rng(10**9)) if kind in ("snapshots", "actions", "begins") else None
    # What the parent holds already is not the mutants' doing, and what it has freed but kept they could fill unseen.
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here on: man 5 proc
    inherited = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in numbers:
        os.write(answers, b"?\n")
        begun, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        result = judge(kind, folder, np.random.default_rng([seed, number]))
        if time.process_time() - begun > SECONDS:
            result = "HANG"
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if peak - inherited > MEGABYTES << 10 and peak > before:
            result = f"MEMORY {peak - inherited >> 10} MB"
        if opened:
            result = f"OPENED {opened.pop()}"
        os.write(answers, f"{number} {result}\n".encode())


def fuzz(kind: str, mutants: int, seed: int = 0, batch: int = 100) -> tuple[Counter[str], list[str]]:
    """Judges ``mutants`` in children; returns the outcomes and a line for every fault."""
    counts: Counter[str] = Counter()
    faults: list[str] = []
    game_demos(), original(".h5"), original(".npz"), recording()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        os.mkfifo(folder / "pipe")
        (folder / "secret").write_bytes(bytes(1000))
        number = 0
        while number < mutants:
            number = _batch(kind, range(number, min(number + batch, mutants)), seed, folder, counts, faults)
            print(f"{kind}: {number:,} of {mutants:,}, {dict(counts)}", file=sys.stderr, flush=True)
    return counts, faults


def _batch(kind: str, numbers: range, seed: int, folder: Path, counts: Counter[str], faults: list[str]) -> int:
    """Runs a child over ``numbers``; returns the first number that is still to do."""
    answers, write = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(answers)
        with open(os.devnull, "w") as null:
            os.dup2(null.fileno(), 2)
        child(kind, numbers, seed, folder, write)
        os._exit(0)
    os.close(write)
    done, pending, rest = numbers.start, False, b""
    while True:
        # Six times the limit, since the machine may be busy with other things; what computes is timed by its own clock.
        ready, _, _ = select.select([answers], [], [], 6 * SECONDS if pending else 60)
        chunk = os.read(answers, 1 << 16) if ready else b""
        if not chunk:
            break
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            pending = line == b"?"
            if not pending:
                done += 1
                _count(kind, line.decode(errors="replace"), counts, faults)
    if not ready:
        os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    os.close(answers)
    if pending:
        code = os.waitstatus_to_exitcode(status)
        _count(kind, f"{done} {'CRASH ' + str(code) if ready else 'HANG'}", counts, faults)
        done += 1
    return done


def _count(kind: str, line: str, counts: Counter[str], faults: list[str]) -> None:
    outcome = line.split()[1]
    counts[outcome] += 1
    if outcome in FAULTS:
        faults.append(f"{kind} {line}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutants", type=int, default=5000, help="of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS))
    arguments = parser.parse_args()
    print(f"{'kind':16}" + "".join(f"{name:>10}" for name in OUTCOMES) + f"{'seconds':>9}", flush=True)
    everything: list[str] = []
    for kind in arguments.kinds:
        begun = time.monotonic()
        counts, faults = fuzz(kind, arguments.mutants, arguments.seed)
        seconds = time.monotonic() - begun
        print(f"{kind:16}" + "".join(f"{counts[name]:>10,}" for name in OUTCOMES) + f"{seconds:>9.0f}", flush=True)
        for fault in faults:
            print(f"  {fault}", flush=True)
        everything += faults
    return 1 if everything else 0


if __name__ == "__main__":
    sys.exit(main())
