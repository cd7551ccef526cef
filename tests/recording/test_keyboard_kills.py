"""Recorders killed at random moments: what was played up to the sync interval before is in the journal."""

import os
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np

from demo_curriculum.recording.journal import Journal, journal_path
from demo_curriculum.recording.keyboard import SYNC_EVERY

ROOT = Path(__file__).parents[2]
SLACK = 0.7
"""Seconds for a thread to start and a disk to write on a busy machine."""
KILLS = int(os.environ.get("KEYBOARD_KILLS", "6"))

# Plays and travels at random in real time, and says at every tick which path is kept.
RECORDER = """
import sys, time, zlib
from pathlib import Path
import numpy as np
from demo_curriculum.recording.draft import new_draft
from demo_curriculum.recording.keyboard import Recorder, play

class Player:
    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.down = "d"
        self.last = time.monotonic()

    def update(self, recorder):
        if self.rng.random() < 0.03:
            recorder.release(self.down)
            self.down = str(self.rng.choice(["d", "a", "w", "space", "r", "l", "z", "d"]))
            recorder.press(self.down)
        actions = np.array(recorder.tape.actions, "<i8")
        print(time.monotonic(), len(actions), zlib.crc32(actions.tobytes()), flush=True)
        time.sleep(1 / 120)
        now = time.monotonic()
        self.last, seconds = now, now - self.last
        return seconds

recorder = Recorder(new_draft("ALE/MontezumaRevenge-v5", Path(sys.argv[1])))
play(recorder, Player(int(sys.argv[2])))
"""


def test_at_most_the_sync_interval_is_lost(tmp_path):
    rng = np.random.default_rng(5)
    for start in range(0, KILLS, 3):
        running = []
        for number in range(start, min(start + 3, KILLS)):
            output, log = tmp_path / f"{number}.h5", tmp_path / f"{number}.log"
            with log.open("wb") as file:
                command = [sys.executable, "-c", RECORDER, str(output), str(number)]
                running.append((subprocess.Popen(command, cwd=ROOT, stdout=file), output, log))
        while not all(log.stat().st_size for _, _, log in running):
            time.sleep(0.1)
        for process, output, log in running:
            time.sleep(rng.uniform(0.3, SYNC_EVERY))
            process.send_signal(signal.SIGKILL)
            process.wait()
            check(output, log)


def check(output, log):
    ticks = [line.split() for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]
    journal = Journal(journal_path(output))
    journal.close()
    actions = np.array(journal.entries.actions, "<i8")
    held = (str(len(actions)), str(zlib.crc32(actions.tobytes())))
    moments = [float(moment) for moment, *path in ticks if tuple(path) == held]
    assert moments, f"{output.name}: the {len(actions)} steps in the journal were never the path"
    last = float(ticks[-1][0])
    lost, whole = last - moments[-1], last - float(ticks[0][0])
    print(f"{output.name}: {len(actions)} steps in the journal, {lost:.2f} s lost of {whole:.1f}")
    assert lost <= SYNC_EVERY + SLACK
