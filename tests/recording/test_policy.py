import pytest

from demo_curriculum.cli.main import main
from demo_curriculum.simulators import make_simulator
from demo_curriculum.simulators.playback import play_demo
from demo_curriculum.store import read_demos, write_demos


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    """A run of a few updates: its policy is hardly better than chance."""
    folder = tmp_path_factory.mktemp("policy")
    chain = make_simulator("LockedChain-3")
    write_demos(folder / "chain.h5", [play_demo(chain, chain.keys.tolist(), origin="script")])
    main(
        [
            "train",
            str(folder / "chain.h5"),
            "--run-dir",
            str(folder / "run"),
            "--agent-steps",
            "3000",
            "--frame-skip",
            "1",
        ]
    )
    return folder / "run"


def test_the_best_episodes_of_a_policy_are_kept_and_verify(run_dir, tmp_path, capsys):
    output = tmp_path / "p.h5"
    arguments = [
        "record",
        "LockedChain-3",
        "-o",
        str(output),
        "--policy",
        str(run_dir),
        "--episodes",
        "40",
        "--keep",
        "3",
    ]
    assert main([*arguments, "--seed", "5"]) == 0
    demos = read_demos(output)
    assert len(demos) == 3
    scores = [demo.score for demo in demos]
    assert scores == sorted(scores, reverse=True)
    assert {demo.origin for demo in demos} == {"policy"}
    assert "best of 40 episodes, seed 5" in demos[0].note
    assert main(["verify", str(output)]) == 0
    capsys.readouterr()
    assert main([*arguments[:1], "LockedChain-4", *arguments[2:], "--overwrite"]) == 1
    assert "its policy plays LockedChain-3, not LockedChain-4" in capsys.readouterr().err
    assert main([*arguments, "--overwrite", "--keep", "41"]) == 2
