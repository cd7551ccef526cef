"""export and import against the real Minari package, and what strangers may put into such files."""

import io
import json
import zipfile

import h5py
import numpy as np
import pytest

from demo_curriculum.cli.main import main
from demo_curriculum.simulators import make_simulator
from demo_curriculum.simulators.playback import play_demo
from demo_curriculum.store import StoreError, read_demos, read_minari, read_npz, write_demos


@pytest.fixture(scope="module")
def demos():
    simulator = make_simulator("ALE/Breakout-v5")
    rng = np.random.default_rng(1)
    parts = [play_demo(simulator, rng.choice([0, 1, 2, 3], 75).repeat(4).tolist(), origin="script") for _ in range(2)]
    return [*parts, play_demo(simulator, [1] * 260, origin="human", note="held: é").segment(0, 260)]


@pytest.fixture
def path(tmp_path, demos):
    write_demos(tmp_path / "d.h5", demos)
    return tmp_path / "d.h5"


def run(*arguments):
    return main([str(argument) for argument in arguments])


def fails(capsys, code, message, *arguments):
    assert run(*arguments) == code
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert message in error


def test_minari_loads_an_export_and_nothing_is_lost(path, tmp_path, demos, monkeypatch):
    import minari

    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "sets"))
    (tmp_path / "sets").mkdir()
    assert run("export", path, "-o", tmp_path / "sets" / "breakout-v0") == 0
    dataset = minari.load_dataset("breakout-v0")
    assert (dataset.total_episodes, dataset.total_steps) == (3, 860)
    assert dataset.action_space.n == 4
    for demo, episode in zip(demos, dataset.iterate_episodes(), strict=True):
        for name in ("observations", "actions", "rewards", "terminations", "truncations"):
            theirs = getattr(episode, name)
            assert np.array_equal(theirs, getattr(demo, name))
            assert theirs.dtype == getattr(demo, name).dtype
        assert np.array_equal(episode.infos["lives"], demo.lives)
        assert dataset.observation_space.contains(episode.observations[0])
    assert {demo.note for demo in demos} == {
        note.decode() if isinstance(note, bytes) else note
        for note in (metadata["note"] for metadata in dataset.storage.get_episode_metadata([0, 1, 2]))
    }
    environment = dataset.recover_environment()
    environment.reset(seed=0)
    rewards = [environment.step(int(action))[1] for action in demos[0].actions]
    assert sum(rewards) == demos[0].score
    assert len(environment.unwrapped.ale.getRAM()) == environment.observation_space.shape[0]


@pytest.mark.parametrize("name", ["breakout-v3", "breakout.npz"])
def test_export_and_import_give_the_same_demos(path, tmp_path, demos, name, capsys):
    assert run("export", path, "-o", tmp_path / name) == 0
    assert run("import", tmp_path / name, "-o", tmp_path / "back.h5") == 0
    assert "equal in every reward, observation and snapshot" in capsys.readouterr().out
    for one, other in zip(demos, read_demos(tmp_path / "back.h5"), strict=True):
        assert (one.fingerprint, one.snapshots, one.note) == (other.fingerprint, other.snapshots, other.note)
        assert one.observations.tobytes() == other.observations.tobytes()
    fails(capsys, 1, "exists already", "export", path, "-o", tmp_path / name)


def test_numpy_reads_an_npz(path, tmp_path, demos):
    assert run("export", path, "-o", tmp_path / "d.npz") == 0
    arrays = np.load(tmp_path / "d.npz")
    assert np.array_equal(arrays["episode_1/actions"], demos[1].actions)
    assert json.loads(arrays["metadata"].tobytes())["env_spec"]["id"] == "ALE/Breakout-v5"


def test_export_says_what_minari_cannot_hold(path, tmp_path, capsys):
    fails(capsys, 1, "named NAME-vNUMBER", "export", path, "-o", tmp_path / "breakout")
    simulator = make_simulator("ALE/Pong-v5", observation="pixels")
    write_demos(tmp_path / "p.h5", [play_demo(simulator, [0] * 5, origin="script")])
    fails(capsys, 1, "pictures as JPEG", "export", tmp_path / "p.h5", "-o", tmp_path / "pong-v0")
    assert not (tmp_path / "pong-v0").exists()


def minari_of_gymnasium(folder, demos, frame_skip, sticky=0.0, change=None):
    """A dataset as Minari's own collector writes one of an Atari environment."""
    import minari
    from gymnasium.spaces import Box, Discrete

    buffers = []
    for index, demo in enumerate(demos):
        length = len(demo) // frame_skip
        rewards = demo.rewards.reshape(length, frame_skip).sum(axis=1)
        if change is not None:
            rewards[change] += 1
        buffers.append(
            minari.data_collector.EpisodeBuffer(
                id=index,
                seed=0,
                observations=demo.observations[::frame_skip],
                actions=demo.actions[::frame_skip],
                rewards=list(rewards),
                terminations=[False] * length,
                truncations=[False] * (length - 1) + [True],
            )
        )
    minari.create_dataset_from_buffers(
        "other/breakout-v1",
        buffers,
        observation_space=Box(0, 255, (128,), np.uint8),
        action_space=Discrete(4),
    )
    data = folder / "other" / "breakout-v1" / "data"
    metadata = json.loads((data / "metadata.json").read_text())
    kwargs = {"frameskip": frame_skip, "repeat_action_probability": sticky, "obs_type": "ram"}
    metadata["env_spec"] = json.dumps({"id": "ALE/Breakout-v5", "entry_point": "os:system", "kwargs": kwargs})
    (data / "metadata.json").write_text(json.dumps(metadata))
    return data.parent


@pytest.fixture
def sets(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "sets"))
    (tmp_path / "sets").mkdir()
    return tmp_path / "sets"


def test_a_dataset_of_minaris_own_is_played_again(sets, tmp_path, demos, capsys):
    folder = minari_of_gymnasium(sets, demos[:2], frame_skip=4)
    assert run("import", folder, "-o", tmp_path / "m.h5") == 0
    assert "all 75 rewards equal" in capsys.readouterr().out
    for one, other in zip(demos, read_demos(tmp_path / "m.h5"), strict=False):
        assert np.array_equal(one.actions, other.actions)
        assert np.array_equal(one.rewards, other.rewards)
    assert run("verify", tmp_path / "m.h5") == 0


def test_a_dataset_that_does_not_play_as_recorded_is_refused(sets, tmp_path, demos, capsys):
    folder = minari_of_gymnasium(sets, demos[:2], frame_skip=4, change=20)
    fails(capsys, 3, "episode 0: does not play as recorded: action 20 gives", "import", folder, "-o", tmp_path / "m.h5")
    assert not (tmp_path / "m.h5").exists()


def test_sticky_actions_cannot_be_played_again(sets, tmp_path, demos, capsys):
    folder = minari_of_gymnasium(sets, demos[:1], frame_skip=4, sticky=0.25)
    fails(capsys, 1, "sticky actions", "import", folder, "-o", tmp_path / "m.h5")


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ("[1]", "not a JSON object"),
        ("{", "not strict JSON"),
        ("[" * 100_000, "not strict JSON"),
        ('{"env_spec": 3}', "env_spec is no text"),
        ('{"env_spec": "{\\"id\\": 3}"}', "its id is no text"),
        ('{"env_spec": "{\\"id\\": \\"x\\", \\"kwargs\\": []}"}', "kwargs are no object"),
        ('{"env_spec": "{\\"id\\": \\"ALE/Pong-v5\\", \\"kwargs\\": {\\"frameskip\\": 1e9}}"}', "sticky|frameskip"),
        ('{"data_format": "arrow"}', "only hdf5 is read"),
        ('{"x": NaN}', "not strict JSON"),
        ('{"a": "' + "x" * 2_000_000 + '"}', "more than the"),
    ],
)
def test_metadata_of_strangers(tmp_path, metadata, reason):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "metadata.json").write_text(metadata)
    with h5py.File(tmp_path / "data" / "main_data.hdf5", "w") as file:
        file.create_dataset("episode_0/actions", data=np.arange(3), chunks=True)
        file.create_dataset("episode_0/rewards", data=np.zeros(3), chunks=True)
    with pytest.raises(StoreError, match=reason) as caught:
        read_minari(tmp_path)
    assert "\n" not in str(caught.value)


def test_no_env_spec_runs_code(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    spec = json.dumps({"id": "os:mkdir", "entry_point": "os:mkdir", "kwargs": {"path": "ran"}})
    (tmp_path / "data" / "metadata.json").write_text(json.dumps({"env_spec": spec}))
    with h5py.File(tmp_path / "data" / "main_data.hdf5", "w") as file:
        file.create_dataset("episode_0/actions", data=np.arange(3), chunks=True)
        file.create_dataset("episode_0/rewards", data=np.zeros(3), chunks=True)
    fails(capsys, 1, "no simulator for 'os:mkdir'", "import", tmp_path, "-o", tmp_path / "o.h5")
    assert not (tmp_path / "ran").exists()


def zipped(path, **entries):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(f"{name}.npy", content)


def npy(array, header=None):
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(array), version=(1, 0))
    content = file.getvalue()
    return content if header is None else content.replace(*header)


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ({}, "no array named actions"),
        ({"actions": b"text"}, "no NPZ file, or damaged"),
        ({"actions": npy(np.arange(3.0))}, "actions are not 1 to"),
        ({"actions": npy(np.arange(0))}, "actions are not 1 to"),
        ({"actions": npy([-1])}, "not all within"),
        ({"actions": npy(np.arange(3)), "rewards": npy([1.0])}, "rewards are not 3 numbers"),
        ({"actions": npy(np.arange(3)), "rewards": npy([1.0, np.nan, 1])}, "NaN"),
        ({"actions": npy(np.arange(3), (b"(3,)", b"(9,)"))}, "declares .9,. of int64"),
        ({"actions": npy(np.arange(3), (b"(3,), }      ", b"(10**13,), }"))}, "damaged|declares"),
        ({"actions": npy(np.arange(3), (b"<i8", b"|O8"))}, "plain numbers|damaged"),
        ({"actions": npy(np.zeros(300_000_000 // 8, np.int64))}, "declares more than"),
    ],
    ids=range(11),
)
def test_npz_of_strangers(tmp_path, entries, reason):
    zipped(tmp_path / "x.npz", **entries)
    with pytest.raises(StoreError, match=reason) as caught:
        read_npz(tmp_path / "x.npz")
    assert "\n" not in str(caught.value)


def test_actions_alone_are_imported_with_a_game(tmp_path, capsys):
    np.savez(tmp_path / "a.npz", actions=np.array([1, 2, 3, 0]))
    fails(capsys, 2, "name it with --env-id", "import", tmp_path / "a.npz", "-o", tmp_path / "o.h5")
    arguments = ["import", tmp_path / "a.npz", "--env-id", "ALE/Breakout-v5", "-o", tmp_path / "o.h5", "--json"]
    assert run(*arguments) == 0
    assert json.loads(capsys.readouterr().out)[0]["compared"] == 0
    assert read_demos(tmp_path / "o.h5")[0].actions.tolist() == [1, 2, 3, 0]
    np.savez(tmp_path / "a.npz", actions=np.array([1, 7]))
    fails(capsys, 3, "actions [7]", *arguments[:1], tmp_path / "a.npz", *arguments[2:-1], "--overwrite")


def test_files_of_other_simulators_say_why_they_cannot_be_imported(tmp_path, path, capsys):
    with h5py.File(tmp_path / "robomimic.hdf5", "w") as file:
        file.create_group("data/demo_0")
    with h5py.File(tmp_path / "maniskill.h5", "w") as file:
        file.create_group("traj_0")
    (tmp_path / "text.h5").write_text("text")
    for name, reason in {
        "robomimic.hdf5": "states are MuJoCo's, and no installed simulator restores them",
        "maniskill.h5": "states are SAPIEN's, and no installed simulator",
        "text.h5": "is not an HDF5 file",
        "d.h5": "is a demo file already",
    }.items():
        fails(capsys, 1, reason, "import", tmp_path / name, "-o", tmp_path / "o.h5")
