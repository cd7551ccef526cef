import numpy as np
import pytest

from demo_curriculum.demo import Demo, SimulatorSpec, Snapshot

SPEC = SimulatorSpec("Some-v0", {"size": 3, "names": ["a"]}, "some/1", {"some": "1.2"}, "0" * 32)


def _make_demo(length=5, **changes):
    fields = {
        "simulator": SPEC,
        "actions": np.arange(length),
        "rewards": np.arange(length) / 2,
        "terminations": np.arange(length) == length - 1,
        "truncations": np.zeros(length, bool),
        "observations": np.arange(3 * (length + 1), dtype=np.uint8).reshape(length + 1, 3),
        "lives": np.arange(length + 1, dtype=np.int32),
        "snapshots": (Snapshot(1, b"one", 2**64 - 1), Snapshot(length, b"\0three\0", 0)),
        "origin": "script",
        "seed": 7,
        "complete": True,
        "note": "made by hand: é",
    }
    return Demo(**(fields | changes))


def _assert_same(one, other):
    for name in ("simulator", "snapshots", "origin", "seed", "complete", "offset", "note"):
        assert getattr(one, name) == getattr(other, name), name
    for name in ("actions", "rewards", "terminations", "truncations", "observations", "lives"):
        mine, theirs = getattr(one, name), getattr(other, name)
        assert mine.dtype == theirs.dtype, name
        assert mine.shape == theirs.shape, name
        assert mine.tobytes() == theirs.tobytes(), name


@pytest.fixture(scope="session")
def make_demo():
    """A function that makes a demo of ``length`` steps with some fields changed."""
    return _make_demo


@pytest.fixture(scope="session")
def assert_same():
    """A function that compares two demos bit for bit."""
    return _assert_same


@pytest.fixture
def demo():
    return _make_demo()
