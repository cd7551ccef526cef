import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo_curriculum.progress.log import LogError, ProgressLog, comparable, read_log, truncate_after, write_atomically


def move(update):
    return {
        "kind": "move",
        "update": update,
        "agent_steps": 4096 * update,
        "demo": 0,
        "before": 80,
        "after": 64,
        "reason": "advance",
    }


def end(update, reason="time limit"):
    return {"kind": "end", "update": update, "reason": reason}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "progress.jsonl"


def test_reads_what_was_written_while_the_log_is_still_open(path):
    with ProgressLog(path) as log:
        log.write(move(1))
        log.write(move(2))
        assert read_log(path) == [move(1), move(2)]


def test_numpy_becomes_json_and_what_json_lacks_becomes_null(path):
    with ProgressLog(path) as log:
        log.write(
            {**move(np.int64(3)), "tie_rate": np.float32(0.5), "trials": np.array([1, 2]), "x": [float("nan"), np.inf]}
        )
    assert json.loads(path.read_text()) == {**move(3), "tie_rate": 0.5, "trials": [1, 2], "x": [None, None]}


@given(cut=st.integers(0, 400))
def test_a_log_cut_anywhere_keeps_its_whole_lines_and_goes_on(tmp_path_factory, cut):
    path = tmp_path_factory.mktemp("cut") / "progress.jsonl"
    with ProgressLog(path) as log:
        for update in range(1, 4):
            log.write(move(update))
    data = path.read_bytes()[:cut]
    path.write_bytes(data)
    whole = [move(update) for update in range(1, data.count(b"\n") + 1)]
    assert read_log(path) == whole
    with ProgressLog(path) as log:
        log.write(move(9))
    assert read_log(path) == [*whole, move(9)]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "line 2: not JSON"),
        ("[1]", "line 2: None is no kind of record"),
        ('{"kind":"party"}', "line 2: 'party' is no kind of record"),
        ('{"kind":"end","update":1}', "line 2: the end record lacks reason"),
        ("\xff", "line 2: not JSON"),
    ],
)
def test_a_bad_line_in_the_middle_is_an_error_with_its_number(path, line, says):
    path.write_bytes(f"{json.dumps(move(1))}\n{line}\n{json.dumps(move(2))}\n".encode("latin-1"))
    with pytest.raises(LogError, match=says):
        read_log(path)


def test_a_missing_log_is_an_error_with_its_path(path):
    with pytest.raises(LogError, match=r"progress\.jsonl: cannot read.*No such file"):
        read_log(path)


def test_truncate_keeps_everything_up_to_the_update(path):
    run = {"kind": "run", "demos": [], "protocol": {}, "rule": "adaptive", "seed": 0}
    with ProgressLog(path) as log:
        for record in [run, move(1), move(2), end(2), move(3)]:
            log.write(record)
        log.write(move(4))
    truncate_after(path, 2)
    assert read_log(path) == [run, move(1), move(2), end(2)]


def test_truncate_leaves_a_log_it_cannot_read(path):
    path.write_text("not a log\n")
    with pytest.raises(LogError):
        truncate_after(path, 1)
    assert path.read_text() == "not a log\n"


def test_interrupted_and_resumed_compares_equal_to_uninterrupted():
    straight = [{**move(1), "seconds": 1.0}, move(2), end(2)]
    resumed = [
        {**move(1), "seconds": 9.0},
        end(1, "interrupted"),
        {"kind": "resume", "update": 1, "reason": "checkpoint"},
        move(2),
        end(2),
    ]
    assert comparable(straight) == comparable(resumed) == [move(1), move(2), end(2)]
    assert comparable(straight) != comparable([move(1), move(3), end(2)])
    assert comparable([]) == []


def test_a_failed_write_leaves_the_file_and_no_other(path, monkeypatch):
    path.write_bytes(b"before")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"after")
    assert path.read_bytes() == b"before"
    assert list(path.parent.iterdir()) == [path]
