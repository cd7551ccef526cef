import io
import json
import socket
import struct
import sys
import time

import numpy as np
import pytest

from demo_curriculum.errors import DemoCurriculumError
from demo_curriculum.progress.log import read_log
from demo_curriculum.progress.video import FilmWriter
from demo_curriculum.progress.writers import MOST_BINS, Writers, histogram_of_starts, scalars

NAMES = ("tensorboard", "wandb", "trackio")


@pytest.fixture
def updates(climb):
    return [record for record in climb if record["kind"] == "update"]


@pytest.fixture
def film(tmp_path):
    pytest.importorskip("av")
    pytest.importorskip("PIL")
    path = tmp_path / "climb.mp4"
    with FilmWriter(path) as writer:
        for number in range(30):
            writer.add(np.full((500, 860, 3), 8 * number, np.uint8))
    return path


@pytest.fixture
def no_network(monkeypatch):
    """Connections elsewhere fail the test that makes them; W&B's own helper process is on this machine."""
    connect = socket.socket.connect
    refused = []

    def only_here(self, address):
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):
            refused.append(address)
            raise OSError(f"the test allows no connection to {address}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", only_here)
    yield
    assert refused == []


def scalars_of(folder):
    events = events_of(folder)
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def events_of(folder):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(folder), size_guidance={"histograms": 0})
    events.Reload()
    return events


def test_tensorboard_reads_back_what_was_written_over_agent_steps(tmp_path, climb):
    pytest.importorskip("tensorboard")
    with Writers(["tensorboard"], tmp_path, climb[0]) as writers:
        for record in climb:
            if record.get("update", 0) <= 6:
                writers.write(record)
    tags = scalars_of(tmp_path / "tensorboard")
    assert tags["curriculum/frontier"][0] == tags["curriculum/left"][0] == (4096, 340.0)
    assert tags["time/fps"][-1] == (6 * 4096, 2048.0)
    assert tags["rollout/ep_len_mean"] == [(4096 * update, 80.0) for update in range(1, 7)]
    # Unknown before update 5.
    assert [step for step, _ in tags["curriculum/reset_tie_rate"]] == [5 * 4096, 6 * 4096]
    assert "rnd/bonus" not in tags
    starts = events_of(tmp_path / "tensorboard").Histograms("curriculum/starts")
    last = [record for record in climb if record["kind"] == "buckets"][5]
    assert sum(starts[-1].histogram_value.bucket) == sum(last["trials"])


def test_a_resumed_run_replaces_what_came_after_its_checkpoint(tmp_path, climb, updates):
    pytest.importorskip("tensorboard")
    with Writers(["tensorboard"], tmp_path, climb[0]) as writers:
        for update in updates[:4]:
            writers.write(update)
    with Writers(["tensorboard"], tmp_path, climb[0], resume_at=updates[2]["agent_steps"]) as writers:
        writers.write({**updates[2], "frontiers": [7]})
    frontiers = scalars_of(tmp_path / "tensorboard")["curriculum/frontier"]
    assert frontiers == [(4096, 340.0), (8192, 325.0), (12288, 7.0)]


def test_tensorboard_gets_a_film_as_an_animation(tmp_path, climb, film):
    pytest.importorskip("tensorboard")
    from PIL import Image

    with Writers(["tensorboard"], tmp_path, climb[0]) as writers:
        writers.film(film, 4096)
    (event,) = events_of(tmp_path / "tensorboard").Images("climb")
    assert (event.step, event.width, event.height) == (4096, 430, 250)
    animation = Image.open(io.BytesIO(event.encoded_image_string))
    # 30 pictures at 30 a second are one second; five of them are shown, for .2 s each.
    assert (animation.n_frames, animation.info["duration"]) == (5, 200)


def wandb_rows(path):
    """What was logged in an offline run: a LevelDB log (blocks of 32 KiB, fragments of crc, size and type) of
    protocol buffers, after a header of seven bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, whole, rows = path.read_bytes(), 7, b"", []
    while at + 7 <= len(data):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        _, size, kind = struct.unpack("<IHB", data[at : at + 7])
        whole += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # whole, or the last part
            record, whole = Record.FromString(whole), b""
            items = record.history.item
            rows.append({item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items})
    return [row for row in rows if row]


def test_wandb_keeps_a_run_in_its_directory_and_goes_on_with_it(tmp_path, climb, film, no_network, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    with Writers(["wandb"], run_dir, climb[0]) as writers:
        for record in climb[:9]:
            writers.write(record)
        writers.film(film, 4096)
    with Writers(["wandb"], run_dir, climb[0]):
        pass
    first, second = sorted((run_dir / "wandb").glob("offline-run-*"))
    assert first.name.rsplit("-", 1)[-1] == second.name.rsplit("-", 1)[-1]
    assert [path.suffix for path in first.glob("files/media/videos/climb*")] == [".mp4"]
    # W&B's helper process may still write when ``finish`` returns.
    until = time.monotonic() + 30
    while len(rows := wandb_rows(next(first.glob("*.wandb")))) < 6 and time.monotonic() < until:
        time.sleep(0.1)
    frontiers = [(row["agent_steps"], row["curriculum/frontier"]) for row in rows if "curriculum/frontier" in row]
    updates = [record for record in climb[:9] if record["kind"] == "update"]
    assert frontiers == [(update["agent_steps"], update["frontiers"][0]) for update in updates]
    starts = [row["curriculum/starts/values"] for row in rows if "curriculum/starts/values" in row]
    assert sum(starts[0]) == sum(climb[2]["trials"]) > 0


def test_trackio_keeps_a_run_on_this_machine_and_goes_on_with_it(
    tmp_path, climb, film, no_network, monkeypatch, capsys
):
    # Read when trackio is imported, here for the first time.
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    trackio = pytest.importorskip("trackio")
    from trackio.sqlite_storage import SQLiteStorage

    assert tmp_path / "trackio" == trackio.TRACKIO_DIR
    monkeypatch.setenv("TRACKIO_PROJECT", "test")
    updates = [record for record in climb if record["kind"] == "update"]
    for some in (updates[:2], updates[2:4]):
        with Writers(["trackio"], tmp_path / "run", climb[0]) as writers:
            for record in (climb[2], *some):
                writers.write(record)
            writers.film(film, 9)
    assert capsys.readouterr().out == ""
    assert SQLiteStorage.get_runs("test") == ["run"]
    rows = SQLiteStorage.get_logs("test", "run")
    frontiers = [(row["step"], row["curriculum/frontier"]) for row in rows if "curriculum/frontier" in row]
    assert frontiers == [(update["agent_steps"], update["frontiers"][0]) for update in updates[:4]]


def test_several_demos_have_tags_of_their_own(climb, updates):
    update = {**updates[0], "frontiers": [5, 6], "tie_rate": [0.5, None], "reset_tie_rate": [None, 0.25]}
    found = scalars(update, 2 * climb[0]["demos"])
    assert (found["curriculum/frontier_0"], found["curriculum/frontier_1"]) == (5.0, 6.0)
    assert found["curriculum/left"] == 11
    assert "curriculum/tie_rate_1" not in found
    assert found["curriculum/reset_tie_rate_1"] == 0.25


def test_many_buckets_are_put_together_and_none_is_lost():
    few = histogram_of_starts({"width": 16, "trials": [1, 0, 2.5]}, length=40)
    assert (few.counts.tolist(), few.edges.tolist()) == ([1, 0, 2.5], [0, 16, 32, 40])
    trials = np.arange(547)
    many = histogram_of_starts({"width": 16, "trials": trials.tolist()}, length=8749)
    assert len(many.counts) == 61 <= MOST_BINS and many.edges[-1] == 8749
    assert many.counts[0] == sum(range(9)) and many.counts.sum() == trials.sum()
    assert many.edges[:2].tolist() == [0, 9 * 16]


@pytest.mark.parametrize("name", NAMES)
def test_without_the_library_it_says_what_to_install(name, tmp_path, monkeypatch, climb):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard" if name == "tensorboard" else name, None)
    with pytest.raises(DemoCurriculumError, match=rf"demo-curriculum\[{name}\]"):
        Writers([name], tmp_path, climb[0])


def test_training_writes_to_a_tool_what_is_in_its_log(tmp_path, request):
    pytest.importorskip("tensorboard")
    from demo_curriculum.cli.main import main

    demo = request.config.rootpath / "demos" / "montezuma-key.h5"
    run = tmp_path / "run"
    options = ["--envs", "4", "--steps", "16", "--agent-steps", "128", "--ranks", "1", "--log-to", "tensorboard"]
    assert main(["train", str(demo), "--run-dir", str(run), *options]) == 1
    logged = [record for record in read_log(run / "progress.jsonl") if record["kind"] == "update"]
    frontiers = scalars_of(run / "tensorboard")["curriculum/frontier"]
    assert frontiers == [(update["agent_steps"], update["frontiers"][0]) for update in logged]
    assert len(frontiers) == 2
