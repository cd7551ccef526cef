import json

import pytest

from demo_curriculum.cli.main import main

UPDATE = {
    "kind": "update",
    "update": 1,
    "agent_steps": 4096,
    "frames": 16384,
    "seconds": 2.0,
    "steps_per_second": 2048.0,
    "frontiers": [300],
    "tie_rate": [0.5],
    "reset_tie_rate": [None],
    "reset_trials": [0],
    "score": None,
    "metrics": {},
}
RUN = {
    "kind": "run",
    "demos": [{"env_id": "LockedChain-9", "length": 380, "offset": 0, "score": 1.0, "rewards": [[8, 1.0]]}],
    "protocol": {},
    "rule": "openai",
    "seed": 3,
}


@pytest.fixture
def run_dir(tmp_path):
    def write(*records):
        (tmp_path / "progress.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
        return tmp_path

    return write


def test_replays_in_the_terminal_and_writes_the_picture(run_dir, capsys):
    folder = run_dir(RUN, UPDATE)
    assert main(["replay", str(folder)]) == 0
    assert "frontier 300 of 380" in capsys.readouterr().out
    assert (folder / "climb.png").read_bytes().startswith(b"\x89PNG")


def test_terminal_alone_and_picture_alone(run_dir, capsys):
    folder = run_dir(RUN, UPDATE)
    assert main(["replay", str(folder), "--terminal"]) == 0
    assert [path.name for path in folder.iterdir()] == ["progress.jsonl"]
    capsys.readouterr()
    assert main(["replay", str(folder), "--png", str(folder / "own.png")]) == 0
    assert capsys.readouterr().out == f"wrote {folder / 'own.png'}\n"
    assert sorted(path.name for path in folder.iterdir()) == ["own.png", "progress.jsonl"]


@pytest.mark.parametrize(
    ("records", "says"),
    [((), "is it empty?"), ((RUN,), "no update yet"), (({"kind": "move"}, UPDATE), "is it empty?")],
)
def test_a_log_with_nothing_to_show_is_one_line(run_dir, capsys, records, says):
    folder = run_dir(*records)
    assert main(["replay", str(folder)]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"error: {folder / 'progress.jsonl'}")
    assert says in error


def test_another_folder_is_no_run_directory(tmp_path, capsys):
    assert main(["replay", str(tmp_path)]) == 1
    assert "not a run directory" in capsys.readouterr().err


def test_a_damaged_log_gives_the_rest_of_the_story_and_a_note(run_dir, capsys):
    folder = run_dir(RUN, {**UPDATE, "frontiers": [300, 7]}, {"kind": "party"}, {**UPDATE, "frontiers": [200]})
    with (folder / "progress.jsonl").open("a") as log:
        log.write("garbage\n" + json.dumps(UPDATE)[:40])
    assert main(["replay", str(folder), "--terminal"]) == 0
    shown = capsys.readouterr()
    assert "frontier 200 of 380" in shown.out
    assert "1 records of other demos" in shown.err
    assert "party (1)" in shown.err
    assert "line 5 is not JSON" in shown.err
    assert "line 6, the last, was cut short" in shown.err


def test_a_lost_first_line_is_made_up_for_from_the_config(run_dir, capsys):
    folder = run_dir(UPDATE)
    config = {"config": {"rule": "openai", "seed": 3, "sticky": 0.25}, "demos": RUN["demos"], "versions": {}}
    (folder / "config.json").write_text(json.dumps(config))
    assert main(["replay", str(folder), "--terminal"]) == 0
    shown = capsys.readouterr()
    assert "LockedChain-9, demo of 380 steps" in shown.out and "sticky actions 0.25" in shown.out
    assert "first line is lost" in shown.err
