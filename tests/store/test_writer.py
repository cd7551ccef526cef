import errno
import os
from dataclasses import replace

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from demo_curriculum.demo import ORIGINS, Snapshot
from demo_curriculum.store import StoreError, append_demo, read_demo, read_demos, summarise, write_demos

finite = st.floats(-1e300, 1e300)


@st.composite
def changes(draw, length):
    """Fields of a demo of ``length`` steps."""
    steps = sorted(draw(st.sets(st.integers(0, length), max_size=5)))
    dtype = np.dtype(draw(st.sampled_from(["u1", "i8", "<f4", ">f8", "i2"])))
    shape = (length + 1, *draw(npst.array_shapes(max_dims=3, max_side=3)))
    elements = {"allow_nan": False, "allow_infinity": False} if dtype.kind == "f" else None
    offset = draw(st.integers(0, 2**40)) if steps[:1] == [0] else 0
    return {
        "actions": draw(npst.arrays(np.int64, length, elements=st.integers(0, 2**63 - 1))),
        "rewards": draw(npst.arrays(np.float64, length, elements=finite)),
        "observations": draw(npst.arrays(dtype, shape, elements=elements)),
        "lives": draw(npst.arrays(np.int32, length + 1)),
        "snapshots": tuple(
            Snapshot(step, draw(st.binary(max_size=40)), draw(st.integers(0, 2**64 - 1))) for step in steps
        ),
        "origin": draw(st.sampled_from(ORIGINS)),
        "seed": draw(st.integers(-(2**63), 2**63 - 1)),
        "complete": draw(st.booleans()),
        "offset": offset,
        "note": draw(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))),
    }


@given(st.data())
def test_what_is_written_is_read(tmp_path_factory, make_demo, assert_same, data):
    demos = [
        make_demo(length, **data.draw(changes(length)))
        for length in data.draw(st.lists(st.integers(1, 12), min_size=1, max_size=3))
    ]
    path = tmp_path_factory.mktemp("store") / "d.h5"
    write_demos(path, demos)
    read = read_demos(path)
    assert len(read) == len(demos)
    for one, other in zip(demos, read, strict=True):
        assert_same(one, other)
        assert one.fingerprint == other.fingerprint
    assert_same(demos[-1], read_demo(path, f"episode_{len(demos) - 1}"))


def test_the_file_is_as_the_format_says(tmp_path, make_demo):
    """Every name and type of the format, written out here a second time."""
    write_demos(tmp_path / "d.h5", [make_demo(40), make_demo(5, snapshots=())], creator="test")
    with h5py.File(tmp_path / "d.h5") as file:
        assert sorted(file.attrs) == [
            *("created", "creator", "env_spec", "format", "format_version", "minari_metadata"),
            *("rom_md5", "simulator", "simulator_versions"),
        ]
        assert file.attrs["format"] == b"demo-curriculum" or file.attrs["format"] == "demo-curriculum"
        assert file.attrs["format_version"] in ("1.1", b"1.1")
        assert '"jpeg_encoding": false' in str(file.attrs["minari_metadata"])
        assert sorted(file) == ["episode_0", "episode_1"]
        episode = file["episode_0"]
        assert dict(episode.attrs).keys() == {
            *("id", "total_steps", "seed", "source", "return", "complete", "offset", "note", "fingerprint")
        }
        assert len(episode.attrs["fingerprint"]) == 64
        assert (episode.attrs["id"], episode.attrs["total_steps"], episode.attrs["return"]) == (0, 40, 390.0)
        found = {}
        episode.visititems(lambda name, item: found.update({name: item}))
        assert {
            name: (item.dtype.str, item.shape) for name, item in found.items() if isinstance(item, h5py.Dataset)
        } == {
            "observations": ("|u1", (41, 3)),
            "actions": ("<i8", (40,)),
            "rewards": ("<f8", (40,)),
            "terminations": ("|b1", (40,)),
            "truncations": ("|b1", (40,)),
            "infos/lives": ("<i4", (41,)),
            "snapshots/data": ("|u1", (2, 7)),
            "snapshots/nbytes": ("<i4", (2,)),
            "snapshots/step": ("<i8", (2,)),
            "snapshots/fingerprint": ("<u8", (2,)),
        }
        for item in found.values():
            if isinstance(item, h5py.Dataset):
                assert (item.compression, item.compression_opts, item.shuffle, item.fletcher32) == (
                    "gzip",
                    4,
                    True,
                    True,
                )
        assert "snapshots" not in file["episode_1"]


def test_snapshots_are_chunked_by_sixteen(tmp_path, make_demo):
    snapshots = tuple(Snapshot(step, bytes(20), 0) for step in range(40))
    write_demos(tmp_path / "d.h5", [make_demo(50, snapshots=snapshots)])
    with h5py.File(tmp_path / "d.h5") as file:
        assert file["episode_0/snapshots/data"].chunks == (16, 20)


def test_a_summary_says_what_is_inside(tmp_path, make_demo):
    write_demos(tmp_path / "d.h5", [make_demo(), make_demo(3, snapshots=(), offset=0, complete=False)])
    first, second = summarise(tmp_path / "d.h5")
    assert (first.id, first.steps, first.score, first.snapshots, first.origin) == (
        "episode_0",
        5,
        5.0,
        (1, 5),
        "script",
    )
    assert first.rewards == ((1, 0.5), (2, 1.0), (3, 1.5), (4, 2.0))
    assert first.lives == ((0, 0), (1, 1), (2, 2), (3, 3), (4, 4), (5, 5))
    assert first.fingerprint == make_demo().fingerprint
    assert (first.seed, first.complete, first.offset, first.note) == (7, True, 0, "made by hand: é")
    assert (second.id, second.snapshots, second.complete) == ("episode_1", (), False)
    assert first.simulator == make_demo().simulator


def test_appending_keeps_what_was_there(tmp_path, make_demo, assert_same):
    write_demos(tmp_path / "d.h5", [make_demo()])
    append_demo(tmp_path / "d.h5", make_demo(3, seed=8))
    first, second = read_demos(tmp_path / "d.h5")
    assert_same(first, make_demo())
    assert_same(second, make_demo(3, seed=8))
    assert os.listdir(tmp_path) == ["d.h5"]


def test_a_demo_of_another_simulator_is_not_appended(tmp_path, demo, assert_same):
    write_demos(tmp_path / "d.h5", [demo])
    other = replace(demo, simulator=replace(demo.simulator, versions={"some": "1.3"}))
    with pytest.raises(StoreError, match="demo 1 was recorded on another simulator"):
        append_demo(tmp_path / "d.h5", other)
    assert_same(read_demo(tmp_path / "d.h5"), demo)


def test_an_existing_file_stays_unless_overwriting_is_asked_for(tmp_path, make_demo):
    write_demos(tmp_path / "d.h5", [make_demo(seed=1)])
    with pytest.raises(StoreError, match="exists already"):
        write_demos(tmp_path / "d.h5", [make_demo(seed=2)])
    assert read_demo(tmp_path / "d.h5").seed == 1
    write_demos(tmp_path / "d.h5", [make_demo(seed=2)], overwrite=True)
    assert read_demo(tmp_path / "d.h5").seed == 2


def test_a_full_disk_leaves_the_old_demos(tmp_path, make_demo, monkeypatch):
    write_demos(tmp_path / "d.h5", [make_demo(seed=1)])

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match=r"d\.h5: cannot be written: No space left on device"):
        append_demo(tmp_path / "d.h5", make_demo(seed=2))
    assert read_demo(tmp_path / "d.h5").seed == 1
    assert os.listdir(tmp_path) == ["d.h5"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"note": "a\0b"}, "note: a text holds no NUL"),
        ({"note": "x" * 40_000}, "at most 32768 bytes"),
        ({"note": "\ud800"}, "surrogates not allowed"),
        ({"seed": 2**63}, "too large"),
        ({"snapshots": (Snapshot(1, b"", -1),)}, "out of bounds"),
        ({"observations": np.zeros((6, 0), np.uint8)}, "empty"),
    ],
)
def test_what_the_format_cannot_hold_is_refused_and_nothing_is_written(tmp_path, make_demo, change, reason):
    with pytest.raises(StoreError, match=reason):
        write_demos(tmp_path / "d.h5", [make_demo(**change)])
    assert os.listdir(tmp_path) == []


def test_arguments_that_are_not_json_are_refused(tmp_path, demo):
    for value in (float("nan"), {1, 2}):
        spec = replace(demo.simulator, kwargs={"x": value})
        with pytest.raises(StoreError, match="JSON"):
            write_demos(tmp_path / "d.h5", [replace(demo, simulator=spec)])
    with pytest.raises(StoreError, match="not 0"):
        write_demos(tmp_path / "d.h5", [])
    assert os.listdir(tmp_path) == []
