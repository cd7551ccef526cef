import json
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import matplotlib.image
import numpy as np
import pytest

from demo_curriculum.cli.main import main
from demo_curriculum.demo import Snapshot
from demo_curriculum.recording.sheet import sheet_steps
from demo_curriculum.simulators import make_simulator
from demo_curriculum.simulators.playback import play_demo
from demo_curriculum.store import read_demo, read_demos, write_demos

ROOT = Path(__file__).parents[2]
DEMOS = ROOT / "../shared/data/openai-demos"


@pytest.fixture(scope="module")
def pong_demo():
    simulator = make_simulator("ALE/Pong-v5")
    actions = np.random.default_rng(0).integers(simulator.action_count, size=250).tolist()
    return play_demo(simulator, actions, origin="script", note="pressed at random")


@pytest.fixture
def path(tmp_path, pong_demo):
    write_demos(tmp_path / "d.h5", [pong_demo, pong_demo.trim(120)])
    return tmp_path / "d.h5"


@pytest.fixture
def chain_path(tmp_path):
    chain = make_simulator("LockedChain-6")
    demo = play_demo(chain, chain.keys.tolist(), origin="search", snapshot_steps=[2, 4], note="found")
    write_demos(tmp_path / "chain.h5", [demo])
    return tmp_path / "chain.h5"


def fails(capsys, code, message, *arguments):
    assert main([str(argument) for argument in arguments]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err


def test_show_for_people(chain_path, capsys):
    assert main(["show", str(chain_path)]) == 0
    words = capsys.readouterr().out
    for expected in ("LockedChain-6 on chain/1", "episode_0", "6, to the game's own end", "5:+1", "search", "found"):
        assert expected in words


def test_show_as_json(chain_path, capsys):
    assert main(["show", str(chain_path), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["file"] == str(chain_path)
    (demo,) = shown["demos"]
    assert (demo["id"], demo["steps"], demo["score"], demo["snapshots"]) == ("episode_0", 6, 1.0, [2, 4])
    assert demo["lives"] == [{"step": 0, "lives": 0}]
    assert demo["fingerprint"] == read_demo(chain_path).fingerprint
    assert demo["rewards"] == [{"step": 5, "points": 1.0}]
    assert demo["simulator"]["env_id"] == "LockedChain-6"
    assert (demo["origin"], demo["offset"], demo["complete"]) == ("search", 0, True)


def test_show_draws_a_contact_sheet(path, tmp_path, capsys):
    picture = tmp_path / "sheet.png"
    assert main(["show", str(path), "--png", str(picture), "--id", "episode_1"]) == 0
    assert "sheet.png: contact sheet of episode_1" in capsys.readouterr().out.replace("\n", "")
    pixels = matplotlib.image.imread(picture)
    assert pixels.shape[0] > 600 and pixels.shape[1] > 1000
    fails(capsys, 1, "sheet.png: exists already", "show", path, "--png", picture)


def test_the_sheet_shows_beginning_end_and_what_happens_between(pong_demo):
    rewards = np.zeros(250)
    rewards[[40, 130]] = 1
    steps = sheet_steps(replace(pong_demo, rewards=rewards))
    # 12 frames, 250 / 11 = 22.7 apart; those within 250 / 24 of a reward (41 and 131) move to right behind it.
    assert steps == [0, 23, 41, 68, 91, 114, 131, 159, 182, 205, 227, 250]


def test_show_keeps_markup_in_notes_as_text(tmp_path, capsys, pong_demo):
    write_demos(tmp_path / "m.h5", [replace(pong_demo, note="[bold]x[/bold] [/nothing]")])
    assert main(["show", str(tmp_path / "m.h5")]) == 0
    assert "[bold]x[/bold] [/nothing]" in capsys.readouterr().out


def test_verify_says_ok_for_each_demo(path, capsys):
    assert main(["verify", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:14] for line in lines] == ["episode_0: OK,", "episode_1: OK,"]
    assert "250 steps" in lines[0]
    assert "2 snapshots" in lines[0]


def test_verify_finds_every_kind_of_difference(tmp_path, capsys, pong_demo):
    rewards = pong_demo.rewards.copy()
    rewards[33] += 1
    forged = (replace(pong_demo.snapshots[0], fingerprint=1), *pong_demo.snapshots[1:])
    chain = make_simulator("LockedChain-6")
    good = play_demo(chain, chain.keys.tolist(), origin="script")
    over = replace(good, actions=(good.actions + 1) % 4)
    for demos, expected in [
        ([replace(pong_demo, rewards=rewards), pong_demo], "episode_0: DIFFERS: 1 rewards (at steps 33)"),
        ([replace(pong_demo, snapshots=forged)], "episode_0: DIFFERS: 1 snapshots (at steps 100)"),
        ([good, over], "episode_1: DIFFERS: the game ended at demo step 1"),
        ([replace(pong_demo, simulator=replace(pong_demo.simulator, rom_md5="0" * 32))], "rom_md5 '000"),
        ([replace(pong_demo, offset=3, snapshots=(Snapshot(0, b"x", 0),))], "DIFFERS: the state ends"),
    ]:
        write_demos(tmp_path / "x.h5", demos, overwrite=True)
        assert main(["verify", str(tmp_path / "x.h5")]) == 3
        assert expected in capsys.readouterr().out
        assert main(["verify", str(tmp_path / "x.h5"), "--json"]) == 3
        findings = json.loads(capsys.readouterr().out)["demos"]
        assert [finding["matched"] for finding in findings].count(False) == 1


def test_verify_says_what_a_demo_that_begins_later_rests_on_and_finds_its_beginning_changed(
    tmp_path, capsys, pong_demo
):
    path = tmp_path / "later.h5"
    demo = pong_demo.segment(100, 250)
    write_demos(path, [demo])
    assert main(["verify", str(path)]) == 0
    says = f"100 steps after the reset, which only its author can vouch for: fingerprint {demo.fingerprint}\n"
    assert capsys.readouterr().out.endswith(says)
    assert main(["verify", str(path), "--json"]) == 0
    [found] = json.loads(capsys.readouterr().out)["demos"]
    assert (found["begins"], found["fingerprint"]) == ("100 steps after the reset", demo.fingerprint)
    # A frame counter, which changes nothing that follows but itself.
    with h5py.File(path, "r+") as file:
        file["episode_0/snapshots/data"][0, 8] ^= 1
    fails(capsys, 1, "its fingerprint is another", "verify", path)


def test_verify_of_a_game_that_is_not_installed(tmp_path, capsys, pong_demo):
    for changes, message in [
        ({"env_id": "Other-v0"}, "no simulator for 'Other-v0'"),
        ({"kwargs": {"speed": 3}}, "no simulator for 'ALE/Pong-v5' with {'speed': 3}"),
    ]:
        demo = replace(pong_demo, simulator=replace(pong_demo.simulator, **changes))
        write_demos(tmp_path / "x.h5", [demo], overwrite=True)
        fails(capsys, 1, message, "verify", tmp_path / "x.h5")


def test_trim_writes_a_demo_that_verifies(path, tmp_path, capsys):
    output = tmp_path / "short.h5"
    assert main(["trim", str(path), "--end", "101", "-o", str(output)]) == 0
    assert "101 of 250 steps" in capsys.readouterr().out
    assert (len(read_demo(output)), len(read_demo(output).snapshots)) == (101, 1)
    assert main(["verify", str(output)]) == 0
    capsys.readouterr()
    fails(capsys, 1, "short.h5: exists already", "trim", path, "--end", 50, "-o", output)
    assert len(read_demo(output)) == 101
    assert main(["trim", str(path), "--id", "episode_1", "--end", "50", "-o", str(output), "--overwrite"]) == 0
    assert len(read_demo(output)) == 50


def test_trim_refuses_what_is_not_there(path, tmp_path, capsys):
    output = tmp_path / "short.h5"
    fails(capsys, 2, "end 251 is not within 1..250", "trim", path, "--end", 251, "-o", output)
    fails(capsys, 2, "end 0 is not within", "trim", path, "--end", 0, "-o", output)
    fails(capsys, 1, "no demo 'episode_9'", "trim", path, "--id", "episode_9", "--end", 5, "-o", output)
    assert not output.exists()


@pytest.mark.parametrize("command", [["show"], ["verify"], ["trim", "--end", "5", "-o", "out.h5"]])
def test_files_that_are_no_demo_files(tmp_path, capsys, command, path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.h5").write_text("hello")
    (tmp_path / "cut.h5").write_bytes(path.read_bytes()[:5000])
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = [1, 2]
    with h5py.File(path, "r+") as file:
        file.attrs.create("format_version", b"2.0", dtype=h5py.string_dtype("utf-8", 3))
    for name, message in {
        "none.h5": "No such file",
        "text.h5": "not an HDF5 file",
        "cut.h5": "cut short or damaged",
        "other.h5": "an HDF5 file, but not a demo file",
        "d.h5": "has format version 2.0",
    }.items():
        fails(capsys, 1, message, command[0], name, *command[1:])
    assert not (tmp_path / "out.h5").exists()


@pytest.fixture
def recording(tmp_path):
    if not DEMOS.exists():
        pytest.skip("the shared recordings are not here")
    content = pickle.loads((DEMOS / "MontezumaRevenge.demo").read_bytes())
    short = {
        "actions": content["actions"][:500],
        "rewards": content["rewards"][:500],
        "checkpoints": content["checkpoints"][:5],
        "checkpoint_action_nr": content["checkpoint_action_nr"][:5],
    }
    path = tmp_path / "MontezumaRevenge.demo"
    path.write_bytes(pickle.dumps(short, protocol=3).replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    return path


def test_import_writes_a_demo_and_says_what_matched(recording, tmp_path, capsys):
    output = tmp_path / "m.h5"
    assert main(["import", str(recording), "-o", str(output)]) == 0
    words = capsys.readouterr().out
    assert "begins at frame 0" in words
    assert "rewards: all 1 matched, 100 points" in words
    assert f"wrote {output}" in words
    assert read_demos(output)[0].score == 100
    fails(capsys, 1, "m.h5: exists already", "import", recording, "-o", output)
    assert main(["import", str(recording), "-o", str(output), "--overwrite", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["env_id"], report["rewards"], report["checkpoints_total"]) == ("ALE/MontezumaRevenge-v5", 1, 5)
    assert main(["verify", str(output)]) == 0


def test_import_that_does_not_match_writes_nothing(recording, tmp_path, capsys):
    content = pickle.loads(recording.read_bytes().replace(b"numpy.core.multiarray", b"numpy._core.multiarray"))
    content["rewards"][300] = 5.0
    recording.write_bytes(
        pickle.dumps(content, protocol=3).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    )
    fails(capsys, 3, "from the first checkpoint at frame 300", "import", recording, "-o", tmp_path / "m.h5")
    assert not (tmp_path / "m.h5").exists()


def test_import_runs_no_code(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)

    class Evil:
        def __reduce__(self):
            return os.mkdir, ("ran",)

    (tmp_path / "Pong.demo").write_bytes(pickle.dumps(Evil(), protocol=3))
    fails(capsys, 1, "wants to import 'posix.mkdir'", "import", "Pong.demo", "-o", "p.h5")
    assert os.listdir(tmp_path) == ["Pong.demo"]


def test_no_disk_space_is_one_line(path, tmp_path):
    """A limit on the size of files stands for the full disk."""
    code = f"""
import resource, signal, sys
from demo_curriculum.cli.main import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
sys.exit(main(["trim", {str(path)!r}, "--end", "200", "-o", {str(tmp_path / "o.h5")!r}]))
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == f"error: {tmp_path / 'o.h5'}: cannot be written: File too large\n"
    assert sorted(os.listdir(tmp_path)) == ["d.h5"]


def test_bench_store_compares_sizes_and_tells_latencies(path, tmp_path, capsys):
    recording = tmp_path / "recording.pickle"
    recording.write_bytes(bytes(740))
    assert main(["bench", "store", str(path), "--pickle", str(recording), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    # 250 and 120 steps: 740 bytes are 2 a step.
    assert figures["steps"] == 370 and figures["pickle_bytes_per_1000_steps"] == 2000
    assert figures["bytes_per_1000_steps"] == 1000 * path.stat().st_size / 370
    assert main(["bench", "store", str(path)]) == 0
    table = capsys.readouterr().out
    assert "370 steps" in table and "pickle" not in table and "fetch any start, median of 200" in table
    fails(capsys, 1, "nowhere.h5", "bench", "store", tmp_path / "nowhere.h5")
