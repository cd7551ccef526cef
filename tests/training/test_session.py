"""Whole runs: the climb itself, the same seed, kills and resumes, stop signals, run directories."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from demo_curriculum.clocks import find_clocks
from demo_curriculum.demo import Demo, Outcome, Start
from demo_curriculum.errors import DemoCurriculumError, MismatchError, UsageError
from demo_curriculum.progress.log import comparable, read_log
from demo_curriculum.simulators import make_simulator
from demo_curriculum.simulators.inert import find_inert
from demo_curriculum.simulators.playback import play_demo
from demo_curriculum.store import read_demos, write_demos
from demo_curriculum.training.checkpoint import load_latest, save_checkpoint
from demo_curriculum.training.config import TrainConfig
from demo_curriculum.training.ranks import Ranks
from demo_curriculum.training.run import Run, build_trainer
from demo_curriculum.training.session import Limits, _records, open_run, train
from demo_curriculum.training.stall import REMEDIES
from demo_curriculum.training.trainer import UpdateReport

DEMOS = Path(__file__).parents[2] / "demos"
SMALL = {"envs": 16, "steps": 32, "hidden": 32, "lr": 1e-3, "frame_skip": 1, "sticky": 0.0}


class Quiet:
    def __init__(self) -> None:
        self.messages: list[str] = []

    def update(self, record: dict[str, Any]) -> None: ...

    def event(self, record: dict[str, Any]) -> None: ...

    def message(self, text: str) -> None:
        self.messages.append(text)


def chain_demo(length: int) -> Demo:
    simulator = make_simulator(f"LockedChain-{length}")
    return play_demo(simulator, simulator.keys.tolist(), origin="script")  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def montezuma(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demo in which nothing is gained in 200 frames."""
    simulator = make_simulator("ALE/MontezumaRevenge-v5")
    path = tmp_path_factory.mktemp("demo") / "idle.h5"
    demo = play_demo(simulator, [0] * 120 + [3] * 80, origin="script")
    write_demos(path, [demo])
    return path


def run_chain(folder: Path, length: int, limits: Limits, **kwargs: Any) -> str:
    demo = chain_demo(length)
    run, _ = open_run(folder, [demo], TrainConfig(**{**SMALL, **kwargs}))
    return train(folder, run, [demo], limits=limits, display=Quiet(), ranks=Ranks())


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"rule": "openai"},
        {"rule": "rfcl"},
        {"rule": "backplay"},
        {"rule": "uniform"},
        {"rnd": False},
        {"imitation": 0.0},
        {"memory": 16, "burn_in": 16},
    ],
)
def test_a_locked_chain_is_climbed_to_its_beginning(tmp_path: Path, options: dict[str, Any]) -> None:
    assert run_chain(tmp_path / "run", 8, Limits(0, 60), **options) == "frontier"
    records = read_log(tmp_path / "run" / "progress.jsonl")
    last = [record for record in records if record["kind"] == "update"][-1]
    assert last["frontiers"] == [0] and last["reset_tie_rate"][0] >= 0.2
    assert records[0]["kind"] == "run" and records[-1]["reason"] == "frontier"


def test_a_run_says_how_much_of_the_memory_is_looked_at(tmp_path: Path) -> None:
    (demo,) = read_demos(DEMOS / "montezuma-door.h5")

    def told(name: str, **changes: bool) -> list[str]:
        run, _ = open_run(tmp_path / name, [demo], TrainConfig(**SMALL, **changes))  # type: ignore[arg-type]
        display = Quiet()
        train(tmp_path / name, run, [demo], limits=Limits(None, None, 0), display=display, ranks=Ranks())
        return display.messages

    inert = find_inert(make_simulator("ALE/MontezumaRevenge-v5"), [demo])
    (message,) = told("usual")
    assert message.startswith(f"of the observation's 128 entries {128 - inert.sum()} are seen")
    (message,) = told("timeless", clocks=False)
    hidden = inert | find_clocks([demo.observations])
    assert message.startswith(f"of the observation's 128 entries {128 - hidden.sum()} are seen")
    assert told("all", inert=True) == []


def test_the_log_tells_jittered_episodes_and_those_after_setbacks_apart(tmp_path: Path) -> None:
    demo = chain_demo(8)
    run, _ = open_run(tmp_path, [demo], TrainConfig(**SMALL))  # type: ignore[arg-type]
    outcomes = [
        Outcome(Start(0, 0, 8), 1.0, 8, True, "tie"),
        Outcome(Start(0, 0, 8, (0,)), 5.0, 8, True, "tie"),
        Outcome(Start(0, 3, 8, (0, 0)), 0.0, 8, False, "lag"),
        Outcome(Start(0, 0, 8), 9.0, 8, False, "life", setbacks=1),
    ]
    report = UpdateReport(1, 9, 9, [], outcomes, {}, None)
    records = _records(run, build_trainer(run, [demo], Ranks()), report, 1.0, 9.0)
    (update,) = [record for record in records if record["kind"] == "update"]
    assert update["score"] == 1.0, "of the reset as it is, with all lives"
    told = {name: value for name, value in update["metrics"].items() if "tie_rate" in name}
    assert told == {
        "rollout/tie_rate": 0.5,
        "rollout/tie_rate_jittered": 0.5,
        "rollout/tie_rate_after_setbacks": 0.0,
    }


def train_command(demo: Path, folder: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "demo_curriculum", "train", str(demo), "--run-dir", str(folder), "--ranks=1", *more]


def options(**values: Any) -> list[str]:
    return [f"--{name.replace('_', '-')}={value}" for name, value in values.items()]


CHAIN = options(**SMALL, agent_steps=20480, until_frontier=None, checkpoint_every="0.2s")


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("demo") / "chain.h5"
    write_demos(path, [chain_demo(80)])
    return path


@pytest.fixture(scope="module")
def uninterrupted(chain: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("run") / "whole"
    subprocess.run(train_command(chain, folder, *CHAIN), check=False)
    records = comparable(read_log(folder / "progress.jsonl"))
    assert {record["kind"] for record in records} == {"run", "update", "move", "buckets", "checkpoint", "best", "end"}
    updates, buckets = ({r["update"] for r in records if r["kind"] == kind} for kind in ("update", "buckets"))
    assert buckets == {update for update in updates if update <= 50 or update % 10 == 0}
    return records


def test_the_same_seed_gives_the_same_log_and_another_does_not(
    chain: Path, uninterrupted: list[dict[str, Any]], tmp_path: Path
) -> None:
    for seed in (0, 1):
        subprocess.run(train_command(chain, tmp_path / str(seed), *CHAIN, f"--seed={seed}"), check=False)
    assert comparable(read_log(tmp_path / "0" / "progress.jsonl")) == uninterrupted
    assert comparable(read_log(tmp_path / "1" / "progress.jsonl"))[1:] != uninterrupted[1:]


def updates(folder: Path) -> int:
    path = folder / "progress.jsonl"
    return sum(record["kind"] == "update" for record in read_log(path)) if path.exists() else 0


def begin(chain: Path, folder: Path, count: int) -> subprocess.Popen[str]:
    """A training that has done ``count`` updates and goes on."""
    process = subprocess.Popen(train_command(chain, folder, *CHAIN), stdout=subprocess.PIPE, text=True)
    while updates(folder) < count:
        assert process.poll() is None
        time.sleep(0.01)
    return process


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_stopped_and_resumed_run_equals_an_uninterrupted_one(
    chain: Path, uninterrupted: list[dict[str, Any]], tmp_path: Path, number: signal.Signals
) -> None:
    folder = tmp_path / "run"
    process = begin(chain, folder, 15)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    if number == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
    else:
        assert process.returncode == 130 and "saved" in output
    assert updates(folder) < 40, "it was stopped in the middle"
    subprocess.run(train_command(chain, folder, *CHAIN), check=False)
    resumed = read_log(folder / "progress.jsonl")
    assert any(record["kind"] == "resume" for record in resumed)
    assert comparable(resumed) == uninterrupted


def test_a_run_is_trained_by_one_process_at_a_time(
    chain: Path, uninterrupted: list[dict[str, Any]], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    first = begin(chain, folder, 2)
    first.send_signal(signal.SIGSTOP)
    second = subprocess.run(train_command(chain, folder, *CHAIN), check=False, capture_output=True, text=True)
    first.send_signal(signal.SIGCONT)
    first.communicate(timeout=60)
    assert second.returncode == 1 and "run: another process trains this run; wait for its end" in second.stderr
    assert comparable(read_log(folder / "progress.jsonl")) == uninterrupted


@pytest.mark.parametrize(
    ("within", "missing", "reason"),
    [
        (("ranks", 0, "env", "envs", 0, "headway"), "clock", "KeyError: 'clock'"),
        (("curriculum", "demos", 0, "segments", 0), "pace", "CurriculumError: curriculum state, demo 0, segments"),
    ],
)
def test_a_checkpoint_of_another_version_is_refused_with_the_version_to_go_on_with(
    chain: Path, tmp_path: Path, within: tuple[str | int, ...], missing: str, reason: str
) -> None:
    folder = tmp_path / "run"
    settings = {**SMALL, "until_frontier": None}
    subprocess.run(train_command(chain, folder, *options(**settings, agent_steps=1024)), check=False)
    checkpoints = folder / "checkpoints"
    state = load_latest(checkpoints, print)
    assert state is not None
    # Whole and of the right shape, but for one thing that this version wants to know.
    part = state["trainer"]
    for key in within:
        part = part[key]
    del part[missing]
    save_checkpoint(checkpoints, state["trainer"]["update"], state)
    before = sorted(path.name for path in checkpoints.iterdir())
    more = train_command(chain, folder, *options(**settings, agent_steps=2048))
    result = subprocess.run(more, check=False, capture_output=True, text=True)
    assert result.returncode == 1 and "Traceback" not in result.stderr
    message = " ".join(result.stderr.split())
    assert f"checkpoint is of another version of demo-curriculum ({reason}" in message
    assert "the run was begun with 0.1.0" in message and "choose another --run-dir" in message
    assert sorted(path.name for path in checkpoints.iterdir()) == before


@pytest.mark.parametrize("observation", ["ram", "pixels"])
def test_atari_resumes_exactly_too(montezuma: Path, tmp_path: Path, observation: str) -> None:
    small = options(observation=observation, envs=2, steps=16, epochs=1, minibatches=2, until_frontier=None)
    for name, limits in (("whole", [192]), ("parts", [64, 128, 192])):
        for steps in limits:
            subprocess.run(train_command(montezuma, tmp_path / name, *small, f"--agent-steps={steps}"), check=False)
    whole, parts = (comparable(read_log(tmp_path / name / "progress.jsonl")) for name in ("whole", "parts"))
    assert len(whole) >= 6 and parts == whole


def test_a_climb_that_stands_still_tries_everything_and_says_so(chain: Path, tmp_path: Path) -> None:
    """With next to no learning rate nothing is learnt."""
    settings = {**SMALL, "lr": 1e-9, "imitation": 0.01, "patience": 3}
    result = subprocess.run(
        train_command(chain, tmp_path / "run", *options(**settings)), check=False, capture_output=True, text=True
    )
    assert result.returncode == 4
    assert result.stdout.startswith("stalled:") and "--patience 0" in result.stdout
    records = read_log(tmp_path / "run" / "progress.jsonl")
    remedies = [record for record in records if record["kind"] == "remedy"]
    assert [record["remedy"] for record in remedies] == list(REMEDIES)
    first = remedies[0]["update"]
    assert [record["update"] - first for record in remedies] == [0, 3, 6, 9, 12]
    assert records[-1] == {"kind": "end", "update": first + 15, "reason": "stalled"}
    weights = [record["metrics"]["train/entropy_weight"] for record in records if record["kind"] == "update"]
    assert weights[first - 2] == pytest.approx(0.003) and weights[first - 1] == pytest.approx(0.009)


def test_a_finished_run_says_so_again(tmp_path: Path) -> None:
    assert run_chain(tmp_path / "run", 6, Limits(0, 120)) == "frontier"
    before = updates(tmp_path / "run")
    assert run_chain(tmp_path / "run", 6, Limits(0, 120)) == "frontier"
    assert updates(tmp_path / "run") == before


def test_run_directories_of_other_things_are_refused_and_left_alone(tmp_path: Path) -> None:
    config = TrainConfig(**SMALL)  # type: ignore[arg-type]
    demo = chain_demo(6)
    open_run(tmp_path / "run", [demo], config)
    before = (tmp_path / "run" / "config.json").read_bytes()
    with pytest.raises(DemoCurriculumError, match="another demo"):
        open_run(tmp_path / "run", [demo.trim(5)], config)
    with pytest.raises(DemoCurriculumError, match="not 2"):
        open_run(tmp_path / "run", [demo, demo], config)
    with pytest.raises(UsageError, match="--seed 0, not 1"):
        open_run(tmp_path / "run", [demo], TrainConfig(**{**SMALL, "seed": 1}))  # type: ignore[arg-type]
    assert (tmp_path / "run" / "config.json").read_bytes() == before
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("precious")
    with pytest.raises(DemoCurriculumError, match="other things"):
        open_run(tmp_path / "other", [demo], config)
    with pytest.raises(DemoCurriculumError, match="not a run directory"):
        Run.read(tmp_path / "other")
    assert os.listdir(tmp_path / "other") == ["thesis.tex"]


def test_a_damaged_config_is_one_clear_line(tmp_path: Path) -> None:
    open_run(tmp_path / "run", [chain_demo(6)], TrainConfig(**SMALL))  # type: ignore[arg-type]
    path = tmp_path / "run" / "config.json"
    path.write_text(path.read_text()[:50])
    with pytest.raises(DemoCurriculumError, match=r"config\.json cannot be read"):
        Run.read(tmp_path / "run")


def test_a_demo_that_does_not_replay_is_refused(tmp_path: Path) -> None:
    demo = chain_demo(6)
    rewards = demo.rewards.copy()
    rewards[2] = 1.0
    forged = Demo(**{**vars(demo), "rewards": rewards})
    run, _ = open_run(tmp_path / "run", [forged], TrainConfig(**SMALL))  # type: ignore[arg-type]
    with pytest.raises(MismatchError, match="reward at step 2"):
        train(tmp_path / "run", run, [forged], limits=Limits(), display=Quiet(), ranks=Ranks())


def test_the_run_records_what_made_it(tmp_path: Path) -> None:
    demo = chain_demo(6)
    open_run(tmp_path / "run", [demo], TrainConfig(**SMALL))  # type: ignore[arg-type]
    document = json.loads((tmp_path / "run" / "config.json").read_text())
    assert document["demos"][0]["fingerprint"] == demo.fingerprint
    assert document["demos"][0]["rewards"] == [[5, 1.0]]
    assert document["config"]["envs"] == 16
    assert document["versions"]["torch_threads"] == "1"
    assert {"torch", "numpy", "ale-py", "python", "torch_threads", "git"} <= document["versions"].keys()
