import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo_curriculum.progress import schema
from demo_curriculum.progress.log import (
    LogError,
    ProgressLog,
    comparable,
    read_log,
    truncate_after,
    write_atomically,
)


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


def updated(update):
    numbers = ("agent_steps", "frames", "seconds", "steps_per_second", "score")
    lists = ("frontiers", "tie_rate", "reset_tie_rate", "reset_trials")
    return {
        "kind": "update",
        "update": update,
        **dict.fromkeys(numbers, 0),
        **{name: [0] for name in lists},
        "metrics": {},
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
        ("{", "line 2 is not JSON"),
        ("[1]", "line 2 is no record"),
        ("[" * 100_000, "line 2 is not JSON"),
        ('{"kind":7}', "line 2 is no record"),
        ('{"kind":"end","update":1}', "line 2: the end record has no proper reason"),
        ("\xff", "line 2 is not JSON"),
        ('{"kind":"party"}', "party (1)"),
    ],
)
def test_a_bad_line_is_left_out_and_told(path, line, says):
    path.write_bytes(f"{json.dumps(move(1))}\n{line}\n{json.dumps(move(2))}\n".encode("latin-1"))
    told = []
    assert read_log(path, told.append) == [move(1), move(2)]
    assert len(told) == 1 and str(path) in told[0] and says in told[0]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seconds", "9"),
        ("score", [1]),
        ("frontiers", 5),
        ("frontiers", [None]),
        ("agent_steps", None),
        ("agent_steps", float("inf")),
        ("metrics", []),
        ("segments", [[[0, 9]]]),
    ],
)
def test_a_value_that_no_reader_could_use_is_told_as_a_damaged_line(path, name, value):
    path.write_text(f"{json.dumps({**updated(1), name: value})}\n{json.dumps(updated(2))}\n")
    told = []
    assert read_log(path, told.append) == [updated(2)]
    assert told == [f"{path}: damaged lines were left out: line 1: the update record has no proper {name}"]


def test_all_kinds_and_fields_are_documented():
    for kind, fields in schema.KINDS.items():
        assert f"``{kind}``" in schema.__doc__
        assert all(f"``{name}``" in schema.__doc__ for name in fields)


def test_many_bad_lines_are_one_note(path):
    path.write_text("nonsense\n" * 50 + json.dumps(move(1)) + "\n" + json.dumps(move(2))[:30])
    told = []
    assert read_log(path, told.append) == [move(1)]
    assert told == [
        f"{path}: line 52, the last, was cut short",
        f"{path}: damaged lines were left out: line 1 is not JSON; line 2 is not JSON; line 3 is not JSON; and 47 more",
    ]


def test_fields_of_a_later_version_are_read_past_but_a_later_schema_is_refused(path):
    run = {"kind": "run", "demos": [], "protocol": {}, "rule": "adaptive", "seed": 0, "mood": "good"}
    path.write_text(json.dumps(run) + "\n")
    assert read_log(path) == [run]
    path.write_text(json.dumps({**run, "schema": 2}) + "\n")
    with pytest.raises(LogError, match="schema 2, this version reads 1"):
        read_log(path)


def test_thinned_reading_keeps_first_last_moves_and_whole_moments(path):
    with ProgressLog(path) as log:
        for update in range(1, 101):
            log.write(updated(update))
            if update % 10 == 0:
                log.write(move(update))
                for demo in (0, 1):
                    log.write({"kind": "buckets", "update": update, "demo": demo, "width": 9, "tie_rate": []})
    records = read_log(path, most=4)
    of = {kind: [r["update"] for r in records if r["kind"] == kind] for kind in ("update", "move", "buckets")}
    assert of["update"] == [1, 26, 51, 76, 100]
    assert of["move"] == list(range(10, 101, 10))
    # Ten moments of two demos each: every third, and the last.
    assert of["buckets"] == [10, 10, 40, 40, 70, 70, 100, 100]
    assert len(read_log(path, most=100)) == len(read_log(path)) == 130


def test_whole_numbers_stay_whole_and_others_carry_six_digits(path):
    with ProgressLog(path) as log:
        log.write({**move(1), "tie_rate": 1 / 3, "score": 1234567.0, "trials": 12345678})
    assert read_log(path)[0] | {"score": 1234567.0} == {
        **move(1),
        "tie_rate": 0.333333,
        "score": 1234567.0,
        "trials": 12345678,
    }


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


def test_truncate_keeps_what_it_cannot_read_but_nothing_after_the_update(path):
    kept = b'not a record\n{"kind":"party","update":1}\n'
    path.write_bytes(kept + json.dumps(move(3)).encode() + b"\n" + json.dumps(move(1)).encode() + b"\n")
    truncate_after(path, 2)
    assert path.read_bytes() == kept


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
