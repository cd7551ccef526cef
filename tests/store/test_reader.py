import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from demo_curriculum.demo import Snapshot
from demo_curriculum.store import StoreError, read_demo, read_demos, summarise, write_demos

ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path, make_demo):
    write_demos(tmp_path / "d.h5", [make_demo(40), make_demo(5)])
    return tmp_path / "d.h5"


def refuses(path, reason, read=read_demos):
    with pytest.raises(StoreError, match=reason) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def open_files():
    return [os.readlink(link) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]


def test_no_file_stays_open(path):
    for read in (read_demos, read_demo, summarise):
        read(path)
    refuses(path, "there is no demo 'episode_7'; there are episode_0, episode_1", lambda p: read_demo(p, "episode_7"))
    with h5py.File(path, "r+") as file:
        del file["episode_0/rewards"]
    refuses(path, "has no rewards")
    if Path("/proc/self/fd").exists():
        assert str(path) not in open_files()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not an HDF5 file"),
        (b"hello\n" * 100, "not an HDF5 file"),
        (b"\x80\x03}q\x00.", "not an HDF5 file"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "cut short or damaged"),
    ],
)
def test_what_is_not_hdf5(tmp_path, content, reason):
    (tmp_path / "x.h5").write_bytes(content)
    refuses(tmp_path / "x.h5", reason)


def test_what_is_no_file(tmp_path):
    refuses(tmp_path / "none.h5", "No such file")
    refuses(tmp_path, "not a regular file")
    os.mkfifo(tmp_path / "pipe")
    refuses(tmp_path / "pipe", "not a regular file")


def test_another_hdf5_file(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["data"] = np.arange(5)
    refuses(tmp_path / "x.h5", "an HDF5 file, but not a demo file")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.attrs["format"] = np.bytes_("other")
    refuses(tmp_path / "x.h5", "an HDF5 file, but not a demo file")


def set_text(item, name, value):
    del item.attrs[name]
    item.attrs.create(name, value.encode(), dtype=h5py.string_dtype("utf-8", len(value.encode())))


def test_versions(path):
    for version, reason in {
        "2.0": "has format version 2.0; this program reads 1.x",
        "0.9": "has format version 0.9",
        "one": "'one', which is none",
        "1.0.1": "which is none",
    }.items():
        with h5py.File(path, "r+") as file:
            set_text(file, "format_version", version)
        refuses(path, reason)


@pytest.mark.parametrize("changed", ["begin", "actions", "rewards", "fingerprint", "none there"])
def test_a_demo_that_was_changed_does_not_have_its_fingerprint(tmp_path, make_demo, changed):
    path = tmp_path / "later.h5"
    demo = make_demo(5, offset=3, snapshots=(Snapshot(0, b"begin", 1), Snapshot(2, b"later", 2)))
    write_demos(path, [demo])
    assert summarise(path)[0].fingerprint == read_demos(path)[0].fingerprint == demo.fingerprint
    with h5py.File(path, "r+") as file:
        episode = file["episode_0"]
        if changed == "begin":
            episode["snapshots/data"][0, 1] += 1
        elif changed == "actions":
            episode["actions"][1] += 1
        elif changed == "rewards":
            # The return is as it was.
            episode["rewards"][:2] = episode["rewards"][:2][::-1]
        elif changed == "fingerprint":
            episode.attrs.modify("fingerprint", np.bytes_("0" * 64))
        else:
            del episode.attrs["fingerprint"]
    reason = "has no attribute fingerprint" if changed == "none there" else "its fingerprint is another"
    for read in (read_demos, summarise):
        with pytest.raises(StoreError, match=reason):
            read(path)


def test_a_file_of_version_1_0_has_no_fingerprint_and_is_read(path, make_demo, assert_same):
    before = read_demos(path)
    with h5py.File(path, "r+") as file:
        set_text(file, "format_version", "1.0")
        for name in list(file):
            del file[name].attrs["fingerprint"]
    for one, other in zip(read_demos(path), before, strict=True):
        assert_same(one, other)


def test_a_later_minor_version_may_hold_more(path, make_demo, assert_same):
    with h5py.File(path, "r+") as file:
        file["episode_0"].attrs["mood"] = 3
        file["episode_0/faces"] = np.arange(3)
        file["more"] = np.arange(3)
    refuses(path, "has other attributes besides|does not know")
    with h5py.File(path, "r+") as file:
        set_text(file, "format_version", "1.7")
    assert_same(read_demo(path), make_demo(40))


def test_every_file_cut_short_is_refused(path):
    whole = path.read_bytes()
    for size in range(0, len(whole), 211):
        path.write_bytes(whole[:size])
        refuses(path, "not an HDF5 file|cut short or damaged|is damaged|cannot be read")


def replaced(name, values, **kwargs):
    def change(file):
        parent, _, child = name.rpartition("/")
        del file[name]
        options = {"chunks": True, "fletcher32": True} | kwargs
        file[parent].create_dataset(child, data=values, **options)

    return change


def attribute(name, value, group="episode_0"):
    def change(file):
        file[group].attrs[name] = value

    return change


def text(name, value, group="/"):
    return lambda file: set_text(file[group], name, value)


def soft_link(file):
    del file["episode_0/rewards"]
    file["episode_0/rewards"] = h5py.SoftLink("/episode_1/rewards")


def external_link(file):
    del file["episode_1"]
    file["episode_1"] = h5py.ExternalLink("/etc/passwd", "/")


def virtual(file):
    del file["episode_0/rewards"]
    layout = h5py.VirtualLayout((40,), "f8")
    layout[:] = h5py.VirtualSource("other.h5", "rewards", (40,))
    file["episode_0"].create_virtual_dataset("rewards", layout)


def external_storage(file):
    del file["episode_0/rewards"]
    file["episode_0"].create_dataset("rewards", (40,), "f8", external=[("/etc/passwd", 0, 320)])


def opaque(file):
    """Reading this type makes h5py dereference what the file holds as if it were a pointer."""
    kind = h5py.h5t.create(h5py.h5t.OPAQUE, 8)
    kind.set_tag(b"NUMPY:|O")
    del file["episode_0/rewards"]
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_chunk((40,))
    h5py.h5d.create(file["episode_0"].id, b"rewards", kind, h5py.h5s.create_simple((40,)), creation)


def opaque_attribute(file):
    kind = h5py.h5t.create(h5py.h5t.OPAQUE, 8)
    kind.set_tag(b"NUMPY:|O")
    del file["episode_0"].attrs["seed"]
    h5py.h5a.create(file["episode_0"].id, b"seed", kind, h5py.h5s.create(h5py.h5s.SCALAR))


def huge(file):
    del file["episode_0/rewards"]
    file["episode_0"].create_dataset("rewards", (10**13,), "f8", chunks=(1000,))


def huge_chunks(file):
    del file["episode_0/observations"]
    file["episode_0"].create_dataset(
        "observations", data=np.zeros((41, 1), np.uint8), maxshape=(41, None), chunks=(41, 1_700_000)
    )


def no_group(file):
    del file["episode_0/infos"]
    file["episode_0/infos"] = np.arange(4)


def gap(file):
    file.move("episode_1", "episode_2")


def without(name):
    def change(file):
        del file[name]

    return change


def without_attribute(file):
    del file["episode_0"].attrs["seed"]


def long_text(file):
    file["episode_0"].attrs["note"] = "variable length"


def not_quite_booleans(file):
    del file["episode_0/terminations"]
    wrong = h5py.special_dtype(enum=(np.int8, {"FALSE": 0, "MAYBE": 2}))
    file["episode_0"].create_dataset("terminations", data=np.zeros(40, np.int8), dtype=wrong, chunks=(40,))


NAN = np.full(40, np.nan)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (replaced("episode_0/rewards", NAN), "episode_0: rewards: holds NaN|return is"),
        (replaced("episode_0/rewards", np.arange(41) / 2), "rewards: expected float64"),
        (replaced("episode_0/rewards", np.zeros((40, 1))), "rewards: has 2 axes instead of 1"),
        (replaced("episode_0/rewards", np.arange(40)), "holds int64 instead of float64"),
        (replaced("episode_0/rewards", np.arange(40) / 2 + 1), "return is 390, the rewards sum to 430"),
        (replaced("episode_0/rewards", np.zeros(40), compression="lzf"), "another filter"),
        (replaced("episode_0/rewards", np.zeros(40), chunks=None, fletcher32=False), "not stored in chunks"),
        (replaced("episode_0/rewards", np.full(40, b"text"), fletcher32=True), "does not hold plain numbers"),
        (replaced("episode_0/rewards", ["variable length"] * 40, fletcher32=False), "does not hold plain numbers"),
        (replaced("episode_0/rewards", np.zeros(40, "f8,f8")), "does not hold plain numbers"),
        (replaced("episode_0/actions", np.zeros(39, np.int64)), "rewards: expected float64"),
        (replaced("episode_0/actions", np.full(40, -1)), "actions: negative"),
        (replaced("episode_0/observations", np.zeros((41, 3), "c16")), "does not hold plain numbers"),
        (replaced("episode_0/observations", np.zeros((40, 3), np.uint8)), "observations: expected"),
        (replaced("episode_0/observations", np.zeros((41, 1, 1, 1, 1, 1), np.uint8)), "has 6 axes"),
        (replaced("episode_0/infos/lives", np.zeros(40, np.int32)), "lives: expected int32"),
        (replaced("episode_0/terminations", np.zeros(40, np.int8)), "does not hold booleans"),
        (not_quite_booleans, "does not hold booleans|damaged"),
        (replaced("episode_0/snapshots/step", np.array([1])), "different lengths"),
        (replaced("episode_0/snapshots/step", np.array([40, 1])), "steps must increase"),
        (replaced("episode_0/snapshots/nbytes", np.array([3, 8], np.int32)), r"nbytes is not always within 0\.\.7"),
        (replaced("episode_0/snapshots/nbytes", np.array([3, -1], np.int32)), "nbytes is not always"),
        (soft_link, "rewards is a link to elsewhere"),
        (external_link, "episode_1 is a link to elsewhere"),
        (virtual, "not stored in chunks"),
        (external_storage, "not stored in chunks"),
        (opaque, "does not hold plain numbers"),
        (opaque_attribute, "seed has another type than integer"),
        (huge, "declares 80,000,000,000,000 bytes"),
        (huge_chunks, "has chunks larger"),
        (no_group, "infos is not a group"),
        (gap, "does not hold demos episode_0 to episode_N"),
        (without("episode_0/snapshots/data"), "has no data"),
        (without("episode_0/infos"), "has no infos"),
        (without_attribute, "has no attribute seed"),
        (long_text, "note has another type than text of fixed size"),
        (attribute("seed", [1, 2]), "seed is not a single value"),
        (attribute("seed", 1.5), "seed has another type than integer"),
        (attribute("total_steps", 41), "total_steps is 41, there are 40 rewards"),
        (attribute("return", 1.0), "return is 1, the rewards sum to 390"),
        (attribute("offset", -1), "offset is negative"),
        (attribute("offset", 1), "needs one at step 0"),
        (attribute("complete", 2), "complete is not 0 or 1"),
        (attribute("extra", 2), "has other attributes besides id, total_steps"),
        (text("source", "robot", "episode_0"), "source 'robot' is not one of"),
        (text("env_spec", "[]"), "env_spec is not a JSON object"),
        (text("env_spec", '{"id": "x", "kwargs": {"a": NaN}}'), "not strict JSON: NaN"),
        (text("env_spec", '{"id": "x"}'), "env_spec: is not an id"),
        (text("env_spec", '{"id": "os:system", "kwargs": {}}'), "without ':'"),
        (text("env_spec", "[" * 5000), "not strict JSON"),
        (text("simulator_versions", '{"a": 1}'), "are not all texts"),
        (text("rom_md5", "x" * 33_000), "33000 bytes|damaged"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_file_that_breaks_the_format_is_refused(path, change, reason):
    with h5py.File(path, "r+") as file:
        change(file)
    refuses(path, reason)


def test_a_demo_without_episodes_is_refused(path):
    with h5py.File(path, "r+") as file:
        del file["episode_0"], file["episode_1"]
    refuses(path, "does not hold demos episode_0 to episode_N, but nothing")


def test_summaries_check_too(path):
    with h5py.File(path, "r+") as file:
        replaced("episode_0/rewards", NAN)(file)
    refuses(path, "rewards: holds NaN", summarise)


def test_no_flipped_bytes_go_unnoticed_or_end_the_process(path, tmp_path):
    """Every reading of a damaged file either is refused or gives what was written."""
    code = f"""
import sys
from pathlib import Path
import numpy as np
from demo_curriculum.store import StoreError, read_demos
path = Path({str(path)!r})
whole = path.read_bytes()

def content(demos):
    return [
        (demo.fingerprint, demo.simulator, demo.snapshots, demo.origin, demo.complete, demo.note,
         demo.observations.tobytes(), demo.lives.tobytes(), demo.terminations.tobytes())
        for demo in demos
    ]

right = content(read_demos(path))
rng = np.random.default_rng(0)
refused = 0
for _ in range(400):
    damaged = bytearray(whole)
    for position in rng.integers(len(whole), size=int(rng.integers(1, 4))):
        damaged[position] = rng.integers(256)
    path.write_bytes(damaged)
    try:
        assert content(read_demos(path)) == right
    except StoreError as error:
        assert "\\n" not in str(error)
        refused += 1
print(refused)
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) > 100


def test_attributes_are_json(path):
    with h5py.File(path) as file:
        assert json.loads(file.attrs["env_spec"]) == {"id": "Some-v0", "kwargs": {"names": ["a"], "size": 3}}
