"""A little of tools/fuzz.py, with other mutants than its own."""

import importlib.util
import sys
from pathlib import Path

import pytest

from demo_curriculum.training.machine import prepare_process

ROOT = Path(__file__).parents[2]
_specification = importlib.util.spec_from_file_location("fuzz", ROOT / "tools" / "fuzz.py")
fuzz = importlib.util.module_from_spec(_specification)
sys.modules["fuzz"] = fuzz
_specification.loader.exec_module(fuzz)


@pytest.mark.parametrize("kind", fuzz.KINDS)
def test_hostile_files_are_refused_or_read_and_nothing_else(kind):
    counts, faults = fuzz.fuzz(kind, 40, seed=1)
    assert faults == []
    assert sum(counts.values()) == 40
    assert counts["refused"] > 5


@pytest.mark.parametrize(
    ("behaviour", "fault"),
    [
        (lambda folder, rng: 1 / 0, "UNCAUGHT"),
        (lambda folder, rng: fuzz.os._exit(9), "CRASH"),
        (lambda folder, rng: fuzz.time.sleep(60), "HANG"),
        (lambda folder, rng: str(len(bytearray(b"x") * (600 << 20))), "MEMORY"),
        (lambda folder, rng: open(folder / "secret", "rb").close() or "same", "OPENED"),
        (lambda folder, rng: (folder / "pipe").read_text(), "HANG"),
    ],
    ids=["uncaught", "crash", "hang", "memory", "opened", "pipe"],
)
def test_the_fuzzer_would_see_it(monkeypatch, behaviour, fault):
    monkeypatch.setitem(fuzz.KINDS, "bad", behaviour)
    monkeypatch.setattr(fuzz, "SECONDS", 1.0)
    counts, faults = fuzz.fuzz("bad", 1)
    assert counts == {fault: 1}
    assert len(faults) == 1


def test_memory_that_another_test_has_left_free_is_no_place_to_hide(monkeypatch):
    prepare_process()
    pieces = [bytearray(b"x") * (1 << 20) for _ in range(700)]
    del pieces
    monkeypatch.setitem(fuzz.KINDS, "bad", lambda folder, rng: str(len(bytearray(b"x") * (600 << 20))))
    assert fuzz.fuzz("bad", 1)[0] == {"MEMORY": 1}
