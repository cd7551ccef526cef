import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from demo_curriculum.errors import DemoCurriculumError, MismatchError, UsageError
from demo_curriculum.landmarks import find_landmarks
from demo_curriculum.recording.importing import import_openai_demo
from demo_curriculum.simulators import make_simulator
from demo_curriculum.simulators.playback import replay_demo
from demo_curriculum.store import StoreError

DEMOS = Path(__file__).parents[2] / "../shared/data/openai-demos"


@pytest.fixture
def openai_demos():
    if not DEMOS.exists():
        pytest.skip("the shared recordings are not here")
    return DEMOS


def rewards(demo):
    return [(int(step), float(demo.rewards[step])) for step in np.flatnonzero(demo.rewards)]


def test_montezuma_begins_at_its_first_checkpoint(openai_demos):
    (demo, beginning), report = import_openai_demo(openai_demos / "MontezumaRevenge.demo")
    assert (demo.offset, len(demo), demo.score, demo.complete) == (100, 52_961, 71_500, False)
    assert (report.offset, report.rewards, report.score) == (100, 68, 71_500)
    assert (report.checkpoints_matched, report.checkpoints_total, report.bytes_differing) == (530, 530, 0)
    assert "from the reset, the game differs at frame 2300" in report.reason
    assert not report.rewards_shifted
    assert report.recorded_rom_md5 == report.installed_rom_md5 == demo.simulator.rom_md5
    first = [(360, 100), (763, 300), (1046, 100), (1654, 100), (2300, 3000), (3942, 300), (4335, 1000)]
    assert rewards(demo)[:7] == [(frame - 100, points) for frame, points in first]
    recorded = pickle.loads((openai_demos / "MontezumaRevenge.demo").read_bytes())["lives"]
    assert demo.lives.tolist() == recorded[100:]
    assert [snapshot.step for snapshot in demo.snapshots] == list(range(0, 52_961, 100))
    # A landmark is a room that is entered; byte 3 says which.
    rooms = demo.observations[:, 3].tolist()
    entered = [rooms[found.step - 8] != rooms[found.step] for found in find_landmarks(demo.observations, demo.rewards)]
    assert len(entered) == 99 and all(entered)
    # The way from the reset to where it begins, which it does not show itself.
    assert (beginning.offset, len(beginning), beginning.score, report.beginning) == (0, 361, 100, 361)
    assert replay_demo(make_simulator("ALE/MontezumaRevenge-v5"), beginning).matched
    assert any("from the reset to the first reward: 361 frames" in line for line in report.lines())
    # It passes by there with the player, the skull and all the rest at the same places.
    assert (beginning.observations[100] != demo.observations[0]).sum() == 7
    assert (beginning.observations[100, [3, 42, 43, 47]] == demo.observations[0, [3, 42, 43, 47]]).all()
    short = demo.trim(380 - 100)
    assert replay_demo(make_simulator("ALE/MontezumaRevenge-v5"), short).matched


def test_private_eye_plays_from_the_reset(openai_demos):
    (demo,), report = import_openai_demo(openai_demos / "PrivateEye.demo")
    assert (demo.offset, len(demo), demo.score, demo.complete) == (0, 8749, 100_400, True)
    assert (report.rewards, report.offset, report.checkpoints_total) == (14, 0, 87)
    assert rewards(demo)[:2] == [(1008, 15_000), (1655, 100)]
    assert (3213, -300) in rewards(demo)
    assert rewards(demo)[-1] == (8748, 25_000)
    # Its memory is not the recorder's: a clock that a reset leaves at any value is eight frames on.
    assert 0 < report.bytes_differing <= 10


def test_pong_has_a_reward_too_many(openai_demos):
    (demo,), report = import_openai_demo(openai_demos / "Pong.demo")
    assert (demo.offset, len(demo), demo.score) == (0, 22_869, 5)
    assert report.rewards_shifted
    assert any("one reward more than actions" in line for line in report.lines())
    recorded = pickle.loads((openai_demos / "Pong.demo").read_bytes())["rewards"]
    assert demo.rewards.tolist() == recorded[1:]


@pytest.fixture
def recording(openai_demos):
    """The first 900 frames of Montezuma's recording, which play from the reset too."""
    content = pickle.loads((openai_demos / "MontezumaRevenge.demo").read_bytes())
    return {
        "actions": content["actions"][:900],
        "rewards": content["rewards"][:900],
        "lives": content["lives"][:901],
        "checkpoints": content["checkpoints"][:9],
        "checkpoint_action_nr": content["checkpoint_action_nr"][:9],
    }


def write(path, content):
    path.write_bytes(pickle.dumps(content, protocol=3).replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    return path


def test_the_game_may_be_named(recording, tmp_path):
    path = write(tmp_path / "mine.demo", recording)
    with pytest.raises(UsageError, match=r"mine\.demo: its name does not say which game"):
        import_openai_demo(path)
    (demo,), report = import_openai_demo(path, "ALE/MontezumaRevenge-v5")
    assert (demo.score, demo.origin, demo.note, report.offset) == (400, "import", "imported from mine.demo", 0)
    with pytest.raises(DemoCurriculumError, match="cannot play 'NoSuchGame'"):
        import_openai_demo(path, "ALE/NoSuchGame-v5")


def test_another_dump_of_the_rom_is_imported_and_said(recording, tmp_path):
    other = [
        np.frombuffer(item.tobytes().replace(b"3347a6dd59049b15a38394aa2dafa585", b"0" * 32), np.uint8)
        for item in recording["checkpoints"]
    ]
    path = write(tmp_path / "MontezumaRevenge.demo", recording | {"checkpoints": other})
    (demo,), report = import_openai_demo(path)
    assert (report.recorded_rom_md5, report.checkpoints_total) == ("0" * 32, 9)
    assert demo.simulator.rom_md5 == report.installed_rom_md5 == "3347a6dd59049b15a38394aa2dafa585"
    assert any(line.startswith("ROM: recorded on 000") for line in report.lines())


def test_rewards_that_no_way_of_playing_gives_are_refused(recording, tmp_path):
    wrong = list(recording["rewards"])
    wrong[500] = 7
    path = write(tmp_path / "MontezumaRevenge.demo", recording | {"rewards": wrong})
    with pytest.raises(
        MismatchError, match="from the reset it differs at frame 500, from the first checkpoint at frame 500"
    ):
        import_openai_demo(path)
    early = list(recording["rewards"])
    early[50] = 7
    (demo,), report = import_openai_demo(write(path, recording | {"rewards": early}))
    assert (demo.offset, report.offset, len(demo)) == (100, 100, 800)
    assert "differs at frame 50;" in report.reason


def test_without_a_checkpoint_there_is_no_second_way(recording, tmp_path):
    wrong = [1, *recording["rewards"][1:]]
    content = recording | {"rewards": wrong, "checkpoints": [], "checkpoint_action_nr": []}
    with pytest.raises(MismatchError, match="at frame 0, and there is no checkpoint"):
        import_openai_demo(write(tmp_path / "MontezumaRevenge.demo", content))


def test_a_recording_of_another_game_is_refused(openai_demos, tmp_path):
    shutil.copy(openai_demos / "PrivateEye.demo", tmp_path / "Pong.demo")
    with pytest.raises(MismatchError, match="has only 6 actions; is it of another game"):
        import_openai_demo(tmp_path / "Pong.demo")
    shutil.copy(openai_demos / "Pong.demo", tmp_path / "PrivateEye.demo")
    with pytest.raises(StoreError, match="checkpoint cannot be converted for ALE/PrivateEye-v5"):
        import_openai_demo(tmp_path / "PrivateEye.demo")


def test_progress_is_reported(recording, tmp_path):
    done = []
    path = write(tmp_path / "MontezumaRevenge.demo", recording)
    import_openai_demo(path, on_step=lambda step, total: done.append((step, total)))
    assert (done[0], done[-1], len(done)) == ((1, 900), (900, 900), 900)
