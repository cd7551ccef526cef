"""A climb as a film: the policy of each moment plays from the frontier of that moment, beside the demonstrator."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from demo_curriculum.demo import Demo, Start
from demo_curriculum.envs import DemoStart, SimulatorEnv
from demo_curriculum.errors import DemoCurriculumError
from demo_curriculum.progress.video import FRAMES_A_PICTURE, FRAMES_A_SECOND, GOOD, INK, LOSS, FilmWriter, Panel
from demo_curriculum.simulators.playback import begin_at, replay_demo
from demo_curriculum.simulators.protocol import Simulator
from demo_curriculum.training.checkpoint import load_latest
from demo_curriculum.training.milestones import Milestone, read_milestones
from demo_curriculum.training.policy import Policy
from demo_curriculum.training.run import Run, landmarks_of, restore_policy, simulator_for, stack_for
from demo_curriculum.training.stages import with_stages
from demo_curriculum.training.warmup import WarmUp

ATTEMPTS = 20
SECONDS_A_SCENE = 12
"""Longer episodes are shown faster."""
HELD = 24
"""Pictures for which the end of a scene stands still."""
ENDINGS = {
    "tie": "tied the demonstrator",
    "life": "lost a life",
    "lag": "fell too far behind",
    "terminated": "the game ended",
}


@dataclass
class ActionLog:
    """A simulator that notes what is played on it, so that an episode can be seen again exactly.

    Attributes:
        played: the actions since the latest reset or restore, and those of the episodes before.
    """

    simulator: Simulator
    episodes: list[list[int]] = field(default_factory=list)

    def reset(self) -> None:
        self.simulator.reset()
        self.episodes.append([])

    def restore(self, data: bytes) -> None:
        self.simulator.restore(data)
        self.episodes.append([])

    def play(self, actions: Sequence[int]) -> float:
        self.episodes[-1].extend(actions)
        return self.simulator.play(actions)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.simulator, name)


class Shot(NamedTuple):
    """What is to be filmed: the policy's weights after ``update``, where the climb stood then, and a start."""

    policy: Mapping[str, Tensor]
    update: int
    agent_steps: int
    segments: Sequence[Sequence[int]]
    start: Start
    whence: str


class Scene(NamedTuple):
    """One episode from a start: the actions that were played from there, how it ended, which attempt of how many."""

    start: Start
    actions: list[int]
    score: float
    tied: bool
    ending: str
    attempts: int


def film_climb(
    run_dir: Path,
    demos: Sequence[Demo],
    path: Path,
    segments: Sequence[Sequence[int]],
    on_scene: Callable[[int, int], None] | None = None,
) -> int:
    """Films the climb through a run's first demo into ``path``; returns the number of scenes.

    One scene for each policy kept, from the frontier that it came to, and at last the newest one, where there is a
    newer one, from the demo's beginning.

    Each policy plays, as in training, until it ties; the first of ``ATTEMPTS`` episodes that does is shown, or else
    the one with the highest score, and the film says so.

    Args:
        segments: [begin, goal, frontier] of each, as they are now.
        on_scene: called with the scenes done and all there are.

    Raises:
        DemoCurriculumError: no policy was kept along the climb, or a library is missing.
    """
    run = Run.read(run_dir)
    milestones = read_milestones(run_dir)
    if not milestones:
        raise DemoCurriculumError(
            f"{run_dir} kept no policies along the climb, so it cannot be filmed; train with --keep-checkpoints 20"
        )
    described = run.demos[0]
    demo = replay_demo(simulator_for(described, run.config), demos[0]).replayed
    panel = Panel(
        described, f"{run.env_id}: the climb back through one demonstration", ("the agent", "the demonstrator")
    )
    shots = [*_along_the_climb(milestones), *_from_the_beginning(run_dir, milestones[-1].update, segments, len(demo))]
    with FilmWriter(path) as film:
        for number, shot in enumerate(shots, 1):
            scene = _play(run, demo, shot)
            about = f"after {shot.agent_steps:,} agent steps, {shot.whence}; {_chosen(scene)}"
            _film_scene(film, panel, run, demo, shot.segments, scene, about)
            if on_scene is not None:
                on_scene(number, len(shots))
    return len(shots)


def _along_the_climb(milestones: Sequence[Milestone]) -> Iterator[Shot]:
    before: Sequence[Sequence[int]] = []
    for milestone in milestones:
        segments = milestone.segments[0]
        moved = _farthest_moved(before, segments)
        _, goal, frontier = segments[moved]
        whence = f"from the frontier at demo step {frontier:,}"
        if len(segments) > 1:
            whence += f" (segment {moved + 1} of {len(segments)})"
        yield Shot(
            milestone.policy, milestone.update, milestone.agent_steps, segments, Start(0, frontier, goal), whence
        )
        before = segments


def _from_the_beginning(run_dir: Path, after: int, segments: Sequence[Sequence[int]], length: int) -> Iterator[Shot]:
    """The newest policy, where it is newer than update ``after``."""
    newest = load_latest(run_dir / "checkpoints", lambda text: None)
    if newest is not None and newest["trainer"]["update"] > after:
        state, start = newest["trainer"], Start(0, 0, length)
        whence = "from the demo's beginning"
        yield Shot(state["policy"], state["update"], state["agent_steps"], segments, start, whence)


def _farthest_moved(before: Sequence[Sequence[int]], after: Sequence[Sequence[int]]) -> int:
    """Of the segments ``after``, [begin, goal, frontier] each, the one that was climbed most since ``before``."""
    frontiers = {goal: frontier for _, goal, frontier in before}
    return max(range(len(after)), key=lambda index: frontiers.get(after[index][1], after[index][1]) - after[index][2])


def _chosen(scene: Scene) -> str:
    if scene.tied:
        return f"attempt {scene.attempts} ties" if scene.attempts > 1 else "the first attempt ties"
    return f"the best of {scene.attempts} attempts"


def _play(run: Run, demo: Demo, shot: Shot) -> Scene:
    config = run.config
    log = ActionLog(simulator_for(run.demos[0], config))
    policy = restore_policy(run, log.simulator, shot.policy)
    stack = stack_for(log.simulator, config)
    whence = np.array([[shot.start.demo, shot.start.step]])
    landmarks = landmarks_of(demo, config, policy.seen)
    watched = with_stages([demo], [landmarks]) if policy.stages else [demo]
    begun = WarmUp(policy, watched, stack=stack, frame_skip=config.frame_skip).states(whence)
    env = DemoStart(
        SimulatorEnv(
            log,
            frame_skip=config.frame_skip,
            sticky=config.sticky,
            stack=stack,
        ),
        [demo],
        lambda rng: shot.start,
        lag=config.lag,
        tail=config.tail,
        end_on_life_loss=config.end_on_life_loss,
        landmarks=[landmarks],
        stages=policy.stages > 0,
    )
    scenes = []
    generator = torch.Generator().manual_seed(shot.update)
    for attempt in range(1, ATTEMPTS + 1):
        scene = _episode(env, policy, begun, log, generator, attempt, seed=shot.update if attempt == 1 else None)
        scenes.append(scene)
        if scene.tied:
            return scene
    best = max(scenes, key=lambda scene: (scene.score, len(scene.actions)))
    return best._replace(attempts=ATTEMPTS)


def _episode(
    env: DemoStart,
    policy: Policy,
    hidden: Tensor,
    log: ActionLog,
    generator: torch.Generator,
    attempt: int,
    *,
    seed: int | None,
) -> Scene:
    observation, info = env.reset(seed=seed)
    start: Start = info["demo_start"]
    # The demo's own actions up to the start are not the agent's.
    log.episodes.append([])
    over = False
    while not over:
        decision = policy.act(torch.from_numpy(observation[None]), hidden, generator)
        hidden = decision.hidden
        observation, _, terminated, truncated, info = env.step(int(decision.action))
        over = terminated or truncated
    outcome = info["demo_start"]
    return Scene(start, log.episodes[-1], outcome.score, outcome.tied, outcome.ending, attempt)


def _film_scene(
    film: FilmWriter,
    panel: Panel,
    run: Run,
    demo: Demo,
    segments: Sequence[Sequence[int]],
    scene: Scene,
    about: str,
) -> None:
    """Plays the agent's actions and the demonstrator's from the same state, in step."""
    described, config = run.demos[0], run.config
    agent, demonstrator = simulator_for(described, config), simulator_for(described, config)
    begin = max(scene.start.step, 0)
    for simulator in (agent, demonstrator):
        begin_at(simulator, demo, begin)
    scores = [float(demo.returns[begin])] * 2
    theirs = demo.actions.tolist()[begin : scene.start.goal]
    faster = -(-len(scene.actions) // (SECONDS_A_SCENE * FRAMES_A_SECOND))
    for frame, action in enumerate(scene.actions):
        scores[0] += agent.play([action])
        if frame < len(theirs):
            scores[1] += demonstrator.play([theirs[frame]])
        last = frame == len(scene.actions) - 1
        if frame % (faster * FRAMES_A_PICTURE) and not last:
            continue
        verdict = ("", INK)
        if last:
            known = ENDINGS["tie" if scene.tied else scene.ending]
            verdict = (f"  {known}", GOOD if scene.tied else LOSS)
        goal = "the demo ends" if scene.start.goal == len(demo) else "the segment ends"
        captions = [
            (f"{scores[0]:,.0f} points{verdict[0]}", verdict[1]),
            (f"{scores[1]:,.0f} points" + (f"  {goal}" if frame >= len(theirs) - 1 else ""), INK),
        ]
        speed = f"  {faster} times as fast" if faster > 1 else ""
        picture = panel.draw(
            [agent.render(), demonstrator.render()],
            about,
            captions,
            segments=segments,
            position=begin + min(frame + 1, len(theirs)),
            note=f"frame {frame + 1:,} from there{speed}",
        )
        for _ in range(1 + HELD * last):
            film.add(picture)


def film_episode(
    described: dict[str, Any], simulator: Simulator, actions: Sequence[int], about: str, path: Path
) -> None:
    """Films one episode from the game's own reset, given all that was played in it."""
    panel = Panel(described, f"{described['env_id']} from its own reset", ("the agent",), bar=False)
    simulator.reset()
    score = 0.0
    with FilmWriter(path) as film:
        for frame, action in enumerate(actions):
            score += simulator.play([action])
            last = frame == len(actions) - 1
            if frame % FRAMES_A_PICTURE and not last:
                continue
            told = f"{score:,.0f} points of the demo's {described['score']:,.0f}, frame {frame + 1:,}"
            caption = (told, GOOD if score >= described["score"] else INK)
            picture = panel.draw([simulator.render()], about, [caption])
            for _ in range(1 + HELD * last):
                film.add(picture)
