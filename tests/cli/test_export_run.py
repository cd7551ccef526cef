import json

import pytest
import torch

from demo_curriculum.cli.main import main
from demo_curriculum.training.run import load_policy


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory, request):
    folder = tmp_path_factory.mktemp("runs") / "key"
    demo = request.config.rootpath / "demos" / "montezuma-key.h5"
    size = ["--envs", "4", "--steps", "16", "--hidden", "16", "--minibatches", "2", "--agent-steps", "64"]
    assert main(["train", str(demo), "--run-dir", str(folder), "--ranks", "1", *size]) == 1
    return folder


def test_an_exported_run_says_how_it_did_and_loads_again(run_dir, tmp_path, capsys):
    assert (run_dir / "demo.h5").is_file()
    arguments = ["--episodes", "2", "--protocol", "deterministic,sticky", "--max-frames", "80", "--json"]
    earlier = ["--episodes", "1", "--protocol", "sticky", "--max-frames", "80"]
    assert main(["eval", str(run_dir), *earlier]) == 0
    assert main(["eval", str(run_dir), *earlier, "--temperature", "0.5"]) == 0
    capsys.readouterr()
    assert main(["eval", str(run_dir), *arguments]) == 0
    first = json.loads(capsys.readouterr().out)
    record = json.loads((run_dir / "evals.jsonl").read_text().splitlines()[-1])
    shown = {**first, **first["protocols"][record["protocol"]]}
    wanted = {"update", "agent_steps", "seed", "temperature", "max_frames", "demo_score", "mean", "iqm", "ties", "best"}
    assert wanted < set(record) and all(record[name] == shown[name] for name in wanted | {"episodes"})
    folder = tmp_path / "for-others"
    assert main(["export", str(run_dir), "-o", str(folder)]) == 0
    card = (folder / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: demo-curriculum\n")
    assert "| deterministic | 1 | 2 | 0.0 | 0.0 | 0.0 | 0% |" in card and "cut at 80 demo steps" in card
    assert card.count("| sticky |") == 2 and "| sticky | 1 | 2 |" in card and "| sticky | 0.5 | 1 |" in card
    one, other = load_policy(run_dir)[1].state_dict(), load_policy(folder)[1].state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)
    weights = sum(path.stat().st_size for path in folder.rglob("*.safetensors"))
    assert weights < sum(path.stat().st_size for path in run_dir.rglob("*.safetensors")) / 2
    capsys.readouterr()
    assert main(["eval", str(folder), *arguments]) == 0
    assert json.loads(capsys.readouterr().out)["protocols"] == first["protocols"]
    assert main(["replay", str(folder), "--terminal"]) == 0


def test_an_export_never_replaces_anything_and_needs_a_run(run_dir, tmp_path, capsys):
    (tmp_path / "there").mkdir()
    assert main(["export", str(run_dir), "-o", str(tmp_path / "there")]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main(["export", str(tmp_path / "there"), "-o", str(tmp_path / "new")]) == 1
    assert "not a run directory" in capsys.readouterr().err
    assert main(["export", str(run_dir), "-o", str(tmp_path / "new"), "--film", str(tmp_path / "no.mp4")]) == 1
    assert "no such film" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_the_best_episode_from_the_reset_is_filmed(run_dir, tmp_path, capsys):
    av = pytest.importorskip("av")
    film = tmp_path / "best.mp4"
    arguments = ["--episodes", "2", "--protocol", "sticky", "--max-frames", "80", "--film", str(film)]
    assert main(["eval", str(run_dir), *arguments]) == 0
    with av.open(str(film)) as container:
        # Eighty frames at two a picture, the last one too, and its standing still.
        assert sum(1 for _ in container.decode(video=0)) == 40 + 1 + 24
