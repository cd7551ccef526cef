import io
import sys

import numpy as np
import pytest

from demo_curriculum.errors import DemoCurriculumError
from demo_curriculum.progress.log import LogError
from demo_curriculum.progress.picture import _running_mean, draw_climb

image = pytest.importorskip("matplotlib.image")


def pixels(records):
    return image.imread(io.BytesIO(draw_climb(records)), format="png")


def test_the_picture_shows_the_climb(climb):
    drawn = pixels(climb)
    assert drawn.shape[2] == 4
    assert len(np.unique(drawn.reshape(-1, 4), axis=0)) > 500
    retreat = np.abs(drawn[..., :3] - np.array([0xD6, 0x28, 0x28]) / 255).max(axis=-1) < 0.01
    assert retreat.any()
    without = [{**record, "reason": "advance"} if record["kind"] == "move" else record for record in climb]
    assert (pixels(without) != drawn).any()


def test_sparse_logs_can_be_drawn(climb):
    updates = [record for record in climb if record["kind"] == "update"]
    assert pixels([climb[0], updates[0]]).size
    two = [{**climb[0], "demos": climb[0]["demos"] * 2}]
    two += [
        {**u, **{k: u[k] * 2 for k in ("frontiers", "tie_rate", "reset_tie_rate", "reset_trials")}} for u in updates
    ]
    assert pixels(two).shape[1] > pixels(climb).shape[1]


def test_nothing_to_draw_is_an_error():
    with pytest.raises(LogError):
        draw_climb([])


def test_without_matplotlib_it_says_what_to_install(climb, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(DemoCurriculumError, match=r"demo-curriculum\[plots\]"):
        draw_climb(climb)


def test_running_mean_is_over_the_last_twenty():
    values = np.arange(30.0)
    smoothed = _running_mean(values)
    assert smoothed[:3].tolist() == [0.0, 0.5, 1.0]
    assert smoothed[-1] == np.arange(10, 30).mean()
    assert _running_mean(values[:0]).size == 0
