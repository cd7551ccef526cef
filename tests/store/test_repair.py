import h5py
import numpy as np
import pytest

from demo_curriculum.demo import Demo
from demo_curriculum.store import Remains, StoreError, salvage, schema, write_demos
from demo_curriculum.store.reader import declared_bytes


@pytest.fixture
def path(tmp_path, make_demo):
    # Actions that do not compress and chunks of 8,192 steps: three chunks of the first demo's actions.
    actions = np.random.default_rng(0).integers(2**40, size=20_000)
    write_demos(tmp_path / "d.h5", [make_demo(20_000, actions=actions), make_demo(5), make_demo(7)])
    return tmp_path / "d.h5"


def zero(path, name, chunk):
    """Overwrites a chunk of a dataset with zeros, as a bad sector would."""
    with h5py.File(path) as file:
        info = file[name].id.get_chunk_info(chunk)
    content = bytearray(path.read_bytes())
    content[info.byte_offset : info.byte_offset + info.size] = bytes(info.size)
    path.write_bytes(content)


def test_a_whole_file_is_found_whole(path, make_demo, assert_same):
    findings = salvage(path)
    assert [finding.id for finding in findings] == ["episode_0", "episode_1", "episode_2"]
    assert all(isinstance(finding.found, Demo) and finding.problem == "" for finding in findings)
    assert_same(findings[2].found, make_demo(7))


def test_of_damaged_actions_those_before_remain(path, make_demo):
    zero(path, "episode_0/actions", 1)
    first, second, _ = salvage(path)
    assert isinstance(first.found, Remains)
    assert "actions: cannot be read" in first.problem
    expected = np.random.default_rng(0).integers(2**40, size=20_000)[:8192]
    assert np.array_equal(first.found.actions, expected)
    assert np.array_equal(first.found.rewards, make_demo(20_000).rewards)
    assert (first.found.total_steps, first.found.seed, first.found.note) == (20_000, 7, "made by hand: é")
    assert isinstance(second.found, Demo)


def test_without_rewards_or_observations_the_actions_remain(path):
    zero(path, "episode_1/rewards", 0)
    zero(path, "episode_2/observations", 0)
    _, second, third = salvage(path)
    assert (len(second.found.actions), len(second.found.rewards)) == (5, 0)
    assert (len(third.found.actions), len(third.found.rewards)) == (7, 7)


def test_without_actions_or_without_the_snapshot_it_begins_at_a_demo_is_lost(tmp_path, path, make_demo):
    zero(path, "episode_1/actions", 0)
    assert salvage(path)[1].found is None
    begun_later = make_demo(5, offset=3, snapshots=(make_demo().snapshots[0].__class__(0, b"state", 1),))
    write_demos(tmp_path / "later.h5", [begun_later])
    zero(tmp_path / "later.h5", "episode_0/snapshots/fingerprint", 0)
    (finding,) = salvage(tmp_path / "later.h5")
    assert finding.found is None
    assert "snapshot that it begins at" in finding.problem


def test_no_more_is_read_than_is_in_proportion_to_the_file(path, monkeypatch):
    with h5py.File(path) as file:
        first = declared_bytes(file, ["episode_0"])
    monkeypatch.setattr(schema, "FAIR_EXPANSION", 0)
    monkeypatch.setattr(schema, "FREE_BYTES", first)
    (whole, *others) = salvage(path)
    assert isinstance(whole.found, Demo)
    assert others and all(other.found is None for other in others)
    assert "more than a file of its size may expand to" in others[0].problem
    # Nor of what remains of a damaged one.
    monkeypatch.setattr(schema, "FREE_BYTES", 8)
    assert [finding.found for finding in salvage(path)] == [None] * (1 + len(others))


def test_a_file_cut_short_gives_what_was_before_the_cut(tmp_path, make_demo):
    path = tmp_path / "d.h5"
    rng = np.random.default_rng(0)
    demos = [make_demo(1000, observations=rng.integers(256, size=(1001, 50), dtype=np.uint8)) for _ in range(12)]
    write_demos(path, demos)
    whole = path.read_bytes()
    saved = []
    for twelfths in range(1, 13):
        path.write_bytes(whole[: len(whole) * twelfths // 12])
        saved.append(sum(isinstance(finding.found, Demo) for finding in salvage(path)))
    # What leads to the demos comes first and takes a little; then they follow one another.
    assert all(twelfths - 2 <= count <= twelfths for twelfths, count in enumerate(saved, 1))
    assert saved[-1] == 12


@pytest.mark.parametrize("content", [b"", b"text", bytes(1000)])
def test_what_is_no_demo_file_is_said(tmp_path, content):
    (tmp_path / "x.h5").write_bytes(content)
    with pytest.raises(StoreError, match="nothing can be saved: it is not an HDF5 file"):
        salvage(tmp_path / "x.h5")
