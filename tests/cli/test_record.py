import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from demo_curriculum.cli.main import main
from demo_curriculum.recording.search import Search
from demo_curriculum.store import read_demos

ROOT = Path(__file__).parents[2]


def record(path, *arguments, env_id="LockedChain-8"):
    return main(["record", env_id, "-o", str(path), *arguments])


def search(path, *arguments, **kwargs):
    return record(path, "--search", "--until-score", "1", "--polish-frames", "100", *arguments, **kwargs)


def test_a_demo_is_found_and_says_how_to_find_it_again(tmp_path, capsys):
    path = tmp_path / "chain.h5"
    assert search(path, "--seed", "3") == 0
    [demo] = read_demos(path)
    assert demo.score == 1
    assert demo.note == "demo-curriculum record LockedChain-8 --search --until-score 1 --polish-frames 100 --seed 3"
    assert capsys.readouterr().out == f"wrote {path}: 1 points in 8 demo steps\n"
    again = tmp_path / "again.h5"
    assert main([*demo.note.split()[1:], "-o", str(again)]) == 0
    assert read_demos(again)[0].fingerprint == demo.fingerprint


def test_an_existing_file_is_refused_before_the_search_and_stays(tmp_path, capsys, monkeypatch):
    path = tmp_path / "chain.h5"
    path.write_text("mine")
    monkeypatch.setattr("demo_curriculum.recording.search.Search", lambda *_, **__: pytest.fail("searched"))
    assert search(path) == 1
    assert "exists already" in capsys.readouterr().err
    assert path.read_text() == "mine"


def test_overwrite_replaces_it(tmp_path):
    path = tmp_path / "chain.h5"
    path.write_text("mine")
    assert search(path, "--overwrite") == 0
    assert np.array_equal(read_demos(path)[0].rewards, [0] * 7 + [1])


@pytest.mark.parametrize("folder", ["missing", "a-file"])
def test_a_folder_that_takes_no_file_is_found_out_before_the_search(tmp_path, capsys, monkeypatch, folder):
    (tmp_path / "a-file").touch()
    monkeypatch.setattr("demo_curriculum.recording.search.Search", lambda *_, **__: pytest.fail("searched"))
    path = tmp_path / folder / "chain.h5"
    assert search(path) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: {path}: cannot be written: ") and error.count("\n") == 1


def test_an_unknown_game_is_one_line(tmp_path, capsys):
    assert search(tmp_path / "x.h5", env_id="Chess-v0") == 1
    assert "no simulator for 'Chess-v0'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "add --search"),
        (("--search", "--until-score", "1", "--fps", "3"), "are different ways to record"),
        (("--search", "--processes", "0"), "--processes 1 or more"),
        (("--search", "--continue", "other.h5"), "leave -o out"),
        (("--fps", "-1"), "--fps"),
        (("--search", "--until-score", "0"), "--until-score takes POINTS"),
        (("--search", "--until-score", "nan"), "--until-score takes POINTS"),
        (("--search", "--until-score", "1", "--time-limit", "soon"), "'soon' is not a duration"),
        (("--search", "--until-score", "1", "--seed", "-1"), "--seed"),
    ],
)
def test_wrong_usage_is_exit_code_2(tmp_path, capsys, monkeypatch, arguments, complaint):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    assert record(tmp_path / "chain.h5", *arguments) == 2
    assert complaint in capsys.readouterr().err


def test_time_over_before_the_score_saves_the_best_with_exit_code_1_and_goes_on(tmp_path, capsys):
    path = tmp_path / "chain.h5"
    assert record(path, "--search", "--until-score", "2", "--time-limit", "0.5s", "--processes", "1") == 1
    out = capsys.readouterr().out
    assert out.startswith(f"wrote {path}: 1 points in 8 demo steps; ended by the time limit")
    assert out.endswith(f": record --search --continue {path}\n")
    assert read_demos(path)[0].score == 1
    kept = tmp_path / "chain.h5.search"
    # Not by accident from the beginning again.
    path.unlink()
    assert search(path) == 2
    assert f"{kept}: a search for this file is there" in capsys.readouterr().err
    assert main(["record", "--search", "--continue", str(path), "--until-score", "1", "--polish-frames", "0"]) == 0
    assert read_demos(path)[0].note.endswith("; continued")
    # What was asked for is found: there is nothing to go on with.
    assert not kept.exists()
    assert main(["record", "--search", "--continue", str(path)]) == 1
    assert f"{kept}: cannot be read" in capsys.readouterr().err


def test_without_a_score_the_search_takes_its_time(tmp_path):
    path = tmp_path / "chain.h5"
    assert record(path, "--search", "--time-limit", "0.5s", "--processes", "1") == 0
    assert read_demos(path)[0].score == 1


def test_nothing_found_is_one_line_and_can_be_gone_on_with(tmp_path, capsys):
    path = tmp_path / "chain.h5"
    assert record(path, "--search", "--time-limit", "0s", env_id="LockedChain-900") == 1
    assert "no reward found" in capsys.readouterr().err
    assert [item.name for item in tmp_path.iterdir()] == ["chain.h5.search"]


def test_a_search_too_large_to_be_read_again_is_not_saved_and_its_demo_is(tmp_path, capsys, monkeypatch):
    path = tmp_path / "chain.h5"
    kept = tmp_path / "chain.h5.search"
    assert record(path, "--search", "--time-limit", "0s") == 1
    before = kept.read_bytes()
    capsys.readouterr()
    monkeypatch.setattr("demo_curriculum.recording.archive.MAX_NPZ_BYTES", len(before))
    going_on = ("record", "--search", "--continue", str(path), "--time-limit", "0.5s", "--processes", "1")
    assert main(going_on) == 0
    error = capsys.readouterr().err
    assert f"warning: the search is not saved, it goes on unharmed: {kept}: would have " in error
    assert kept.read_bytes() == before
    assert read_demos(path)[0].score == 1


def test_time_over_while_polishing_saves_and_says_so(tmp_path, capsys):
    path = tmp_path / "chain.h5"
    assert search(path, "--polish-frames", "1000000000", "--time-limit", "0.5s", "--processes", "1") == 0
    assert read_demos(path)[0].score == 1
    assert "ended by the time limit" in capsys.readouterr().out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_saves_the_best_demo_so_far(tmp_path, number):
    path = tmp_path / "chain.h5"
    command = ["record", "LockedChain-8", "-o", str(path), "--search", "--time-limit", "100s", "--processes", "2"]
    # In a group of its own, all of which a terminal's Ctrl-C reaches, and a supervisor's SIGTERM.
    process = subprocess.Popen(
        [sys.executable, "-m", "demo_curriculum", *command],
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        start_new_session=True,
    )
    line = process.stderr.readline()
    assert "left; " in line and "best so far: 1 points in 8 frames" in line
    os.killpg(process.pid, number)
    assert "Traceback" not in process.stderr.read()
    assert process.wait(timeout=30) == 130
    [demo] = read_demos(path)
    assert demo.score == 1
    assert "interrupted" in demo.note
    assert path.with_name("chain.h5.search").exists()


def test_an_interrupt_without_any_reward_says_how_to_go_on(tmp_path, capsys, monkeypatch):
    path = tmp_path / "chain.h5"

    def interrupt(search, **_):
        signal.raise_signal(signal.SIGINT)
        run(search, **_)

    run = Search.run
    monkeypatch.setattr(Search, "run", interrupt)
    assert record(path, "--search", env_id="LockedChain-900") == 130
    error = capsys.readouterr().err
    assert error.startswith("error: no reward found in 0 frames; interrupted")
    assert error.endswith(f": record --search --continue {path}\n")
    assert [item.name for item in tmp_path.iterdir()] == ["chain.h5.search"]


def test_the_screen_is_enough_to_search_by(tmp_path):
    path = tmp_path / "chain.h5"
    assert search(path, "--cell", "screen", env_id="LockedChain-6") == 0
    [demo] = read_demos(path)
    assert demo.score == 1
    assert demo.note.endswith("--cell screen")
