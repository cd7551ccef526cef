import io
import json
import os
import threading
import time

import pytest
from rich.console import Console

from demo_curriculum.errors import UsageError
from demo_curriculum.progress import playback
from demo_curriculum.progress.keys import Keys
from demo_curriculum.progress.log import LogError, LogTail, ProgressLog
from demo_curriculum.progress.playback import ClimbPlayer, follow_climb, play_climb
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


def frontier(player):
    return player.view.latest["frontiers"][0] if player.view.latest else None


def test_keys_steer_the_replay(climb):
    player = ClimbPlayer(climb)
    # Two minutes of training in ten seconds; twenty jumps from end to end.
    assert (player.speed, player.moment, frontier(player)) == (12.0, 0.0, None)
    player.press("right")
    assert player.moment == 6.0 and player.view.latest["update"] == 3
    player.press("end")
    assert player.ended and player.view.ended and frontier(player) == 0
    player.press("left")
    assert player.view.latest["update"] == 57 and not player.view.ended
    player.press("home")
    assert frontier(player) is None
    player.press("up")
    player.press("up")
    player.press("down")
    assert player.speed == 24.0
    player.press("space")
    assert player.paused
    player.press("end")
    player.press("space")
    assert (player.moment, player.paused) == (0.0, False)
    player.press("F13")
    assert not player.quit
    player.press("q")
    assert player.quit


@pytest.fixture
def terminal():
    ours, theirs = os.openpty()
    yield ours, theirs
    os.close(ours)
    os.close(theirs)


def test_keys_are_read_from_a_terminal_which_is_put_back(terminal):
    import termios

    ours, theirs = terminal
    before = termios.tcgetattr(theirs)
    with Keys(theirs) as keys:
        assert keys.read() == []
        os.write(ours, b" \x1b[C?\x1b[5~q")
        time.sleep(0.05)
        assert keys.read() == ["space", "right", "q"]
    assert termios.tcgetattr(theirs) == before


def test_with_keys_the_replay_stays_until_q(climb, terminal):
    ours, theirs = terminal
    timers = [threading.Timer(0.4, os.write, (ours, b"\x1b[F")), threading.Timer(1.2, os.write, (ours, b"q"))]
    for timer in timers:
        timer.start()
    shown = played(climb, terminal=True, speed=1, keys=Keys(theirs))
    for timer in timers:
        timer.join()
    assert "at its end, 1 times as fast" in shown
    assert shown.count("at its end") > 2


def test_the_tail_gives_whole_new_lines_and_notices_a_new_log(tmp_path, climb):
    path = tmp_path / "progress.jsonl"
    tail = LogTail(path)
    assert tail.read() == []
    with ProgressLog(path) as log:
        log.write(climb[0])
        assert tail.read() is None
        log.write(climb[1])
        with path.open("ab") as torn:
            torn.write(b'{"kind":')
        assert tail.read() == [json.loads(json.dumps(climb[1]))]
        with path.open("ab") as torn:
            torn.write(b'"end","update":1,"reason":"x"}\n')
        assert [record["kind"] for record in tail.read()] == ["end"]
    path.write_bytes(b"")
    assert tail.read() is None


def test_a_live_run_is_followed_from_before_its_first_update_to_its_end(tmp_path, climb):
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=False, width=200)
    follower = threading.Thread(target=follow_climb, args=(tmp_path,), kwargs={"console": console, "every": 0.02})
    follower.start()
    with ProgressLog(tmp_path / "progress.jsonl") as log:
        for record in climb:
            log.write(record)
            time.sleep(0.005)
    follower.join(20)
    assert not follower.is_alive()
    assert "frontier 0 of 380" in screen.getvalue().splitlines()[-1]
    assert len(screen.getvalue().splitlines()) > 5


def test_following_ends_when_asked_to(tmp_path, climb):
    with ProgressLog(tmp_path / "progress.jsonl") as log:
        for record in climb[:-1]:
            log.write(record)
    mine, theirs = os.openpty()
    keys, console = Keys(theirs), Console(file=io.StringIO(), width=200)
    follower = threading.Thread(
        target=follow_climb, args=(tmp_path,), kwargs={"console": console, "every": 0.02, "keys": keys}
    )
    follower.start()
    follower.join(0.5)
    assert follower.is_alive()
    os.write(mine, b"q")
    follower.join(20)
    assert not follower.is_alive()
    os.close(mine)
    os.close(theirs)
