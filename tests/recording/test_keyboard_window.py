"""The recorder's window: with SDL's dummy driver by posted events, and a real one under Xvfb by xdotool."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from demo_curriculum.recording.draft import new_draft
from demo_curriculum.recording.journal import journal_path
from demo_curriculum.recording.keyboard import Recorder, play
from demo_curriculum.simulators import make_simulator
from demo_curriculum.simulators.playback import replay_demo
from demo_curriculum.store import read_demos

pygame = pytest.importorskip("pygame")

ROOT = Path(__file__).parents[2]
GAME = "ALE/MontezumaRevenge-v5"
SCREEN_TOOLS = [tool for tool in ("Xvfb", "xdotool") if shutil.which(tool) is None]


class Script:
    """A clock by which the events of the next tick are posted, then a sixtieth of a second is over.

    Args:
        ticks: what to do before each tick; an exhausted script closes the window.
    """

    def __init__(self, ticks):
        self.ticks = iter(ticks)

    def tick(self, framerate):
        if next(self.ticks, None) is None:
            pygame.event.post(pygame.event.Event(pygame.QUIT))
        return 1000 / 60


def press(*keys, mod=0):
    for key in keys:
        pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.key.key_code(key), mod=mod))


def release(*keys):
    for key in keys:
        pygame.event.post(pygame.event.Event(pygame.KEYUP, key=pygame.key.key_code(key), mod=0))


def hold(keys, ticks):
    """Holds keys for so many ticks."""
    press(*keys)
    for _ in range(ticks - 1):
        yield True
    yield True
    release(*keys)


@pytest.fixture
def dummy(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")


@pytest.fixture
def recorder(tmp_path):
    recorder = Recorder(new_draft(GAME, tmp_path / "demo.h5"))
    yield recorder
    recorder.draft.journal.close()


def run(recorder, ticks):
    """Runs the recorder in a window of the dummy driver."""
    from demo_curriculum.recording.window import open_window

    with open_window(recorder, Script(ticks)) as window:
        assert play(recorder, window) is None


def keys_of(keymap):
    """For each action the keys that play it."""
    key_of = {button: key for key, button in keymap.buttons.items()}
    return {action: {key_of[button] for button in buttons} for buttons, action in keymap.actions.items()}


def pressing(actions, recorder):
    """Presses and releases what plays ``actions``, one a tick."""
    keys, down = keys_of(recorder.keymap), set()
    for action in actions:
        release(*(down - keys[action]))
        press(*(keys[action] - down))
        down = keys[action]
        yield True
    release(*down)


def test_montezumas_first_key_is_taken_by_key_presses_with_a_detour_undone(dummy, recorder, tmp_path):
    way = read_demos(ROOT / "demos" / "montezuma-key.h5")[0].actions.tolist()
    half = len(way) // 2

    def ticks():
        press("p")
        release("p")
        yield from pressing(way[:half], recorder)
        yield from hold("a", 45)
        press("p")
        release("p")
        while recorder.tape.step > half:
            press(",")
            release(",")
            yield True
        press("p")
        release("p")
        yield from pressing(way[half:], recorder)

    run(recorder, ticks())
    # What is on the screen is in the file.
    assert recorder.tape.score == 100
    assert recorder.draft.finish() == f"wrote {tmp_path / 'demo.h5'}: 100 points in {len(way)} demo steps"
    [demo] = read_demos(tmp_path / "demo.h5")
    assert demo.actions.tolist() == way
    assert (demo.score, demo.origin) == (100, "human")
    assert f"edits: rewind {half + 45}→{half}" in demo.note
    assert replay_demo(make_simulator(GAME), demo).matched


def game_on_screen():
    """A pixel for each of the game's, which are three rows high and five columns wide in a window of the first size."""
    screen = pygame.surfarray.array3d(pygame.display.get_surface())
    return screen[18 : 18 + 800 : 5, 17 : 17 + 630 : 3].swapaxes(0, 1).astype(int)


def test_the_picture_is_the_games_and_time_travel_is_blue(dummy, recorder):
    shown = []

    def ticks():
        yield from hold("d", 60)
        press("p")
        yield True
        shown.append(game_on_screen())
        press("r")
        yield True
        yield True
        shown.append(game_on_screen())

    run(recorder, ticks())
    simulator = make_simulator(GAME)
    simulator.play(recorder.tape.actions)
    assert np.array_equal(shown[0], simulator.render())
    assert (shown[1] - shown[0])[..., 2].mean() > 10


def test_a_game_controller_plays_and_travels(dummy, recorder):
    def button(number, down):
        kind = pygame.CONTROLLERBUTTONDOWN if down else pygame.CONTROLLERBUTTONUP
        pygame.event.post(pygame.event.Event(kind, button=number, instance_id=0))

    def stick(value):
        event = pygame.event.Event(
            pygame.CONTROLLERAXISMOTION, axis=pygame.CONTROLLER_AXIS_LEFTX, value=value, instance_id=0
        )
        pygame.event.post(event)

    def ticks():
        button(pygame.CONTROLLER_BUTTON_DPAD_RIGHT, True)
        yield True
        button(pygame.CONTROLLER_BUTTON_DPAD_RIGHT, False)
        stick(-30000)
        yield True
        button(pygame.CONTROLLER_BUTTON_A, True)
        yield True
        button(pygame.CONTROLLER_BUTTON_A, False)
        stick(1000)
        yield True
        button(pygame.CONTROLLER_BUTTON_LEFTSHOULDER, True)
        yield True
        button(pygame.CONTROLLER_BUTTON_LEFTSHOULDER, False)
        yield True

    run(recorder, ticks())
    names = [recorder.keymap.meanings[action] for action in recorder.tape.actions]
    assert names == ["RIGHT", "LEFT", "LEFTFIRE", "NOOP"]
    assert (recorder.tape.step, recorder.mode) == (2, "waiting")


def test_a_click_on_the_time_line_goes_there_and_dragging_goes_on(dummy, recorder):
    def mouse(kind, x):
        pygame.event.post(pygame.event.Event(kind, pos=(x, 700), button=1, rel=(0, 0), buttons=(1, 0, 0)))

    def ticks():
        yield from hold("d", 100)
        left, right = 16, pygame.display.get_window_size()[0] - 16
        y = pygame.display.get_window_size()[1] - 74 + 36
        where = {"pos": (left + (right - left) // 2, y), "button": 1}
        pygame.event.post(pygame.event.Event(pygame.MOUSEBUTTONDOWN, where))
        yield True
        assert recorder.tape.step == 50
        where = {"pos": (left + (right - left) // 4, 10), "rel": (0, 0), "buttons": (1, 0, 0)}
        pygame.event.post(pygame.event.Event(pygame.MOUSEMOTION, where))
        yield True
        pygame.event.post(pygame.event.Event(pygame.MOUSEBUTTONUP, pos=(0, 0), button=1))
        yield True

    run(recorder, ticks())
    assert (recorder.tape.step, len(recorder.tape), recorder.mode) == (25, 100, "waiting")


def test_losing_the_keyboard_pauses(dummy, recorder):
    def ticks():
        press("d")
        yield True
        pygame.event.post(pygame.event.Event(pygame.WINDOWFOCUSLOST))
        for _ in range(10):
            yield True

    run(recorder, ticks())
    assert (recorder.mode, len(recorder.tape)) == ("paused", 1)


def test_help_full_screen_and_every_mode_can_be_drawn_for_any_simulator(dummy, tmp_path):
    for game, fps in ((GAME, 60), ("LockedChain-5", 0), ("ALE/Pong-v5", 60)):
        recorder = Recorder(new_draft(game, tmp_path / "x.h5", overwrite=True), fps=fps)

        def ticks(recorder=recorder):
            for key in ("h", "h", "f11", "f11", "-", "1", "d", "l", ",", "t", "f5", "z", "p", "p"):
                press(key, mod=pygame.KMOD_SHIFT if key == "f5" else 0)
                yield True
                release(key)
                yield True

        run(recorder, ticks())
        recorder.draft.finish()


def record(*arguments, **kwargs):
    return subprocess.Popen(
        [sys.executable, "-m", "demo_curriculum", "record", *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **kwargs,
    )


def without_display(**variables):
    names = ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")
    return {name: value for name, value in os.environ.items() if name not in names} | variables


@pytest.mark.parametrize("arguments", [[], ["--keyboard"]])
def test_without_a_display_one_line_names_the_other_ways(tmp_path, arguments):
    process = record(GAME, "-o", tmp_path / "x.h5", *arguments, env=without_display())
    out, error = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    assert error.count("\n") == 1 and "--search" in error and "--actions" in error
    assert os.listdir(tmp_path) == []


def test_a_display_that_does_not_open_is_one_line(tmp_path):
    process = record(GAME, "-o", tmp_path / "x.h5", env=without_display(DISPLAY=":4711"))
    _, error = process.communicate(timeout=60)
    assert process.returncode == 2
    assert error.startswith("error: the display cannot be opened: ") and error.count("\n") == 1
    assert os.listdir(tmp_path) == []


@pytest.fixture
def screen():
    """The number of an X display of our own, and xdotool on it."""
    if SCREEN_TOOLS:
        pytest.skip(f"needs {' and '.join(SCREEN_TOOLS)}")
    reading, writing = os.pipe()
    # Without -noreset it begins anew when the last window is gone, and refuses one that comes just then.
    command = ["Xvfb", "-displayfd", str(writing), "-noreset", "-screen", "0", "1280x900x24", "-nolisten", "tcp"]
    server = subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        number = pipe.readline().strip()
    assert number, "Xvfb did not start"
    environment = without_display(DISPLAY=f":{number}")

    def xdotool(*arguments):
        return subprocess.run(
            ["xdotool", *arguments], env=environment, capture_output=True, text=True, check=True
        ).stdout

    yield environment, xdotool
    server.terminate()
    server.wait()


def open_recorder(screen, *arguments):
    environment, xdotool = screen
    process = record(*arguments, env=environment)
    until = time.monotonic() + 60
    while not subprocess.run(
        ["xdotool", "search", "--class", "demo-curriculum"], env=environment, capture_output=True
    ).stdout:
        assert process.poll() is None, process.communicate()
        if time.monotonic() > until:
            process.kill()
            pytest.fail(f"no window: {process.communicate()}")
        time.sleep(0.1)
    # Its first pictures.
    time.sleep(1)
    return process, xdotool


def held(xdotool, key, seconds):
    xdotool("keydown", key)
    time.sleep(seconds)
    xdotool("keyup", key)


def wait_for_autosaves(path, count):
    """Each but the first is of two seconds that were played since the one before."""
    sizes, until = {journal_path(path).stat().st_size}, time.monotonic() + 120
    while len(sizes) <= count:
        assert time.monotonic() < until, "the journal does not grow"
        time.sleep(0.05)
        sizes.add(journal_path(path).stat().st_size)


def test_play_rewind_play_on_and_save_in_a_real_window(screen, tmp_path):
    path = tmp_path / "demo.h5"
    process, xdotool = open_recorder(screen, GAME, "-o", path)
    begun = time.monotonic()
    xdotool("keydown", "d")
    wait_for_autosaves(path, 2)
    xdotool("keyup", "d")
    seconds = time.monotonic() - begun
    held(xdotool, "r", 1)
    held(xdotool, "Left", 0.5)
    xdotool("key", "Escape")
    out, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (0, "")
    [demo] = read_demos(path)
    assert out == f"wrote {path}: 0 points in {len(demo)} demo steps\n"
    edit = re.search(r"edits: rewind (\d+)→(\d+)", demo.note)
    assert edit, demo.note
    before, to = int(edit[1]), int(edit[2])
    # At the right speed, as far as a busy machine lets it.
    assert 110 <= before <= 60 * seconds + 60 and 0 < to < before
    meanings = make_simulator(GAME).action_meanings
    assert meanings[demo.actions[0]] == "RIGHT" and "LEFT" in {meanings[action] for action in demo.actions[to:]}
    assert "LEFT" not in {meanings[action] for action in demo.actions[:to]}
    assert replay_demo(make_simulator(GAME), demo).matched


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_however_the_window_ends_the_recording_is_there(screen, tmp_path, number):
    path = tmp_path / "demo.h5"
    process, xdotool = open_recorder(screen, GAME, "-o", path)
    xdotool("keydown", "d")
    wait_for_autosaves(path, 2)
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    if number == signal.SIGKILL:
        again = record(GAME, "-o", path, env=screen[0])
        _, error = again.communicate(timeout=60)
        assert again.returncode == 1 and f"record --continue {path}" in error
        process, xdotool = open_recorder(screen, "--continue", path)
        xdotool("key", "Escape")
        process.communicate(timeout=60)
        assert process.returncode == 0
    else:
        assert (process.returncode, error) == (130, "")
    [demo] = read_demos(path)
    # What was saved by itself is there, however the recorder ended.
    assert len(demo) >= 110
    assert os.listdir(tmp_path) == ["demo.h5"]
