"""``record``: a demo of a game, played by hand or found by a search."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import tyro

from demo_curriculum.cli.durations import seconds_of
from demo_curriculum.errors import UsageError


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
    processes: int | None = None,
    overwrite: bool = False,
) -> int:
    """Record a demo: by hand in a window, with time travel (H there shows the keys); from a file of actions; by a
    trained policy; or by --search.


    By hand, every few seconds and every exit are saved, and --continue goes on, also after a crash.

    With --search no human is needed: snapshots of all the situations seen are kept and explored at random, on all
    cores, until the score is reached without losing a life, the time is over, or Ctrl-C. The best demo so far is then
    saved, if it has any reward. What the search knows is kept beside it as D.h5.search, and --search --continue D.h5
    goes on from there, also after a crash. Exits with 1 when the time was over before the score was reached, with 130
    when interrupted.

    Args:
        env_id: the game, for instance ALE/MontezumaRevenge-v5; not needed with --continue.
        output: the demo file to write; with --continue by default the same one.
        keyboard: play by hand, with keyboard, mouse or game controller; the default where there is a display.
        continue_: a demo file to go on with: by hand from where its last demo ended, with --search from what the search
            that made it had found.
        fps: demo steps per second when playing by hand, by default the game's own; 0: one for every key pressed.
        actions: play the actions of this file from the reset: .npy, .npz, .csv or .json, one a demo step.
        policy: a run directory; let its policy play.
        episodes: for the policy to play.
        keep: so many of the policy's best episodes are stored.
        max_frames: demo steps after which an episode of the policy is cut.
        search: let a search find the demo.
        until_score: points that the demo shall have; by default as many as are found in the time.
        cell: which situations the search takes as one: game for what is known of this game (room and place, where
            there is such a thing), screen for the picture made small, which works for every simulator that draws,
            observation for what it observes.
        time_limit: for the search, for instance 90s, 10m or 2h.
        polish_frames: frames to search on for shorter demos once there is one.
        seed: of the search; the same seed finds the same demo, on any number of cores.
        processes: to search with, by default one a core.
        overwrite: replace an existing file.
    """
    by_hand = keyboard or fps is not None or (continue_ is not None and not search)
    if sum([actions is not None, policy is not None, search, by_hand]) > 1:
        raise UsageError("playing by hand, --actions, --policy and --search are different ways to record; choose one")
    if actions is not None or policy is not None:
        return _by_itself(env_id, output, actions, policy, episodes, keep, max_frames, seed, overwrite)
    if not search:
        return _by_keyboard(env_id, output, continue_from=continue_, fps=fps, overwrite=overwrite)
    if until_score is not None and not until_score > 0:
        raise UsageError("--until-score takes POINTS, more than 0")
    if polish_frames < 0 or seed < 0 or (processes is not None and processes < 1):
        raise UsageError("--polish-frames and --seed take 0 or more, --processes 1 or more")
    if continue_ is not None and (output or continue_) != continue_:
        raise UsageError("--search --continue D.h5 goes on in the same file; leave -o out")
    return _by_search(
        env_id,
        continue_ or output,
        going_on=continue_ is not None,
        until_score=until_score,
        cell=cell,
        seconds=seconds_of(time_limit),
        polish_frames=polish_frames,
        seed=seed,
        processes=processes,
        overwrite=overwrite,
    )


def _by_search(
    env_id: str | None,
    output: Path | None,
    *,
    going_on: bool,
    until_score: float | None,
    cell: Literal["game", "screen", "observation"],
    seconds: float,
    polish_frames: int,
    seed: int,
    processes: int | None,
    overwrite: bool,
) -> int:
    if output is None or (env_id is None and not going_on):
        raise UsageError(
            "a search needs a game and a file: record ENV_ID -o D.h5 --search, or record --search --continue D.h5"
        )

    import math

    from demo_curriculum.cli.watch import Watch
    from demo_curriculum.processes import cores
    from demo_curriculum.recording.search import Search
    from demo_curriculum.simulators import make_simulator
    from demo_curriculum.store import StoreError, refuse_existing, write_demos

    kept = output.with_name(f"{output.name}.search")
    if not overwrite and not going_on:
        refuse_existing(output)
        if kept.exists():
            raise UsageError(
                f"{kept}: a search for this file is there; go on with record --search --continue {output}, or begin "
                "anew with --overwrite"
            )
    try:
        # Found out now, not after minutes of search.
        tempfile.TemporaryFile(dir=output.parent).close()
    except OSError as error:
        raise StoreError(f"{output}: cannot be written: {error.strerror}") from error
    needed = math.inf if until_score is None else until_score
    if going_on:
        search = Search.load(kept, until_score=needed)
        if env_id not in (None, search.simulator.spec.env_id):
            raise UsageError(f"{kept}: is a search in {search.simulator.spec.env_id}, not in {env_id}")
    else:
        assert env_id is not None
        # Atari policies act on every fourth frame, so a demo that they can copy does too.
        block = 4 if env_id.startswith("ALE/") else 1
        search = Search(make_simulator(env_id), block=block, cell=cell, until_score=needed, seed=seed)

    def keep() -> None:
        # The demo is worth more than what is needed to go on.
        try:
            search.save(kept)
        except StoreError as error:
            print(f"warning: the search is not saved, it goes on unharmed: {error}", file=sys.stderr)

    try:
        with Watch(seconds, keep=keep) as watch:
            search.run(polish_frames=polish_frames, processes=processes or cores(), on_progress=watch)
            keep()
            search.tidy(watch.may_tidy)
    except BaseException:
        keep()
        raise
    if search.best is None and watch.early is not None:
        print(
            f"error: no reward found in {search.frames:,} frames; {watch.early}; a longer search may find one: "
            f"record --search --continue {output}",
            file=sys.stderr,
        )
        return 130 if watch.interrupted else 1
    demo = search.demo()
    reached = until_score is None or demo.score >= until_score
    command = ["demo-curriculum record", search.simulator.spec.env_id, "--search"]
    command += [] if until_score is None else [f"--until-score {until_score:.12g}"]
    command += [f"--polish-frames {polish_frames}", f"--seed {search.seed}"]
    command += [] if search.cell_name == "game" else [f"--cell {search.cell_name}"]
    early = "" if watch.early is None else f"; {watch.early}, a longer search may find a better one"
    note = " ".join(command) + ("; continued" if going_on else "") + early
    write_demos(output, [replace(demo, note=note)], overwrite=overwrite or going_on)
    text = f"wrote {output}: {demo.score:.12g} points in {len(demo)} demo steps"
    if reached and watch.early is None:
        kept.unlink(missing_ok=True)
    else:
        text += f"{early}: record --search --continue {output}" if early else ""
    print(text)
    return 130 if watch.interrupted else 0 if reached else 1


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
