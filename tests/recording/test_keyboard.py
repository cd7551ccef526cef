"""The recorder without a window: keys and time in, a demo file out."""

import errno
import os

import numpy as np
import pytest

from demo_curriculum.demo import Demo
from demo_curriculum.errors import DemoCurriculumError, MismatchError, UsageError
from demo_curriculum.recording.draft import RecordingError, continue_draft, new_draft
from demo_curriculum.recording.journal import Edit, Journal, journal_path
from demo_curriculum.recording.keyboard import SYNC_EVERY, Recorder
from demo_curriculum.simulators import make_simulator, register_simulator
from demo_curriculum.simulators.chain import LockedChain
from demo_curriculum.simulators.playback import play_demo, replay_demo
from demo_curriculum.store import StoreError, read_demos, write_demos

GAME = "ALE/MontezumaRevenge-v5"
RIGHT = 3
TICK = 1 / 60


@pytest.fixture
def output(tmp_path):
    return tmp_path / "demo.h5"


@pytest.fixture
def recorder(output):
    recorder = Recorder(new_draft(GAME, output))
    yield recorder
    recorder.draft.journal.close()


def wait(recorder, steps):
    for _ in range(steps):
        recorder.advance(TICK)


def hold(recorder, key, steps, **kwargs):
    recorder.press(key, **kwargs)
    wait(recorder, steps)
    recorder.release(key)


def tap(recorder, key, **kwargs):
    recorder.press(key, **kwargs)
    recorder.release(key)


def saved(output):
    """The last demo of the file, which must play on a new simulator as it says."""
    demo = read_demos(output)[-1]
    assert replay_demo(make_simulator(demo.simulator.env_id), demo).matched
    return demo


def test_time_stands_until_a_key_is_pressed_then_runs_at_the_games_speed(recorder):
    wait(recorder, 30)
    assert (recorder.mode, len(recorder.tape)) == ("waiting", 0)
    hold(recorder, "d", 60)
    assert recorder.tape.actions == [RIGHT] * 60
    wait(recorder, 30)
    assert recorder.tape.actions == [RIGHT] * 60 + [0] * 30


def test_play_rewind_play_on_save(recorder, output):
    hold(recorder, "d", 60)
    wait(recorder, 40)
    hold(recorder, "r", 12)
    # The first frame at once, then one a tick: at 1× for its first moments.
    assert (recorder.tape.step, len(recorder.tape), recorder.mode) == (87, 100, "waiting")
    hold(recorder, "a", 20)
    assert recorder.draft.finish() == f"wrote {output}: 0 points in 107 demo steps"
    demo = saved(output)
    assert demo.actions.tolist() == [RIGHT] * 60 + [0] * 27 + [4] * 20
    assert (demo.origin, demo.offset, demo.seed) == ("human", 0, 0)
    assert demo.note == "recorded by keyboard; steps played: 120, demo: 107; edits: rewind 100→87"
    assert os.listdir(output.parent) == [output.name]


def test_the_longer_a_rewind_the_faster_up_to_eight_times(recorder):
    # All lives are gone before.
    hold(recorder, "d", 600)
    assert len(recorder.tape) == 506 and "the game is over" in recorder.message
    recorder.press("r")
    speeds, steps = [], []
    for _ in range(5):
        speeds.append(recorder.travel_speed)
        before = recorder.tape.step
        wait(recorder, 12)
        steps.append(before - recorder.tape.step)
        wait(recorder, 36)
    assert speeds[:4] == [1, 2, 4, 8]
    # The frame that comes at once, and where 0.2 s are over.
    assert steps[:4] == [13, 24, 48, 96]
    assert recorder.tape.step == 0
    recorder.release("r")
    hold(recorder, "t", 10, shift=True)
    assert (recorder.tape.step, len(recorder.tape)) == (81, 506)


def test_a_direction_held_while_the_rewind_ends_plays_on_at_once(recorder):
    hold(recorder, "d", 60)
    recorder.press("r")
    wait(recorder, 30)
    recorder.press("w")
    recorder.release("r")
    wait(recorder, 3)
    assert recorder.tape.actions[-3:] == [2, 2, 2]


def test_looking_back_and_leaving_keeps_everything(recorder, output):
    hold(recorder, "d", 60)
    hold(recorder, "r", 30)
    recorder.draft.finish()
    assert len(saved(output)) == 60


def test_the_demo_may_be_ended_where_one_stands(recorder, output):
    hold(recorder, "d", 60)
    tap(recorder, ",")
    tap(recorder, "x")
    recorder.draft.finish()
    assert len(saved(output)) == 59


def test_pause_frame_step_and_step_back(recorder):
    hold(recorder, "d", 10)
    tap(recorder, "p")
    hold(recorder, "a", 30)
    assert len(recorder.tape) == 10
    recorder.press("a")
    tap(recorder, ".")
    tap(recorder, ".")
    recorder.release("a")
    tap(recorder, ".")
    assert recorder.tape.actions[10:] == [4, 4, 0]
    tap(recorder, ",")
    assert (recorder.tape.step, recorder.mode) == (12, "paused")
    tap(recorder, "p")
    wait(recorder, 5)
    assert recorder.tape.actions[10:] == [4, 4, 0, 0, 0, 0, 0]


def test_slow_motion(recorder):
    tap(recorder, "-")
    tap(recorder, "-")
    hold(recorder, "d", 60)
    assert len(recorder.tape) == 15
    for _ in range(5):
        tap(recorder, "=")
    hold(recorder, "d", 60)
    assert len(recorder.tape) == 75


def test_a_slot_comes_back_also_from_another_path(recorder):
    hold(recorder, "d", 50)
    tap(recorder, "f5", shift=True)
    hold(recorder, "d", 20)
    tap(recorder, "f5")
    # On the same path it is a place to go to.
    assert (recorder.tape.step, len(recorder.tape)) == (50, 70)
    hold(recorder, "r", 30)
    hold(recorder, "a", 60)
    other = list(recorder.tape.actions)
    tap(recorder, "f5")
    assert recorder.tape.actions == [RIGHT] * 50 and recorder.tape.step == 50
    tap(recorder, "z")
    assert recorder.tape.actions == other
    assert [edit.kind for edit in recorder.draft.edits] == ["rewind", "slot 1", "undo"]
    tap(recorder, "f6")
    assert "slot 2 is empty" in recorder.message


def test_undo_of_the_last_life(recorder, output):
    hold(recorder, "d", 130)
    wait(recorder, 100)
    hold(recorder, "d", 100)
    first, second, third = recorder.tape.losses
    assert second - first < 120 < third - second
    tap(recorder, "l")
    assert recorder.tape.step == third - 120
    # Two seconds before the second is before the first, which is not undone yet.
    tap(recorder, "l")
    assert recorder.tape.step == first
    tap(recorder, "l")
    assert recorder.tape.step == max(first - 120, 0)
    tap(recorder, "l")
    assert "no life was lost" in recorder.message
    tap(recorder, "p")
    hold(recorder, "a", 5)
    recorder.draft.finish()
    assert "life 330→0" in saved(output).note


def test_undo_brings_back_what_time_travel_cut(recorder):
    hold(recorder, "d", 60)
    hold(recorder, "r", 30)
    hold(recorder, "a", 10)
    tap(recorder, "z")
    assert recorder.tape.actions == [RIGHT] * 60
    assert (recorder.tape.step, recorder.mode) == (60, "waiting")
    tap(recorder, "z")
    assert recorder.message == "nothing to undo"


def test_a_jump_forgets_what_was_held(recorder):
    recorder.press("d")
    wait(recorder, 60)
    recorder.go(10)
    wait(recorder, 10)
    assert (recorder.mode, recorder.tape.step, len(recorder.tape)) == ("waiting", 10, 60)


def test_a_long_stop_is_not_caught_up_with(recorder):
    recorder.press("d")
    recorder.advance(30)
    assert len(recorder.tape) == 6


def test_the_help_stops_time_and_escape_leaves_it_first(recorder):
    hold(recorder, "d", 10)
    tap(recorder, "h")
    wait(recorder, 10)
    assert len(recorder.tape) == 10
    tap(recorder, "escape")
    assert not recorder.help and not recorder.done
    tap(recorder, "escape")
    assert recorder.done


def test_the_end_of_the_game_can_be_rewound(output):
    draft = new_draft("LockedChain-4", output)
    recorder = Recorder(draft, fps=0)
    keys = {1: "1", 2: "2", 3: "3"}
    right = draft.simulator.keys.tolist()
    wait(recorder, 100)
    assert len(recorder.tape) == 0
    wrong = next(action for action in keys if action != right[0])
    for _ in range(3):
        hold(recorder, keys[wrong], 50)
    assert (len(recorder.tape), recorder.mode) == (1, "paused")
    assert "the game is over" in recorder.message
    hold(recorder, "r", 1)
    for action in right:
        if action:
            tap_and_step(recorder, keys[action])
        else:
            tap(recorder, ".")
    assert recorder.tape.game_over and recorder.tape.score == 1
    draft.finish()
    demo = saved(output)
    assert (demo.actions.tolist(), demo.complete) == (right, True)
    assert demo.note.endswith("edits: rewind 1→0")


def tap_and_step(recorder, key):
    recorder.press(key)
    tap(recorder, ".")
    recorder.release(key)


def test_it_syncs_every_few_seconds_of_time(recorder, output):
    recorder.press("d")
    wait(recorder, round(SYNC_EVERY * 60) + 1)
    recorder.draft._writing.result()
    recorder.draft.journal.close()
    journal = Journal(journal_path(output))
    assert len(journal.entries.actions) >= SYNC_EVERY * 60 - 1
    journal.close()


def test_what_was_not_saved_is_gone_on_with_from_the_journal(recorder, output):
    hold(recorder, "d", 60)
    hold(recorder, "r", 30)
    hold(recorder, "a", 10)
    recorder.draft.autosave()
    recorder.draft._writing.result()
    path = list(recorder.tape.actions)
    recorder.draft.journal.close()
    with pytest.raises(StoreError, match=r"unfinished recording of 39 steps; .*record --continue .*demo.h5"):
        new_draft(GAME, output)
    draft = continue_draft(output)
    assert draft.tape.actions == path and draft.edits == [Edit("rewind", 60, 29)]
    again = Recorder(draft)
    hold(again, "d", 5)
    draft.finish()
    demo = saved(output)
    assert demo.actions.tolist() == [*path, *[RIGHT] * 5]
    assert demo.note == "recorded by keyboard; steps played: 75, demo: 44; edits: rewind 60→29"


def chain_demo(length=4, steps=3, **kwargs):
    chain = make_simulator(f"LockedChain-{length}")
    return play_demo(chain, chain.keys[:steps].tolist(), origin="script", note="by a script", **kwargs)


def test_a_demo_that_is_continued_takes_its_own_place(output):
    write_demos(output, [chain_demo(steps=2), chain_demo()])
    draft = continue_draft(output)
    assert (draft.tape.step, draft.changed) == (3, False)
    draft.tape.play(int(draft.simulator.keys[3]))
    draft.played += 1
    draft.finish()
    first, second = read_demos(output)
    assert (first.fingerprint, second.score) == (chain_demo(steps=2).fingerprint, 1)
    assert second.note == "by a script; continued at step 3 by keyboard; steps played: 1, demo: 4"


def test_a_demo_whose_end_was_cut_stays_beside_the_new_one(output):
    write_demos(output, [chain_demo()])
    draft = continue_draft(output)
    recorder = Recorder(draft, fps=0)
    tap(recorder, ",")
    tap(recorder, "x")
    assert draft.finish().endswith("; the demo it was continued from stays there as episode_0")
    assert [len(demo) for demo in read_demos(output)] == [3, 2]


def test_several_saves_of_one_session_leave_one_demo(output):
    draft = new_draft(GAME, output)
    recorder = Recorder(draft)
    hold(recorder, "d", 30)
    tap(recorder, "f2")
    assert len(saved(output)) == 30 and "wrote" in recorder.message
    hold(recorder, "r", 10)
    hold(recorder, "a", 40)
    tap(recorder, "f2")
    tap(recorder, "f2")
    assert recorder.message == "everything is saved"
    hold(recorder, "a", 10)
    draft.finish()
    assert len(read_demos(output)) == 1 and len(saved(output)) == 69


def test_a_demo_that_begins_at_a_snapshot_is_continued_there(output):
    simulator = make_simulator(GAME)
    simulator.play([RIGHT] * 30)
    demo = play_demo(simulator, [0] * 20, origin="import", begin=simulator.save(), offset=30)
    write_demos(output, [demo])
    recorder = Recorder(continue_draft(output))
    hold(recorder, "d", 20)
    hold(recorder, "r", 90, shift=True)
    assert recorder.tape.step == 0
    tap(recorder, "end")
    hold(recorder, "d", 20)
    recorder.draft.finish()
    after = saved(output)
    assert (after.offset, after.actions.tolist()) == (30, [0] * 20 + [RIGHT] * 40)


def test_to_another_file_the_old_one_stays_as_it_is(output, tmp_path):
    write_demos(output, [chain_demo()])
    before = output.read_bytes()
    draft = continue_draft(output, tmp_path / "other.h5")
    draft.tape.play(int(draft.simulator.keys[3]))
    draft.played += 1
    draft.finish()
    assert output.read_bytes() == before
    assert [len(demo) for demo in read_demos(tmp_path / "other.h5")] == [4]


def test_nothing_new_leaves_everything_as_it_was(output):
    new_draft(GAME, output).finish()
    assert os.listdir(output.parent) == []
    write_demos(output, [chain_demo()])
    before = output.read_bytes()
    assert continue_draft(output).finish() == "nothing new was recorded"
    assert output.read_bytes() == before and os.listdir(output.parent) == [output.name]


def test_what_cannot_be_continued_says_so_and_leaves_nothing(output, tmp_path):
    with pytest.raises(StoreError, match=r"missing\.h5"):
        continue_draft(tmp_path / "missing.h5")
    write_demos(output, [chain_demo()])
    with pytest.raises(UsageError, match="is of LockedChain-4, not of LockedChain-5"):
        continue_draft(output, env_id="LockedChain-5")
    demo = chain_demo()
    write_demos(output, [Demo(**{**vars(demo), "rewards": np.array([0.0, 5, 0])})], overwrite=True)
    with pytest.raises(MismatchError, match="the reward of step 1 is another"):
        continue_draft(output)
    assert os.listdir(tmp_path) == [output.name]


def test_two_recorders_of_one_file(recorder, output):
    with pytest.raises(StoreError, match="another recorder is writing"):
        new_draft(GAME, output, overwrite=True)


def test_a_full_disk_is_said_and_the_recording_is_still_there(recorder, output, monkeypatch):
    hold(recorder, "d", 60)
    with monkeypatch.context() as patch:
        for name in ("link", "replace"):
            patch.setattr(os, name, lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left on device")))
        tap(recorder, "f2")
        assert recorder.message.startswith("not saved: ") and "No space left" in recorder.message
        hold(recorder, "d", 10)
        with pytest.raises(StoreError, match=r"No space left on device; the recording is in .*\.journal, go on with"):
            recorder.draft.finish()
    assert not output.exists()
    continue_draft(output).finish()
    assert len(saved(output)) == 70


def test_an_autosave_that_fails_is_said_and_play_goes_on(recorder, monkeypatch):
    recorder.press("d")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda fd: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left on device")))
        for _ in range(2):
            wait(recorder, round(SYNC_EVERY * 60) + 1)
            with pytest.raises(DemoCurriculumError):
                recorder.draft._writing.result()
        assert "autosave failed: " in recorder.message
    wait(recorder, 2 * round(SYNC_EVERY * 60) + 2)
    assert recorder.draft._writing.result() is None


def test_a_simulator_that_is_not_exact_is_found_out_at_the_save(output):
    class Forgetful(LockedChain):
        plays = 0

        def play(self, actions):
            self.plays += 1
            return super().play(actions) + self.plays

    register_simulator("Forgetful-", lambda env_id: Forgetful(env_id.replace("Forgetful", "LockedChain")))
    draft = new_draft("Forgetful-4", output)
    draft.tape.play(int(draft.simulator.keys[0]))
    draft.played += 1
    with pytest.raises(RecordingError, match="reward of step 0 is another; the simulator is not exact"):
        draft.finish()
    assert journal_path(output).exists()
