"""The benchmarks run, say what they are shares of, and skip what cannot be measured here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from demo_curriculum.errors import UsageError
from demo_curriculum.simulators import make_simulator
from demo_curriculum.simulators.playback import play_demo
from demo_curriculum.store import write_demos
from demo_curriculum.training import measures
from demo_curriculum.training.benchmark import MEASURES, Result, _result, benchmark


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    simulator = make_simulator("LockedChain-120")
    path = tmp_path_factory.mktemp("demo") / "chain.h5"
    write_demos(path, [play_demo(simulator, simulator.keys.tolist(), origin="script")])  # type: ignore[attr-defined]
    return path


def test_a_ratio_is_the_median_of_the_turns_ratios() -> None:
    rates = {"vector-ram": [2.0, 8.0, 3.0], "emulator": [4.0, 8.0, 12.0]}
    result = _result("vector-ram", rates, {})
    assert (result.rate, result.reference, result.ratio) == (3.0, "emulator", 0.5)


def test_every_reference_is_a_row() -> None:
    assert {measure.reference for measure in MEASURES.values()} - {None} <= set(MEASURES)


def test_rows_are_measured_with_what_they_are_compared_with(chain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measures, "OUTCOMES", 1000)
    turns: list[str] = []
    asked = ["vector-ram", "restore-ram", "start-ram", "episodes-ram", "episodes-replayed-ram", "forward-ram"]
    asked += ["update-ram", "train-ram", "atari-vector"]
    only = [*asked, "store-open", "store-fetch", "store-append", "curriculum"]
    results = benchmark(chain, only=only, envs=4, rounds=1, seconds=0.02, on_turn=turns.append)
    rows = {result.name: result for result in results}
    assert set(rows) - set(only) == {"emulator", "emulators", "workers-pixels", "steps-ram"}
    assert turns[: len(rows)] == list(rows) == [name for name in MEASURES if name in rows]
    skipped = rows.pop("atari-vector")
    assert skipped.rate is None and skipped.skipped == "of Atari games alone"
    assert all(row.rate is not None and row.rate > 0 and row.skipped is None for row in rows.values())
    assert 0 < rows["train-ram"].ratio < rows["vector-ram"].ratio < 1  # type: ignore[operator]
    assert rows["store-open"].ratio is None


def test_unknown_rows_are_named(chain: Path) -> None:
    with pytest.raises(UsageError, match=r"no benchmark speed; there are: emulator, "):
        benchmark(chain, only=["speed"])


def test_the_command_prints_one_document(chain: Path) -> None:
    command = [sys.executable, "-m", "demo_curriculum", "bench", str(chain), "--rounds=1", "--json"]
    done = subprocess.run([*command, "--only", "store-open"], capture_output=True, text=True, check=True)
    document = json.loads(done.stdout)
    assert [Result(**row).name for row in document["results"]] == ["store-open"]
