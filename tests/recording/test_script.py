import json

import numpy as np
import pytest

from demo_curriculum.cli.main import main
from demo_curriculum.errors import DemoCurriculumError
from demo_curriculum.recording.script import read_actions
from demo_curriculum.simulators import make_simulator
from demo_curriculum.store import read_demos

NAMES = ("NOOP", "FIRE", "RIGHT")


def write(tmp_path, name, content):
    path = tmp_path / name
    match path.suffix:
        case ".npy":
            np.save(path, content)
        case ".npz":
            np.savez(path, **content)
        case ".json":
            path.write_text(json.dumps(content))
        case _:
            path.write_text(content)
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.npy", np.array([0, 2, 2, 1], np.uint8)),
        ("a.npz", {"actions": np.array([0, 2, 2, 1])}),
        ("a.json", [0, 2, 2, 1]),
        ("a.json", ["NOOP", ["RIGHT", 2], 1]),
        ("a.csv", "0\n2\n2\n1\n"),
        ("a.csv", "action,steps\nNOOP,1\nRIGHT, 2\n\nFIRE\n"),
    ],
)
def test_every_way_to_write_actions(tmp_path, name, content):
    assert read_actions(write(tmp_path, name, content), NAMES) == [0, 2, 2, 1]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.txt", "0", "come as .npy"),
        ("a.npy", np.array([0.5]), "item 0 is '0.5'"),
        ("a.npy", np.array([[0, 1, 2]]), "item 0 is"),
        ("a.npy", np.array(["x"], object), "plain numbers|damaged"),
        ("a.npz", {"x": np.arange(3)}, "no array named actions"),
        ("a.json", [3], r"actions are 0\.\.2"),
        ("a.json", [-1], r"actions are 0\.\.2"),
        ("a.json", ["LEFT"], "one of NOOP, FIRE, RIGHT"),
        ("a.json", [True], "item 0 is 'True'"),
        ("a.json", [[0, 10**9]], "steps 0 or more"),
        ("a.json", [{}], "item 0 is"),
        ("a.json", {"actions": [1]}, "not a list of actions"),
        ("a.json", [], "not a list of actions"),
        ("a.csv", "0\nx\n", "item 1 is"),
        ("a.csv", "\0", "cannot be read|item 0|not a list"),
    ],
    ids=range(15),
)
def test_what_is_no_list_of_actions(tmp_path, name, content, reason):
    with pytest.raises(DemoCurriculumError, match=reason) as caught:
        read_actions(write(tmp_path, name, content), NAMES)
    assert "\n" not in str(caught.value)


def test_record_plays_the_actions(tmp_path, capsys):
    keys = make_simulator("LockedChain-6").keys.tolist()
    path = write(tmp_path, "keys.json", keys)
    output = tmp_path / "d.h5"
    assert main(["record", "LockedChain-6", "-o", str(output), "--actions", str(path)]) == 0
    (demo,) = read_demos(output)
    assert (demo.score, demo.origin, demo.actions.tolist()) == (1, "script", keys)
    assert main(["verify", str(output)]) == 0
    capsys.readouterr()
    path.write_text(json.dumps([(keys[0] + 1) % 4, 0]))
    assert main(["record", "LockedChain-6", "-o", str(tmp_path / "e.h5"), "--actions", str(path)]) == 1
    assert "keys.json: the game ended at demo step 1" in capsys.readouterr().err
    assert not (tmp_path / "e.h5").exists()
    both = ["record", "LockedChain-6", "-o", "x.h5", "--actions", str(path), "--search"]
    assert main(both) == 2
