import io

import pytest
from rich.console import Console

from demo_curriculum.errors import UsageError
from demo_curriculum.progress import playback
from demo_curriculum.progress.log import LogError
from demo_curriculum.progress.playback import play_climb
from demo_curriculum.progress.story import run_record


@pytest.fixture
def naps(monkeypatch):
    slept = []
    monkeypatch.setattr(playback.time, "sleep", slept.append)
    return slept


def played(records, *, terminal=False, **kwargs):
    screen = io.StringIO()
    play_climb(records, console=Console(file=screen, force_terminal=terminal, width=120, height=40), **kwargs)
    return screen.getvalue()


def test_plain_replay_shows_twenty_moments_from_the_first_to_the_last(climb):
    lines = played(climb).splitlines()
    assert len(lines) == 2 + 20
    assert "frontier 340 of 380" in lines[2]
    assert lines[2].startswith("─")
    assert "frontier 0 of 380" in lines[-1]
    assert lines[-1].startswith("┃")


def test_a_short_log_is_shown_whole(climb):
    updates = [record for record in climb if record["kind"] == "update"]
    assert len(played([climb[0], *updates[:3]]).splitlines()) == 2 + 3


def test_animation_lasts_as_long_as_the_speed_says(climb, naps):
    # Two minutes of training: ten seconds by default, four at thirty times the speed.
    played(climb, terminal=True)
    assert sum(naps) == pytest.approx(10)
    naps.clear()
    shown = played(climb, terminal=True, speed=30)
    assert sum(naps) == pytest.approx(4)
    assert "end: frontier 0" in shown


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan")])
def test_a_speed_must_be_above_zero(climb, speed):
    with pytest.raises(UsageError, match="must be above 0"):
        play_climb(climb, speed=speed)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda records: [], "is it empty"),
        (lambda records: records[1:], "does not begin with a run"),
        (lambda records: records[:1], "no update yet"),
        (lambda records: [{**records[0], "demos": records[0]["demos"] * 2}, *records[1:]], "has 1 frontiers"),
    ],
)
def test_a_log_with_nothing_to_show_says_why(climb, change, says):
    with pytest.raises(LogError, match=says):
        run_record(change(climb))
