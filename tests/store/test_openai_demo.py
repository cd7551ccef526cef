import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo_curriculum.store import StoreError, read_openai_demo

DEMOS = Path(__file__).parents[2] / "../shared/data/openai-demos"


def recording(**changes):
    fields = {
        "actions": [0, 1, 17],
        "rewards": [0.0, np.float64(100), -1],
        "lives": [6, 6, 6, 5],
        "checkpoints": [np.arange(5, dtype=np.uint8), np.arange(3, dtype=np.uint8)],
        "checkpoint_action_nr": [1, 2],
    }
    fields |= changes
    return {name: value for name, value in fields.items() if value is not None}


def numpy_1_pickle(content):
    """As the recorder's numpy wrote it: under the module's old name."""
    return pickle.dumps(content, protocol=3).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "x.demo"


def refuses(path, content, reason):
    path.write_bytes(content)
    with pytest.raises(StoreError, match=reason) as caught:
        read_openai_demo(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_recording_by_hand(path):
    path.write_bytes(numpy_1_pickle(recording()))
    read = read_openai_demo(path)
    assert read.actions.tolist() == [0, 1, 17]
    assert read.rewards.tolist() == [0, 100, -1]
    assert read.lives is not None
    assert read.lives.tolist() == [6, 6, 6, 5]
    assert read.checkpoints == (bytes(range(5)), bytes(range(3)))
    assert read.checkpoint_steps.tolist() == [1, 2]
    assert (read.actions.dtype, read.rewards.dtype, read.lives.dtype) == (np.int64, np.float64, np.int32)


def test_lives_may_be_missing_and_a_reward_too_many(path):
    path.write_bytes(numpy_1_pickle(recording(lives=None, rewards=[0, 0, 0, 1])))
    read = read_openai_demo(path)
    assert read.lives is None
    assert read.rewards.tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize("game", ["MontezumaRevenge", "PrivateEye", "Pong"])
def test_the_real_recordings_are_read_as_pickle_reads_them(game):
    path = DEMOS / f"{game}.demo"
    if not path.exists():
        pytest.skip("the shared recordings are not here")
    read = read_openai_demo(path)
    expected = pickle.loads(path.read_bytes())
    assert read.actions.tolist() == expected["actions"]
    assert read.rewards.tolist() == expected["rewards"]
    assert read.checkpoints == tuple(item.tobytes() for item in expected["checkpoints"])
    assert read.checkpoint_steps.tolist() == expected["checkpoint_action_nr"]
    if read.lives is not None:
        assert read.lives.tolist() == expected["lives"]


class Evil:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("evil", "name"),
    [
        (Evil(os.mkdir, "ran"), "posix.mkdir"),
        (Evil(eval, "1"), "builtins.eval"),
        (Evil(np.load, "x"), "numpy.load"),
        (Evil(getattr, np, "load"), "builtins.getattr"),
    ],
)
def test_nothing_is_imported(path, tmp_path, monkeypatch, evil, name):
    monkeypatch.chdir(tmp_path)
    try:
        content = pickle.dumps({"actions": evil}, protocol=3)
    except TypeError:  # getattr's module cannot be pickled, but its name comes first
        content = b"\x80\x03cbuiltins\ngetattr\n."
    refuses(path, content, f"wants to import '{name}'")
    assert os.listdir(tmp_path) == ["x.demo"]


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_opcodes_that_recordings_do_not_use_are_refused(path, protocol):
    refuses(path, pickle.dumps(Evil(os.mkdir, "ran"), protocol=protocol), "uses the opcode|wants to import")


def test_numpy_is_not_called_with_forged_arguments(path):
    for content in (
        b"\x80\x03cnumpy\ndtype\nX\x01\x00\x00\x00OK\x00K\x01\x87R.",
        b"\x80\x03cnumpy.core.multiarray\n_reconstruct\ncnumpy\ndtype\nK\x00\x85C\x01b\x87R.",
    ):
        refuses(path, content, "calls something that such a recording does not")
    forged_state = b"\x80\x03cnumpy\ndtype\nX\x02\x00\x00\x00f8K\x00K\x01\x87R(K\x03X\x01\x00\x00\x00|K\x01tb."
    refuses(path, forged_state, "builds something")


def test_arrays_are_rows_of_bytes_of_the_length_they_say(path):
    for wrong in (np.zeros((2, 3), np.uint8), np.zeros(3), np.zeros(3, ">i4")):
        content = numpy_1_pickle(recording(checkpoints=[wrong, wrong]))
        refuses(path, content, "builds something|calls something")
    content = numpy_1_pickle(recording())
    assert content.count(b"K\x05\x85") == 1
    refuses(path, content.replace(b"K\x05\x85", b"K\x06\x85"), "builds something")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "damaged"),
        (b"hello", "not a recording"),
        (b"\x80\x03.", "damaged"),
        (b"\x80\x03K\x01.", "does not hold a dictionary"),
        (b"\x80\x03]]a.", "does not hold a dictionary"),
        (b"\x80\x03K\x01K\x02.", "left over"),
        (b"\x80\x03h\x05.", "damaged"),
        (b"\x80\x03\x85.", "damaged"),
        (b"\x80\x03}K\x01K\x02s.", "no dictionary of names"),
        (b"\x80\x03K\x01K\x02a.", "no list"),
        (b"\x80\x03B\xff\xff\xff\x7fx.", "damaged"),
    ],
)
def test_what_is_no_recording(path, content, reason):
    refuses(path, content, reason)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"actions": []}, "actions: are none"),
        ({"actions": None}, "actions: is not a list of numbers"),
        ({"actions": [0, 1, 18]}, r"within 0\.\.17"),
        ({"actions": [0, -1, 1]}, r"within 0\.\.17"),
        ({"actions": [0, 1, 1.5]}, "actions: are not all whole"),
        ({"actions": [0, 1, "x"]}, "actions: is not a list of numbers"),
        ({"actions": [0, 1, False]}, "actions: is not a list of numbers"),
        ({"rewards": [0, 1]}, "rewards: 2 for 3 actions"),
        ({"rewards": [0, 1, 2, 3, 4]}, "rewards: 5 for 3 actions"),
        ({"rewards": [0, 1, float("nan")]}, "not all finite"),
        ({"rewards": [0, 1, float("inf")]}, "not all finite"),
        ({"lives": [6, 6, 6]}, "lives: 3 for 3 actions"),
        ({"lives": [6, 6, 6, 2**31 - 1]}, None),
        ({"checkpoints": None}, "checkpoints: are not byte arrays"),
        ({"checkpoints": [b"x", b"y"]}, "checkpoints: are not byte arrays"),
        ({"checkpoints": [np.zeros(70_000, np.uint8)] * 2}, "more than 65536 bytes"),
        ({"checkpoint_action_nr": [1]}, "a frame of its own"),
        ({"checkpoint_action_nr": [2, 2]}, "a frame of its own"),
        ({"checkpoint_action_nr": [1, 4]}, "a frame of its own"),
        ({"checkpoint_action_nr": [-1, 2]}, "a frame of its own"),
    ],
)
def test_contents_that_contradict_themselves(path, changes, reason):
    content = numpy_1_pickle(recording(**changes))
    if reason is None:
        path.write_bytes(content)
        read_openai_demo(path)
    else:
        refuses(path, content, reason)


def test_what_is_no_file_is_said(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name, reason in {"none": "No such file", "pipe": "not a regular file", ".": "not a regular file"}.items():
        with pytest.raises(StoreError, match=reason):
            read_openai_demo(tmp_path / name)


@given(st.data())
def test_whatever_the_bytes_only_a_store_error_comes_out(tmp_path_factory, data):
    content = bytearray(numpy_1_pickle(recording()))
    for _ in range(data.draw(st.integers(1, 3))):
        begin = data.draw(st.integers(0, len(content) - 1))
        content[begin : begin + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    path = tmp_path_factory.mktemp("pickle") / "x.demo"
    path.write_bytes(bytes(content))
    try:
        read_openai_demo(path)
    except StoreError as error:
        assert "\n" not in str(error)


def test_a_memo_of_any_number_costs_nothing(path):
    put = b"r" + struct.pack("<I", 2**32 - 1)
    refuses(path, b"\x80\x03K\x01" + put + b".", "does not hold a dictionary")
