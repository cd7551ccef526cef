"""The benchmark of learning: real trainings of a short chain, and its figures by hand."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from demo_curriculum.cli.main import main
from demo_curriculum.errors import UsageError
from demo_curriculum.progress.comparison import compare_runs
from demo_curriculum.progress.standings import standings
from demo_curriculum.progress.story import read_climb
from demo_curriculum.simulators import make_simulator
from demo_curriculum.simulators.playback import play_demo
from demo_curriculum.store import write_demos
from demo_curriculum.training.config import TrainConfig
from demo_curriculum.training.variants import VARIANTS, bouts

SMALL = ["--frame-skip", "1", "--sticky", "0", "--stack", "1", "--envs", "4", "--steps", "64", "--hidden", "32"]


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    simulator = make_simulator("LockedChain-3")
    write_demos(tmp_path / "chain.h5", [play_demo(simulator, simulator.keys.tolist(), origin="script")])  # type: ignore[attr-defined]
    return tmp_path / "chain.h5"


def plan(folder: Path, **changes):
    return bouts(folder / "d.h5", folder, TrainConfig(seed=5), **{"only": (), "seeds": 2, **STEPS, **changes})


STEPS = {"agent_steps": 256, "episodes": 4}


def test_each_variant_differs_from_ours_in_what_it_is_named_for(tmp_path: Path) -> None:
    planned = plan(tmp_path)
    assert list(planned) == list(VARIANTS)
    assert [bout.config.seed for bout in planned["ours"]] == [5, 6]
    ours = planned["ours"][0].config.to_json()

    def changed(name: str) -> set[str]:
        config = planned[name][0].config.to_json()
        return {key for key in config if config[key] != ours[key]}

    parts = {"imitation": "imitation", "rnd": "rnd", "mixture": "mixture", "splitting": "split", "stages": "stages"}
    for part, key in parts.items():
        assert changed(f"ours-{part}") == {key}
    control = {"rule", "rnd", "imitation", "patience", "reward"}
    assert all(changed(name) == control for name in ("ppo", "uniform", "backplay", "openai", "rfcl", "reverse-walk"))
    assert changed("ppo-rnd") == control - {"rnd"}
    assert changed("cloning") == control | {"reinforcement", "entropy"}


def test_wrong_names_and_numbers_are_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no variant theirs; there are: ppo, "):
        plan(tmp_path, only=("theirs",))
    with pytest.raises(UsageError, match="--seeds 0"):
        plan(tmp_path, seeds=0)
    with pytest.raises(UsageError, match="imitation must be above 0"):
        TrainConfig(reinforcement=False, imitation=0.0)


@pytest.mark.slow
def test_runs_are_trained_judged_and_not_trained_again(chain: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    command = ["bench", "learn", str(chain), "-o", str(out), "--only", "ppo", "cloning", "--seeds", "2"]
    command += ["--agent-steps", "2048", "--episodes", "20", "--jobs", "2", "--lr", "0.003", *SMALL]
    assert main([*command, "--json"]) == 0
    told = capsys.readouterr()
    assert "4 of 4: " in told.err
    rows = {row["name"]: row for row in json.loads(told.out)["rows"]}
    assert list(rows) == ["ppo", "cloning"]
    assert rows["ppo"]["agent_steps"] == [2048, 2048] and min(rows["ppo"]["frames"]) >= 2048
    # 96 gradient steps are enough to copy three actions; by chance one episode of 64 opens three doors.
    assert rows["cloning"]["protocols"]["deterministic"]["ties"]["iqm"] > 0.5
    assert rows["cloning"]["frontier_0"]["reached"] == 0
    states = {path: path.stat().st_mtime_ns for path in out.rglob("*.jsonl")}
    assert len(states) == 8
    assert main([*command, "--png", str(tmp_path / "s.png")]) == 0
    told = capsys.readouterr()
    assert " done" not in told.err and "cloning: behaviour cloning of the demo" in told.out
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")
    assert states == {path: path.stat().st_mtime_ns for path in out.rglob("*.jsonl")}
    (out / "ppo-1" / "evals.jsonl").unlink()
    assert main([*command, "--json"]) == 0
    assert "1 of 1: ppo-1 done" in capsys.readouterr().err
    comparison = compare_runs([(path.name, read_climb(path, print)) for path in sorted(out.iterdir())])
    assert [group.name for group in comparison.groups] == ["cloning-0, cloning-1", "ppo-0, ppo-1"]


def write_run(folder: Path, seed: int, *, ties: list[float], frontiers: list[int], score: float) -> Path:
    """A run of 10 agent steps an update."""
    demo = {"env_id": "x", "length": 9, "offset": 0, "score": 2.0, "fingerprint": "ab", "rewards": [[8, 2.0]]}
    records: list[dict] = [{"kind": "run", "demos": [demo], "protocol": {}, "rule": "adaptive", "seed": seed}]
    for number, (rate, frontier) in enumerate(zip(ties, frontiers, strict=True), 1):
        common = {"update": number, "agent_steps": 10 * number}
        if number > 1 and frontier != frontiers[number - 2]:
            move = {"demo": 0, "before": 9, "after": frontier, "reason": "advance"}
            records.append({"kind": "move", **common, **move})
        counts = {"frames": 100 * number, "seconds": float(number), "steps_per_second": 1.0}
        reset = {"frontiers": [frontier], "tie_rate": [0], "reset_tie_rate": [rate], "reset_trials": [50]}
        records.append({"kind": "update", **common, **counts, **reset, "score": None, "metrics": {}})
    folder.mkdir()
    (folder / "progress.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    judged = {"kind": "eval", "update": 3, "agent_steps": 30, "protocol": "sticky", "episodes": 4, "demo_score": 2.0}
    (folder / "evals.jsonl").write_text(json.dumps({**judged, "mean": score, "ties": score / 2}) + "\n")
    return folder


def test_figures_are_over_seeds_and_of_the_right_moment(tmp_path: Path) -> None:
    folders = [
        write_run(tmp_path / "a", 0, ties=[0, 0.1, 0.2], frontiers=[9, 4, 0], score=1.0),
        write_run(tmp_path / "b", 1, ties=[0, 0.3, 0.1], frontiers=[9, 0, 0], score=2.0),
    ]
    still = write_run(tmp_path / "c", 0, ties=[0, 0, 0], frontiers=[0, 0, 0], score=0.0)
    document = standings({"moved": folders, "still": [still]})
    moved, control = document["rows"]
    assert moved["protocols"]["sticky"]["mean"]["iqm"] == 1.5
    assert moved["protocols"]["sticky"]["ties"]["steps"] == [0.5, 1.0]
    assert moved["frontier_0"]["steps"] == [30, 20] and moved["reset_tied"]["steps"] == [30, 20]
    assert moved["frames"] == [300, 300] and moved["seconds"] == [3, 3]
    # Means of the seeds' ties at the end; the first point is before the first update.
    assert moved["curve"][0] == [0, 0] and moved["curve"][-1] == pytest.approx([30, 0.15])
    # A frontier that is 0 from the beginning was never climbed to.
    assert control["frontier_0"] == {"reached": 0, "iqm": None, "low": None, "high": None, "steps": [None]}


@pytest.mark.slow
def test_an_interrupted_benchmark_saves_and_goes_on(chain: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "demo_curriculum", "bench", "learn", str(chain), "-o", str(tmp_path / "out")]
    command += ["--only", "ppo", "--seeds", "1", "--agent-steps", "100_000_000", "--jobs", "1", *SMALL]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    log = tmp_path / "out" / "ppo-0" / "progress.jsonl"
    for _ in range(1200):
        if log.is_file() and '"kind":"update"' in log.read_text():
            break
        time.sleep(0.1)
    # To the command alone, as from a supervisor; from a terminal its processes get one too.
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 130, process.stderr.read()  # type: ignore[union-attr]
    records = [json.loads(line) for line in log.read_text().splitlines()]
    assert records[-1] == {"kind": "end", "update": records[-1]["update"], "reason": "interrupted"}
    assert int(max(path.name for path in (log.parent / "checkpoints").iterdir())) == records[-1]["update"] > 0


def test_a_run_that_fails_is_told(chain: Path, tmp_path: Path, capfd) -> None:
    (tmp_path / "out" / "ppo-0").mkdir(parents=True)
    (tmp_path / "out" / "ppo-0" / "letter.txt").write_text("dear all")
    command = ["bench", "learn", str(chain), "-o", str(tmp_path / "out"), "--only", "ppo", "--agent-steps", "64"]
    assert main([*command, "--jobs", "1", *SMALL]) == 1
    assert "holds other things than a run" in (told := capfd.readouterr().err)
    assert "error: ppo-0 failed with exit code 1" in told
