import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from demo_curriculum.training.checkpoint import (
    CheckpointError,
    checkpoints,
    load_checkpoint,
    load_latest,
    save_checkpoint,
)

STATE = {
    "weights": {"a": torch.arange(6.0).reshape(2, 3), "scalar": torch.tensor(7, dtype=torch.float64)},
    "optimizer": {"state": {0: {"step": torch.tensor(3.0)}, 12: {"step": torch.tensor(4.0)}}, "lr": 0.1},
    "envs": [{"bytes": b"\x00\xff", "empty": b"", "stack": np.arange(4, dtype=np.uint8)}, {"tail": None}],
    "big": 2**127 + 1,
    "empty": {},
}


def write(folder: Path, update: int) -> Path:
    return save_checkpoint(folder, update, {**STATE, "update": update})


def test_everything_comes_back_with_its_type(tmp_path: Path) -> None:
    state = load_checkpoint(write(tmp_path, 5))
    assert torch.equal(state["weights"]["a"], STATE["weights"]["a"])  # type: ignore[index]
    assert state["weights"]["scalar"].shape == () and state["weights"]["scalar"].dtype == torch.float64
    assert list(state["optimizer"]["state"]) == [0, 12] and state["optimizer"]["state"][12]["step"] == 4
    assert state["envs"][0]["bytes"] == b"\x00\xff" and state["envs"][0]["empty"] == b""
    assert state["envs"][0]["stack"].tolist() == [0, 1, 2, 3] and state["envs"][1] == {"tail": None}
    assert state["big"] == 2**127 + 1 and state["empty"] == {}


def test_the_two_newest_are_kept(tmp_path: Path) -> None:
    for update in (1, 2, 30):
        write(tmp_path, update)
    assert [path.name for path in checkpoints(tmp_path)] == ["00000002", "00000030"]


@pytest.mark.parametrize("name", ["tensors.safetensors", "state.json", "manifest.json"])
@pytest.mark.parametrize("damage", ["flip", "truncate", "remove", "empty"])
def test_a_damaged_one_is_passed_over_aloud(tmp_path: Path, name: str, damage: str) -> None:
    write(tmp_path, 1)
    path = write(tmp_path, 2) / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    {
        "flip": lambda: path.write_bytes(data),
        "truncate": lambda: path.write_bytes(data[: len(data) // 2]),
        "remove": path.unlink,
        "empty": lambda: path.write_bytes(b""),
    }[damage]()
    said: list[str] = []
    state = load_latest(tmp_path, said.append)
    assert state is not None and state["update"] == 1
    assert len(said) == 1 and "00000002" in said[0] and "the one before" in said[0]


def test_a_torn_one_is_not_taken_for_a_checkpoint(tmp_path: Path) -> None:
    path = write(tmp_path, 1)
    shutil.copytree(path, tmp_path / ".writing-00000002-99")
    state = load_latest(tmp_path, pytest.fail)
    assert state is not None and state["update"] == 1


def test_none_whole_is_an_error_and_none_at_all_is_not(tmp_path: Path) -> None:
    assert load_latest(tmp_path / "new", pytest.fail) is None
    (write(tmp_path, 1) / "state.json").unlink()
    with pytest.raises(CheckpointError, match="none of the 1"):
        load_latest(tmp_path, lambda text: None)


def test_a_failed_write_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, 1)

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(json, "dumps", full)
    with pytest.raises(OSError, match="No space"):
        write(tmp_path, 2)
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["00000001"]
    assert load_checkpoint(tmp_path / "00000001")["update"] == 1


def test_nan_is_refused_rather_than_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        save_checkpoint(tmp_path, 1, {"loss": float("nan")})
    assert list(tmp_path.iterdir()) == []
