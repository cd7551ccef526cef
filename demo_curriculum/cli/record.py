"""``record``: a demo of a game, played by hand or found by a search."""

from __future__ import annotations

import signal
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from rich.console import Console

from demo_curriculum.cli.durations import seconds_of
from demo_curriculum.errors import UsageError

if TYPE_CHECKING:
    from demo_curriculum.recording.search import SearchProgress

LINE_EVERY = 5.0
REDRAW_EVERY = 0.2


def main(
    env_id: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[ENV_ID]")] = None,
    /,
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None,
    keyboard: bool = False,
    continue_: Annotated[Path | None, tyro.conf.arg(name="continue")] = None,
    fps: float | None = None,
    actions: Path | None = None,
    policy: Path | None = None,
    episodes: int = 20,
    keep: int = 1,
    max_frames: int = 108_000,
    search: bool = False,
    until_score: float | None = None,
    cell: Literal["game", "screen", "observation"] = "game",
    time_limit: str = "10m",
    polish_frames: int = 1_000_000,
    seed: int = 0,
    overwrite: bool = False,
) -> int:
    """Record a demo: by hand in a window, with time travel (H there shows the keys); from a file of actions; by a
    trained policy; or by --search.


    By hand, every few seconds and every exit are saved, and --continue goes on, also after a crash.

    With --search no human is needed: snapshots of all the situations seen are kept and explored at random until the
    score is reached without losing a life. Exits with 0 when the score was reached, 1 when the time was over before,
    130 when interrupted; the best demo so far is then saved, if it has any reward.

    Args:
        env_id: the game, for instance ALE/MontezumaRevenge-v5; not needed with --continue.
        output: the demo file to write; with --continue by default the same one.
        keyboard: play by hand, with keyboard, mouse or game controller; the default where there is a display.
        continue_: a demo file to go on with by hand, from where its last demo ended.
        fps: demo steps per second when playing by hand, by default the game's own; 0: one for every key pressed.
        actions: play the actions of this file from the reset: .npy, .npz, .csv or .json, one a demo step.
        policy: a run directory; let its policy play.
        episodes: for the policy to play.
        keep: so many of the policy's best episodes are stored.
        max_frames: demo steps after which an episode of the policy is cut.
        search: let a search find the demo.
        until_score: points that the demo shall have.
        cell: which situations the search takes as one: game for what is known of this game, screen for the picture
            made small, which works for every simulator that draws, observation for what it observes.
        time_limit: for the search, for instance 90s, 10m or 2h.
        polish_frames: frames to search on for shorter demos once there is one.
        seed: of the search; the same seed finds the same demo.
        overwrite: replace an existing file.
    """
    by_hand = keyboard or continue_ is not None or fps is not None
    if sum([actions is not None, policy is not None, search, by_hand]) > 1:
        raise UsageError("playing by hand, --actions, --policy and --search are different ways to record; choose one")
    if actions is not None or policy is not None:
        return _by_itself(env_id, output, actions, policy, episodes, keep, max_frames, seed, overwrite)
    if not search:
        return _by_keyboard(env_id, output, continue_from=continue_, fps=fps, overwrite=overwrite)
    if env_id is None or output is None:
        raise UsageError("record --search needs a game and a file: record ENV_ID -o D.h5 --search --until-score POINTS")
    if until_score is None or not until_score > 0:
        raise UsageError("--search needs --until-score POINTS, more than 0")
    if polish_frames < 0 or seed < 0:
        raise UsageError("--polish-frames and --seed take 0 or more")
    limit = seconds_of(time_limit)

    import numpy as np

    from demo_curriculum.recording.cells import cell_of
    from demo_curriculum.recording.search import SearchError, search_demo
    from demo_curriculum.simulators import make_simulator
    from demo_curriculum.store import StoreError, refuse_existing, write_demos

    if not overwrite:
        refuse_existing(output)
    try:
        # Found out now, not after minutes of search.
        tempfile.TemporaryFile(dir=output.parent).close()
    except OSError as error:
        raise StoreError(f"{output}: cannot be written: {error.strerror}") from error
    simulator = make_simulator(env_id)
    with _Watch(limit) as watch:
        demo = search_demo(
            simulator,
            cell=cell_of(env_id, cell),
            until_score=until_score,
            # Atari policies act on every fourth frame, so a demo that they can copy does too.
            block=4 if env_id.startswith("ALE/") else 1,
            polish_frames=polish_frames,
            rng=np.random.default_rng(seed),
            on_progress=watch,
        )
    reached = demo.score >= until_score
    if not reached and not watch.interrupted:
        raise SearchError(
            f"{env_id}: no way to {until_score:.12g} points within {time_limit}, the best has {demo.score:.12g}; "
            f"try a longer --time-limit, another --seed or --until-score {demo.score:.12g}"
        )
    note = (
        f"demo-curriculum record {env_id} --search --until-score {until_score:.12g} --polish-frames {polish_frames} "
        f"--seed {seed}" + (f" --cell {cell}" if cell != "game" else "")
    )
    write_demos(output, [replace(demo, note=note + watch.early)], overwrite=overwrite)
    print(f"wrote {output}: {demo.score:.12g} points in {len(demo)} demo steps{watch.early}")
    return 130 if watch.interrupted else 0


def _by_keyboard(
    env_id: str | None, output: Path | None, *, continue_from: Path | None, fps: float | None, overwrite: bool
) -> int:
    if fps is not None and not 0 <= fps <= 1000:
        raise UsageError("--fps takes 0 to 1000 steps per second")

    from demo_curriculum.cli.bars import step_bar
    from demo_curriculum.recording.draft import continue_draft, new_draft
    from demo_curriculum.recording.keyboard import Recorder, has_display, own_fps, play

    if not has_display():
        raise UsageError(
            "there is no display to play by hand (DISPLAY, WAYLAND_DISPLAY and SDL_VIDEODRIVER are not set); record on "
            "a desktop, or add --search --until-score POINTS, or --actions FILE"
        )
    from demo_curriculum.recording.window import open_window

    if continue_from is not None:
        with step_bar(f"playing {continue_from}") as advance:
            draft = continue_draft(continue_from, output, env_id=env_id, overwrite=overwrite, on_step=advance)
    elif env_id is not None and output is not None:
        draft = new_draft(env_id, output, overwrite=overwrite)
    else:
        raise UsageError("record needs a game and a file: record ENV_ID -o D.h5, or record --continue D.h5")
    recorder = Recorder(draft, fps=own_fps(draft.simulator) if fps is None else fps)
    try:
        with open_window(recorder) as window:
            ended = play(recorder, window)
    finally:
        # Whatever ended it, a bug too.
        with step_bar("saving") as advance:
            text = draft.finish(advance)
        print(text)
    return 130 if ended is not None else 0


def _by_itself(
    env_id: str | None,
    output: Path | None,
    actions: Path | None,
    policy: Path | None,
    episodes: int,
    keep: int,
    max_frames: int,
    seed: int,
    overwrite: bool,
) -> int:
    """Records from a file of actions or by a policy."""
    if env_id is None or output is None:
        raise UsageError("record needs a game and a file: record ENV_ID -o D.h5")
    if not 1 <= keep <= episodes or max_frames < 1:
        raise UsageError("--keep takes 1 to --episodes, --max-frames at least 1")

    from demo_curriculum.cli.bars import step_bar
    from demo_curriculum.recording.script import record_script
    from demo_curriculum.simulators import make_simulator
    from demo_curriculum.store import refuse_existing, write_demos

    if not overwrite:
        refuse_existing(output)
    simulator = make_simulator(env_id)
    if actions is not None:
        with step_bar(f"playing {actions.name}") as advance:
            demos = [record_script(simulator, actions, on_step=advance)]
    else:
        from demo_curriculum.recording.policy import record_policy

        assert policy is not None
        done = 0
        with step_bar(f"playing {episodes} episodes") as advance:

            def on_episode() -> None:
                nonlocal done
                done += 1
                advance(done, episodes)

            demos = record_policy(
                policy, env_id, episodes=episodes, keep=keep, max_frames=max_frames, seed=seed, on_episode=on_episode
            )
    write_demos(output, demos, creator="demo-curriculum record", overwrite=overwrite)
    scores = ", ".join(f"{demo.score:.12g} points in {len(demo)} demo steps" for demo in demos[:10])
    print(f"wrote {output}: {scores}" + (f" and {len(demos) - 10} more" if len(demos) > 10 else ""))
    return 0


class _Watch:
    """Shows how far a search is, and ends it when its time is over or at the first Ctrl-C; the second is as usual.

    On a terminal it is one line that changes, elsewhere a line every few seconds.
    All of it goes to standard error.

    Attributes:
        early: what ended the search before its time, as words to append; empty if nothing did.
    """

    def __init__(self, limit: float) -> None:
        self.early = ""
        self._limit = limit
        self._interrupted = False
        self._console = Console(stderr=True)
        self._status = self._console.status("searching")
        self._begin = self._shown = time.monotonic()

    @property
    def interrupted(self) -> bool:
        return self._interrupted

    def __enter__(self) -> _Watch:
        self._handler = signal.signal(signal.SIGINT, self._interrupt)
        if self._console.is_terminal:
            self._status.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._status.stop()
        signal.signal(signal.SIGINT, self._handler)

    def _interrupt(self, *signal_and_frame: object) -> None:
        self._interrupted = True
        signal.signal(signal.SIGINT, self._handler)

    def __call__(self, progress: SearchProgress) -> bool:
        """Whether the search shall go on."""
        now = time.monotonic()
        if self._console.is_terminal and now >= self._shown + REDRAW_EVERY:
            self._status.update(self._line(progress, now - self._begin))
            self._shown = now
        elif not self._console.is_terminal and now >= self._shown + LINE_EVERY:
            self._console.print(self._line(progress, now - self._begin), soft_wrap=True, highlight=False)
            self._shown = now
        if self._interrupted:
            self.early = "; interrupted, a longer search may find a better one"
        elif now >= self._begin + self._limit:
            self.early = "; ended by the time limit, a longer search may find a better one"
        return not self.early

    def _line(self, progress: SearchProgress, seconds: float) -> str:
        best = f"{progress.score:.12g} points in {progress.length} frames" if progress.length else "none"
        return (
            f"{seconds:.0f} s of {self._limit:.0f} s, {progress.frames:,} frames ({progress.frames / seconds:,.0f}/s), "
            f"{progress.cells:,} cells, best so far: {best}"
        )
