import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from demo_curriculum.demo import Demo, Outcome, Start
from demo_curriculum.envs import DemoStart, SimulatorEnv
from demo_curriculum.envs.course import lag_floor
from demo_curriculum.errors import MismatchError
from demo_curriculum.landmarks import Landmark, find_landmarks
from demo_curriculum.simulators import make_simulator
from demo_curriculum.simulators.chain import LockedChain
from demo_curriculum.simulators.playback import play_demo

GAME = "ALE/MontezumaRevenge-v5"


def script(*parts: tuple[str, int]) -> list[int]:
    """Montezuma actions by name, each held for a number of frames."""
    names = list(make_simulator(GAME).action_meanings)
    return [names.index(name) for name, frames in parts for _ in range(frames)]


def chain_demo(length: int) -> Demo:
    simulator = make_simulator(f"LockedChain-{length}")
    return play_demo(simulator, simulator.keys.tolist(), origin="script")  # type: ignore[attr-defined]


def chain_env(length: int, step: int, goal: int | None = None, **kwargs: object) -> DemoStart:
    env = SimulatorEnv(make_simulator(f"LockedChain-{length}"), frame_skip=1)
    start = Start(0, step, goal if goal is not None else length)
    return DemoStart(env, [chain_demo(length)], lambda rng: start, **kwargs)  # type: ignore[arg-type]


def test_lag_floor_by_hand() -> None:
    returns = np.array([0.0, 0.0, 5.0, 5.0, 2.0, 9.0])
    # Windows t-1..t+1, cut at the goal; after the demo's end the goal's score is demanded.
    assert lag_floor(returns, 5, 1).tolist() == [0, 0, 0, 2, 2, 2, 9]
    assert lag_floor(returns, 3, 2).tolist() == [0, 0, 0, 0, 5, 5]
    assert lag_floor(returns, 3, 0).tolist() == [0, 0, 5, 5]


@given(rewards=st.lists(st.integers(0, 5), min_size=1, max_size=30), lag=st.integers(0, 12), data=st.data())
def test_lag_floor_is_the_published_rule_where_no_reward_is_negative(
    rewards: list[int], lag: int, data: st.DataObject
) -> None:
    returns = np.concatenate([[0.0], np.cumsum(rewards)])
    goal = data.draw(st.integers(1, len(rewards)))
    floor = lag_floor(returns, goal, lag)
    assert floor.tolist() == [returns[min(max(step - lag, 0), goal)] for step in range(goal + lag + 1)]


def test_a_tie_truncates_after_its_tail() -> None:
    simulator = make_simulator(GAME)
    actions = script(("NOOP", 200))
    demo = play_demo(simulator, actions, origin="script")
    env = DemoStart(SimulatorEnv(simulator), [demo], lambda rng: Start(0, 100, 200), tail=4.0)
    lengths = []
    for seed in range(200):
        env.reset(seed=seed)
        ended = False
        while not ended:
            _, reward, terminated, ended, info = env.step(0)
            assert not terminated and reward == 0
        outcome = info["demo_start"]
        assert outcome.tied and outcome.ending == "tie" and outcome.start == Start(0, 100, 200)
        lengths.append(outcome.length)
    # One step to tie, then exp(4u) frames rounded up to whole agent steps: between 1 and 14 of them.
    assert min(lengths) == 2 and 12 <= max(lengths) <= 15
    tails = np.ceil(np.floor(np.exp(4 * np.linspace(0, 1, 10001))) / 4)
    assert np.mean(lengths) == pytest.approx(1 + tails.mean(), abs=0.6)


def test_falling_behind_terminates_once_the_lag_has_passed() -> None:
    simulator = make_simulator(GAME)
    demo = play_demo(simulator, script(("NOOP", 200)), origin="script")
    rewards = demo.rewards.copy()
    rewards[60] = 100.0
    demo = Demo(**{**vars(demo), "rewards": rewards})
    env = DemoStart(SimulatorEnv(simulator), [demo], lambda rng: Start(0, 40, 200), lag=20)
    env.reset(seed=0)
    steps, ended = 0, False
    while not ended:
        *_, ended, truncated, info = env.step(0)
        steps += 1
        assert not truncated
    # At demo step 40 + 4k the score may not be under returns[20 + 4k]; returns[61] is the first with the reward.
    assert steps == 11
    assert info["demo_start"] == Outcome(Start(0, 40, 200), 0.0, 11, False, "lag")


def test_a_lost_life_terminates_only_when_asked_to() -> None:
    simulator = make_simulator(GAME)
    # Walking left off the first ledge kills within about a hundred frames.
    demo = play_demo(simulator, script(("NOOP", 400)), origin="script")
    rewards = demo.rewards.copy()
    rewards[-1] = 1.0
    demo = Demo(**{**vars(demo), "rewards": rewards})
    left = script(("LEFT", 1))[0]
    endings = {}
    for end_on_life_loss in (True, False):
        env = DemoStart(
            SimulatorEnv(simulator), [demo], lambda rng: Start(0, 0, 400), end_on_life_loss=end_on_life_loss, lag=100
        )
        env.reset(seed=0)
        terminated = False
        while not terminated:
            *_, terminated, _, info = env.step(left)
        endings[end_on_life_loss] = info["demo_start"].ending
    assert endings == {True: "life", False: "lag"}


def test_the_games_own_end_terminates_and_can_tie() -> None:
    env = chain_env(5, 3)
    keys = env.env.simulator.keys  # type: ignore[attr-defined]
    for actions, tied in (([keys[3], keys[4]], True), ([keys[3], (keys[4] + 1) % 4], False)):
        observation, info = env.reset(seed=0)
        assert observation[-1].argmax() == 3 and info["demo_start"] == Start(0, 3, 5)
        *_, terminated, truncated, info = env.step(actions[0])
        assert not terminated and not truncated and info.keys() == {"lives"}
        *_, terminated, truncated, info = env.step(actions[1])
        assert terminated and not truncated
        assert info["demo_start"] == Outcome(Start(0, 3, 5), float(tied), 2, tied, "terminated")


def test_a_goal_before_the_end_is_judged_there() -> None:
    env = chain_env(6, 1, goal=4, tail=0.0)
    env.reset(seed=0)
    *_, truncated, info = env.step(env.env.simulator.keys[1])  # type: ignore[attr-defined]
    assert not truncated
    *_, truncated, info = env.step(env.env.simulator.keys[2])  # type: ignore[attr-defined]
    assert truncated and info["demo_start"].tied, "the demo gathers nothing up to step 4 either"


def test_the_reset_of_a_demo_that_begins_later_is_the_games_own() -> None:
    simulator = make_simulator(GAME)
    whole = play_demo(simulator, script(("NOOP", 100), ("RIGHT", 100)), origin="script")
    later = play_demo(
        simulator, whole.actions[100:].tolist(), origin="script", begin=whole.snapshots[0].data, offset=100
    )
    own = SimulatorEnv(make_simulator(GAME)).reset(seed=0)[0]
    env = DemoStart(SimulatorEnv(simulator), [later], lambda rng: Start(0, -100, 100))
    assert np.array_equal(env.reset(seed=0)[0], own)
    env.sample = lambda rng: Start(0, 0, 100)
    assert np.array_equal(env.reset()[0][-1], whole.observations[100])


def test_another_games_demo_is_refused() -> None:
    with pytest.raises(MismatchError, match="LockedChain-5"):
        DemoStart(SimulatorEnv(make_simulator("LockedChain-4")), [chain_demo(5)], lambda rng: Start(0, 0, 5))


@pytest.mark.filterwarnings("ignore:.*different from the unwrapped version.*")
@pytest.mark.parametrize("observation", ["ram", "pixels"])
def test_gymnasium_accepts_it(observation: str) -> None:
    simulator = make_simulator(GAME, observation=observation)
    demo = play_demo(simulator, script(("NOOP", 60), ("RIGHT", 60)), origin="script")
    env = SimulatorEnv(simulator, sticky=0.25, stack=2, render_mode="rgb_array")
    check_env(DemoStart(env, [demo], lambda rng: Start(0, int(rng.integers(0, 100)), 120)))


class PatientChain(LockedChain):
    """A chain on which wrong actions only cost time, with a reward behind every fifth door; it counts them."""

    # How often nothing came of an action, and a life was lost.
    waited, died = 0, 0

    def reset(self) -> None:
        super().reset()
        self.waited, self.died = 0, 0

    def save(self) -> bytes:
        return super().save() + bytes([self.waited, self.died])

    def restore(self, data: bytes) -> None:
        super().restore(data[:-2])
        self.waited, self.died = data[-2:]

    def play(self, actions: Sequence[int]) -> float:
        reward = 0.0
        for action in actions:
            if action == self.keys[self.position] and not self.game_over:
                self.position += 1
                reward += self.position % 5 == 0
                self.game_over = self.position == self.length
            else:
                self.waited += 1
        return reward

    def act(self, wait: bool) -> int:
        """The right action or a wrong one."""
        return int(self.keys[self.position] + wait) % 4


def patient_env(start: Start, length: int = 20, **kwargs: Any) -> tuple[DemoStart, PatientChain]:
    simulator = PatientChain(f"LockedChain-{length}")
    demo = play_demo(simulator, simulator.keys.tolist(), origin="script")
    assert demo.score == length // 5
    return DemoStart(SimulatorEnv(simulator, frame_skip=1), [demo], lambda rng: start, **kwargs), simulator


def test_an_episode_goes_on_where_the_curriculum_says() -> None:
    asked = []

    def onward(origin: Start, reached: Start, rng: np.random.Generator) -> Start | None:
        asked.append((origin, reached))
        return {5: Start(0, 5, 10), 10: Start(0, 10, 20)}.get(reached.goal)

    env, simulator = patient_env(Start(0, 0, 5), onward=onward, tail=0.0)
    env.reset(seed=0)
    brought, played = {}, []
    for step in range(1, 30):
        # Two moments of waiting in each leg.
        played.append(simulator.act(wait=step in (2, 3, 9, 10)))
        *_, terminated, truncated, info = env.step(played[-1])
        if "outcomes" in info:
            brought[step] = info["outcomes"]
        if terminated or truncated:
            break
    assert brought == {
        7: [Outcome(Start(0, 0, 5), 1.0, 7, True, "tie", 0)],
        14: [Outcome(Start(0, 5, 10), 1.0, 7, True, "tie", 1)],
        24: [
            Outcome(Start(0, 10, 20), 2.0, 10, True, "terminated", 2),
            # From the game's own reset: the whole as well.
            Outcome(Start(0, 0, 20), 4.0, 24, True, "terminated", path=tuple(played)),
        ],
    }
    assert info["demo_start"] == brought[24][0]
    assert asked == [(Start(0, 0, 5), Start(0, 0, 5)), (Start(0, 0, 5), Start(0, 5, 10))], "the last leg ended the game"


def test_the_whole_is_not_tied_where_a_leg_fails_or_is_not_gone_into() -> None:
    for onward, length, score in ((Start(0, 5, 20), 13, 1.0), (None, 6, 1.0)):
        env, simulator = patient_env(Start(0, 0, 5), onward=lambda *_, to=onward: to, tail=0.0, lag=3)
        env.reset(seed=0)
        for step in range(1, 30):
            *_, terminated, truncated, info = env.step(simulator.act(wait=step > 5))
            if terminated or truncated:
                break
        *_, last, whole = [*info["outcomes"]]
        assert whole.path is not None and len(whole.path) == length
        assert replace(whole, path=None) == Outcome(Start(0, 0, 20), score, length, False, "lag" if onward else "tie")
        assert last.tied == (onward is None)
    env, simulator = patient_env(Start(0, 3, 5), tail=0.0)
    env.reset(seed=0)
    env.step(simulator.act(wait=False))
    env.step(simulator.act(wait=False))
    *_, info = env.step(simulator.act(wait=False))
    assert info["outcomes"] == [info["demo_start"]], "not from the reset"


@pytest.mark.parametrize(("forgive", "length"), [(True, 24), (False, 14)])
def test_lateness_is_forgiven_once_the_score_is_reached(forgive: bool, length: int) -> None:
    """The first reward three steps late, then two more waits before the second; lag 4."""
    env, simulator = patient_env(Start(0, 0, 20), lag=4, forgive=forgive)
    env.reset(seed=0)
    waits = {1, 2, 3, 9, 10}
    for step in range(1, 40):
        *_, terminated, truncated, info = env.step(simulator.act(wait=step in waits or step > 15))
        if terminated or truncated:
            break
    outcome = info["demo_start"]
    assert outcome.ending == "lag"
    # The first reward comes at 8, the second is due at 10 + 4: too late, unless 8 counts as 5. Then it comes at 15,
    # which counts as 10, and the third is due when 15 counts as 15 + 4: nine steps later.
    assert outcome.length == length


def test_an_episode_in_its_second_leg_is_saved_and_goes_on_exactly() -> None:
    def onward(origin: Start, reached: Start, rng: np.random.Generator) -> Start | None:
        return Start(0, 5, 20) if reached.goal == 5 else None

    one, simulator = patient_env(Start(0, 0, 5), onward=onward)
    one.reset(seed=3)
    for step in range(8):
        one.step(simulator.act(wait=step == 1))
    other, _ = patient_env(Start(0, 0, 5), onward=onward)
    other.reset(seed=9)
    other.load_state_dict(one.state_dict())
    for _ in range(30):
        action = simulator.act(wait=False)
        mine, theirs = one.step(action), other.step(action)
        assert mine[1:] == theirs[1:] and np.array_equal(mine[0], theirs[0])
        if mine[2] or mine[3]:
            break
    whole = mine[4]["outcomes"][-1]
    assert replace(whole, path=None) == Outcome(Start(0, 0, 20), 4.0, 21, True, "terminated")
    assert len(whole.path) == 21 and whole == theirs[4]["outcomes"][-1]


def test_slack_counts_down_to_the_end_by_lag() -> None:
    """Rewards at 5, 10, 15, 20, lag 4: the first is due at 9."""
    env, simulator = patient_env(Start(0, 0, 20), lag=4)
    env.reset(seed=0)
    assert env.slack == 9
    slacks = []
    for step in range(1, 30):
        # Three moments of waiting, the first reward at 8, which counts as 5: the second is due nine steps later.
        *_, terminated, _, info = env.step(simulator.act(wait=step <= 3 or step > 8))
        slacks.append(env.slack)
        if terminated:
            break
    assert slacks == [8, 7, 6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
    assert info["demo_start"].ending == "lag"
    tied, simulator = patient_env(Start(0, 0, 5), lag=4)
    tied.reset(seed=0)
    for _ in range(5):
        tied.step(simulator.act(wait=False))
    assert tied.slack == 1000, "nothing is due after a tie"


def test_a_start_at_which_an_episode_arrived_begins_as_it_did() -> None:
    following = Start(0, 5, 20)

    def onward(origin: Start, reached: Start, rng: np.random.Generator) -> Start | None:
        return following if reached.goal == 5 else None

    env, simulator = patient_env(Start(0, 0, 5), onward=onward, lag=3)
    starts = iter([following, Start(0, 0, 5), following, Start(0, 6, 20)])
    env.sample = lambda rng: next(starts)
    outcomes, states = [], []
    for waits in ((), (1, 2), (), ()):
        env.reset(seed=0)
        states.append(simulator.save())
        for step in range(1, 40):
            *_, terminated, truncated, info = env.step(simulator.act(wait=step in waits or step > 7))
            if step == 7 and waits:
                arrived = simulator.save()
            if terminated or truncated:
                break
        outcomes.append(info["demo_start"])
    # Nobody has arrived before the first; the second goes on; the third begins where the second arrived.
    assert [outcome.start for outcome in outcomes] == [following, following, following, Start(0, 6, 20)]
    assert [outcome.leg for outcome in outcomes] == [0, 1, 1, 0]
    assert states[2] == arrived != states[0]
    arrivals = env.state_dict()["arrivals"]
    # The third came by a reward on the way; so did the first, but from the demo's own state: that is no arrival.
    places = [(entry["demo"], entry["step"], len(entry["arrivals"])) for entry in arrivals]
    assert places == [(0, 5, 1), (0, 10, 1)]
    resumed, simulator = patient_env(following, onward=onward)
    resumed.load_state_dict(env.state_dict())
    resumed.reset(seed=1)
    assert simulator.save() == arrived


def test_a_stage_that_an_episode_came_by_begins_as_it_did_there():
    starts = [(3, 20), (10, 20), (0, 20), (10, 20), (10, 15)]
    drawn = iter(Start(0, step, goal) for step, goal in starts)
    env, simulator = patient_env(Start(0, 0, 20), lag=6)
    env.sample = lambda rng: next(drawn)
    begun = []
    for _ in starts:
        env.reset()
        begun.append((simulator.position, simulator.waited, env.slack))
        ended, waits = False, 2
        while not ended:
            waits -= 1
            *_, terminated, truncated, info = env.step(simulator.act(wait=waits >= 0))
            ended = terminated or truncated
        assert info["demo_start"].tied
        legs = info["demo_start"].leg
        assert legs == (begun[-1][1] > 0), "whoever begins where another came by has a leg behind him"
    # From the demo's own state nothing is left behind; from the reset it is, two moments late, whatever the goal.
    # Forgiven at the score, it is no later than the demo: six steps until the next reward at 15 and six more.
    assert begun == [(3, 0, 8), (10, 0, 11), (0, 0, 11), (10, 2, 11), (10, 2, 11)]
    # The last came to its goal at 15, two more moments late.
    arrivals = env.state_dict()["arrivals"]
    assert [(entry["step"], len(entry["arrivals"])) for entry in arrivals] == [(5, 1), (10, 1), (15, 3)]


@pytest.mark.parametrize(("waits", "slack"), [(0, 12), (3, 9), (5, 9)])
def test_who_is_faster_than_the_demo_keeps_the_time_beyond_a_seam(waits: int, slack: int) -> None:
    """The demo waits three times, has rewards at 8, 13, 18, 23, and is cut after the first; lag 4."""
    following = Start(0, 8, 23)
    simulator = PatientChain("LockedChain-20")
    actions = [*[simulator.act(wait=True)] * 3, *simulator.keys.tolist()]
    demo = play_demo(simulator, actions, origin="script")

    def onward(origin: Start, reached: Start, rng: np.random.Generator) -> Start | None:
        return following if reached.goal == 8 else None

    def begin(start: Start) -> DemoStart:
        env = DemoStart(SimulatorEnv(simulator, frame_skip=1), [demo], lambda rng: start, onward=onward, lag=4)
        env.reset(seed=0)
        return env

    env = begin(Start(0, 0, 8))
    for step in range(waits + 5):
        env.step(simulator.act(wait=step < waits))
    # The next reward is due at 13 + 4; who came at 5 has three steps more than who came at 8, or later.
    assert env.slack == slack
    # As for who begins where it arrived.
    arrived = env.state_dict()
    env.sample = lambda rng: following
    env.reset()
    assert env.slack == slack
    resumed = begin(following)
    assert resumed.slack == 9, "the demonstrator's own time, where nobody has arrived"
    resumed.load_state_dict(arrived)
    assert resumed.slack == slack
    resumed.reset()
    assert resumed.slack == slack


def test_the_best_path_from_the_reset_is_told_with_what_was_executed() -> None:
    def play(wait_until: int) -> Outcome:
        env.reset()
        for step in range(1, 60):
            *_, terminated, truncated, info = env.step(simulator.act(wait=step <= wait_until))
            if terminated or truncated:
                return info["demo_start"]
        raise AssertionError

    env, simulator = patient_env(Start(0, 0, 20), length=20)
    env.env.sticky = 0.25
    env.reset(seed=3)
    first, slower, faster, again = play(4), play(12), play(0), play(4)
    assert first.path is not None and slower.path is None and faster.path is not None and again.path is None
    # Played again without stickiness, the path comes to the same.
    replayed = play_demo(simulator, faster.path, origin="policy")
    assert replayed.score == faster.score == 4 and len(faster.path) == faster.length < first.length
    env.sample = lambda rng: Start(0, 5, 20)
    assert play(0).path is None, "not from the reset"


def test_an_episode_that_ties_the_whole_demo_goes_on_to_look_for_more() -> None:
    """The demo ends after the second of four rewards; beyond it each is five steps from the one before."""
    simulator = PatientChain("LockedChain-20")
    demo = play_demo(simulator, simulator.keys[:10].tolist(), origin="script")
    lengths = {}
    for step, goal, beyond in ((0, 10, 6), (0, 10, 4), (0, 10, 0), (3, 10, 6)):
        start = Start(0, step, goal)
        env = DemoStart(SimulatorEnv(simulator, frame_skip=1), [demo], lambda rng, s=start: s, tail=0.0, beyond=beyond)
        env.reset(seed=0)
        ended = False
        while not ended:
            # Straight to the third reward at 15, then only waiting.
            *_, terminated, truncated, info = env.step(simulator.act(wait=simulator.position >= 15))
            ended = terminated or truncated
        assert info["demo_start"].tied and info["demo_start"].ending == "tie"
        lengths[step, beyond] = (info["demo_start"].length, info["demo_start"].score)
    # 10 to the tie; 5 more to a reward, and 6 that bring none; or 4 that bring none; or the tail of one step.
    assert lengths == {(0, 6): (21, 3.0), (0, 4): (14, 2.0), (0, 0): (11, 2.0), (3, 6): (8, 2.0)}


def test_a_walk_is_played_before_the_episode_and_gives_time_to_come_back():
    from demo_curriculum.simulators.mountain_car import SparseMountainCar

    car = SparseMountainCar("SparseMountainCar-v0")
    demo = play_demo(car, [1] * 30, origin="script")
    walk = (2, 0, 1)
    env = DemoStart(SimulatorEnv(car, frame_skip=4, stack=2), [demo], lambda rng: Start(0, 10, 30, walk), lag=5)
    first, info = env.reset(seed=0)
    assert info["demo_start"].walk == walk
    # 12 demo steps of walk on 10 of the demo, the clock as much earlier than the start.
    by_hand = SparseMountainCar("SparseMountainCar-v0")
    by_hand.play([1] * 10 + [2] * 4 + [0] * 4)
    before = by_hand.observe()
    by_hand.play([1] * 4)
    assert first.tolist() == [before.tolist(), by_hand.observe().tolist()]
    assert env._headway.clock == -2
    assert env.env.frames == 10 + 12
    again, _ = env.reset()
    assert again.tolist() == first.tolist() and env.env.frames == 22
    # What was cached is told apart from the start without a walk.
    env.sample = lambda rng: Start(0, 10, 30)
    plain, _ = env.reset()
    assert plain.tolist() != first.tolist()
    state = json.loads(json.dumps(env.env.cache.state_dict()))
    env.env.cache.load_state_dict(state)
    assert (0, 10, *walk) in env.env.cache


def test_what_would_end_the_game_is_left_out_of_a_walk():
    chain = make_simulator("LockedChain-5")
    keys = chain.keys.tolist()
    demo = play_demo(chain, keys, origin="script")
    wrong = (keys[2] + 1) % 4
    env = DemoStart(SimulatorEnv(chain, frame_skip=1), [demo], lambda rng: Start(0, 2, 5, (wrong, keys[2], keys[3])))
    observation, _ = env.reset(seed=0)
    assert observation[-1].argmax() == 4 and not chain.game_over
    *_, info = env.step(keys[4])
    assert info["demo_start"].tied and info["demo_start"].score == 1


def test_the_reset_can_be_followed_by_no_ops():
    env, simulator = patient_env(Start(0, 0, 20, (1, 2)), lag=4)
    env.env.frame_skip = 2
    simulator.reset()
    simulator.play([1, 1, 2, 2])
    expected = simulator.save()
    env.reset(seed=0)
    assert simulator.save() == expected
    assert env.env.path == [1, 1, 2, 2] and env.env.frames == 4 and env._headway.clock == -4
    # What a sticky action would repeat.
    assert env.env._previous_action == 2


def test_no_ops_that_lose_a_life_are_left_out_of_a_walk():
    simulator = make_simulator(GAME)
    lives = simulator.lives
    left = script(("LEFT", 1))[0]
    demo = play_demo(simulator, [left] * 200, origin="script")
    simulator.reset()
    walked = 0
    while simulator.lives == lives:
        simulator.play([left])
        walked += 1
    # A few frames before the fall ends in a life less, which no-ops do not prevent.
    walks = [(), (0,), (0,) * 2, (0,) * 10]
    starts = iter([Start(0, walked - 6, 200, walk) for walk in [(), *walks]])
    env = DemoStart(SimulatorEnv(simulator), [demo], lambda rng: next(starts))
    env.reset(seed=0)
    begun = [(env.reset()[1]["lives"], simulator.save()) for _ in walks]
    assert [there for there, _ in begun] == [lives] * 4
    assert begun[0] != begun[1] == begun[2] == begun[3]


class MortalChain(PatientChain):
    """It begins with three lives; the action after the right one costs a life and leads back five doors at most."""

    @property
    def lives(self) -> int:
        return 3 - self.died

    def play(self, actions: Sequence[int]) -> float:
        reward = 0.0
        for action in actions:
            if action == (self.keys[self.position] + 2) % 4:
                self.died += 1
                self.position = max(self.position - 5, 0)
                self.game_over = self.lives == 0
            else:
                reward += super().play([action])
        return reward

    def die(self) -> int:
        return int(self.keys[self.position] + 2) % 4


def mortal_env(
    start: Start, steps: int = 20, first_reward: float = 1.0, **kwargs: Any
) -> tuple[DemoStart, MortalChain]:
    """Setbacks are always gone on from, unless ``again`` says else; seeded with 0."""
    simulator = MortalChain("LockedChain-20")
    demo = play_demo(simulator, simulator.keys[:steps].tolist(), origin="script")
    demo.rewards[4] = first_reward
    kwargs.setdefault("again", lambda start, step, rng: Start(0, step, start.goal))
    env = DemoStart(SimulatorEnv(simulator, frame_skip=1), [demo], lambda rng: start, **kwargs)
    env.reset(seed=0)
    return env, simulator


def test_a_walk_that_loses_a_life_is_begun_anew_after_the_resets_own_no_ops() -> None:
    simulator, other = MortalChain("LockedChain-20"), MortalChain("LockedChain-20")
    env = SimulatorEnv(simulator, frame_skip=1, stack=2, noop_max=8)
    env.reset(seed=1)
    noops, before = len(env.path or []), simulator.save()
    assert noops > 1 and env.frames == noops and simulator.lives == 3
    first, second = simulator.keys[simulator.position :][:2].tolist()
    lost, wait = (second + 2) % 4, (second + 1) % 4
    observation = env.wait([first, lost, wait, lost, second])
    other.restore(before)
    seen = [other.play([action]) is not None and other.observe() for action in (first, wait, second)]
    assert simulator.save() == other.save() and (observation == np.stack(seen[-2:])).all()
    assert env.path == [0] * noops + [first, wait, second]
    # Five of the walk; and after the first loss the no-ops and the first step again, from which on it is saved.
    assert env.frames == noops + 5 + noops + 1


def test_an_episode_can_begin_where_a_life_was_lost() -> None:
    asked = []

    def again(start: Start, step: int, rng: np.random.Generator) -> Start | None:
        asked.append((start, step))
        return Start(0, step, start.goal)

    env, simulator = mortal_env(Start(0, 3, 20), again=again, lag=6, tail=0.0)
    for _ in range(9):
        env.step(simulator.act(wait=False))
    observation, *_, terminated, truncated, info = env.step(simulator.die())
    # Doors 3 to 11 were opened, two rewards taken; the demo had these before step 10.
    assert (terminated, truncated) == (True, False)
    assert info["outcomes"] == [Outcome(Start(0, 3, 20), 2.0, 10, False, "life")] and asked == [(Start(0, 3, 20), 10)]
    observation, info = env.reset()
    assert info["demo_start"] == Start(0, 10, 20) and info["lives"] == simulator.lives == 2
    assert simulator.position == observation[-1].argmax() == 7, "the game goes on"
    assert env.began == (0, 10) and env.env.path is None
    # Doors 7 to 14 again: the reward behind door 10 counts again, as in the game, and with that behind 15 it has 4.
    for _ in range(8):
        assert "demo_start" not in env.step(simulator.act(wait=False))[4]
    *_, terminated, truncated, info = env.step(simulator.act(wait=False))
    assert truncated and info["outcomes"] == [Outcome(Start(0, 10, 20), 2.0, 9, True, "tie", setbacks=1)]


def test_what_is_late_after_a_setback_is_counted_from_the_score() -> None:
    env, simulator = mortal_env(Start(0, 0, 20), lag=6)
    for _ in range(9):
        env.step(simulator.act(wait=False))
    env.step(simulator.die())
    saved = env.state_dict()
    env.reset()
    # One reward, which the demo has before step 5; the next one at step 10, and six steps later it is too late.
    assert env.slack == 11
    waits = [simulator.act(wait=True) for _ in range(11)]
    endings = [env.step(action)[4].get("demo_start") for action in waits]
    assert endings[:-1] == [None] * 10 and endings[-1] == Outcome(Start(0, 5, 20), 0.0, 11, False, "lag", setbacks=1)
    # As it was saved between the lost life and what follows.
    env.load_state_dict(saved)
    assert env.reset()[1]["demo_start"] == Start(0, 5, 20) and env.slack == 11
    env.load_state_dict(env.state_dict())
    assert env.slack == 11
    for _ in range(2):
        *_, info = env.step(simulator.die())
        env.reset()
    # The first of these is gone on from too, the game's end is not.
    assert info["demo_start"].ending == "terminated" and env.began == (0, 0)


def test_setbacks_are_counted_and_those_at_a_start_go_back_to_the_score_before() -> None:
    asked: list[int] = []
    env, simulator = mortal_env(Start(0, 7, 20), again=lambda start, step, rng: asked.append(step) or start)
    env.reset(seed=0)
    setbacks = []
    for _ in range(3):
        setbacks.append(env.step(simulator.die())[4]["demo_start"].setbacks)
        env.reset()
    # The demo has its first point from step 5 on. The third one ends the game.
    assert setbacks == [0, 1, 2] and asked == [5, 5]


@pytest.mark.parametrize("by_itself", [True, False])
def test_who_came_by_itself_leaves_a_place_to_begin_from_after_a_setback_too(by_itself: bool) -> None:
    """From the reset, not from the demo's own state; so the next one begins with one life less."""
    starts = iter([Start(0, 0, 20) if by_itself else Start(0, 3, 20), Start(0, 10, 20)])
    env, simulator = mortal_env(next(starts), again=lambda *_: Start(0, 5, 10), tail=0.0)
    env.reset()
    while simulator.position < 8:
        env.step(simulator.act(wait=False))
    env.step(simulator.die())
    saved = env.state_dict()
    env, simulator = mortal_env(next(starts), again=lambda *_: Start(0, 5, 10), tail=0.0)
    env.load_state_dict(saved)
    env.reset()
    tied = False
    while not tied:
        tied = env.step(simulator.act(wait=False))[3]
    assert simulator.lives == 2
    _, info = env.reset()
    assert info["demo_start"] == Start(0, 10, 20) and info["lives"] == (2 if by_itself else 3)


def test_a_seeded_reset_forgets_a_lost_life() -> None:
    env, simulator = mortal_env(Start(0, 0, 20))
    env.step(simulator.die())
    env.reset(seed=0)
    assert simulator.lives == 3 and simulator.position == 0
    assert env.step(simulator.die())[4]["demo_start"].setbacks == 0


def test_a_life_lost_after_the_tie_is_not_gone_on_from() -> None:
    asked: list[int] = []
    env, simulator = mortal_env(Start(0, 3, 5), again=lambda start, step, rng: asked.append(step), tail=9.0)
    env.reset(seed=3)
    for _ in range(2):
        env.step(simulator.act(wait=False))
    assert env.slack == 1000
    outcome = env.step(simulator.die())[4]["demo_start"]
    assert (outcome.tied, outcome.ending, asked) == (True, "life", [])
    env.reset()
    env.step(simulator.die())
    assert asked == [0]


class ScenicChain(PatientChain):
    """Every forty doors another wall is seen, and only the last door pays."""

    def __init__(self, env_id: str) -> None:
        super().__init__(env_id)
        self.observation_shape = (self.length + 21,)

    def play(self, actions: Sequence[int]) -> float:
        super().play(actions)
        return float(self.game_over)

    def observe(self) -> NDArray[Any]:
        seen = super().observe()
        seen[-20:] = self.position // 40
        return seen


def scenic_env(start: Start, **kwargs: Any) -> tuple[DemoStart, ScenicChain]:
    simulator = ScenicChain("LockedChain-120")
    demo = play_demo(simulator, simulator.keys.tolist(), origin="script")
    landmarks = find_landmarks(demo.observations, demo.rewards)
    assert [landmark.step for landmark in landmarks] == [40, 80]
    env = DemoStart(SimulatorEnv(simulator, frame_skip=1), [demo], lambda rng: start, landmarks=[landmarks], **kwargs)
    env.reset(seed=0)
    return env, simulator


def test_a_landmark_is_tied_by_coming_there() -> None:
    env, simulator = scenic_env(Start(0, 30, 40), lag=6, tail=0.0)
    assert env.slack == 17, "until 46 it may come"
    for _ in range(9):
        _, reward, terminated, truncated, info = env.step(simulator.act(wait=False))
        assert (reward, terminated, truncated) == (0.0, False, False)
    _, reward, terminated, truncated, info = env.step(simulator.act(wait=False))
    assert (reward, terminated, truncated) == (1.0, False, False), "the tail is one step"
    assert env.slack == 1000
    _, reward, terminated, truncated, info = env.step(simulator.act(wait=False))
    assert (reward, terminated, truncated) == (0.0, False, True)
    assert info["outcomes"] == [Outcome(Start(0, 30, 40), 0.0, 11, True, "tie")]


@pytest.mark.parametrize(
    ("news", "first", "second"),
    [
        # Nobody has seen these walls before: they are seen at 40 and 80 without waiting.
        (None, 40, 80),
        # Six steps early, and six more.
        (6, 60 - 6, 100 - 6 - 6),
    ],
)
def test_who_is_faster_than_the_demo_may_come_early(news: int | None, first: int, second: int) -> None:
    """The demo waits 20 times and sees the next walls at 60 and 100."""
    simulator = ScenicChain("LockedChain-120")
    demo = play_demo(simulator, [*[simulator.act(wait=True)] * 20, *simulator.keys.tolist()], origin="script")
    landmarks = find_landmarks(demo.observations, demo.rewards)
    assert [(landmark.step, landmark.news) for landmark in landmarks] == [(60, 60), (100, 100)]
    if news is not None:
        landmarks = [landmark._replace(news=news) for landmark in landmarks]

    def onward(origin: Start, reached: Start, rng: np.random.Generator) -> Start | None:
        return Start(0, 60, 100) if reached.goal == 60 else None

    def begin() -> DemoStart:
        env = DemoStart(
            SimulatorEnv(simulator, frame_skip=1),
            [demo],
            lambda rng: Start(0, 0, 60),
            onward=onward,
            landmarks=[landmarks],
            lag=6,
        )
        env.reset(seed=0)
        return env

    env = begin()
    paid = [step for step in range(1, 71) if env.step(simulator.act(wait=False))[1]]
    assert paid == [first]
    saved = env.state_dict()
    resumed = begin()
    resumed.load_state_dict(saved)
    paid = [step for step in range(71, 100) if resumed.step(simulator.act(wait=False))[1]]
    assert paid == [second]


def test_who_comes_to_a_landmark_too_late_has_failed() -> None:
    # At demo step 47, seven later than the demo, it may just have come, and the tail is a step more.
    for waits, length, ending in ((7, 18, "tie"), (8, 17, "lag")):
        env, simulator = scenic_env(Start(0, 30, 40), lag=6, tail=0.0)
        for step in range(30):
            *_, terminated, truncated, info = env.step(simulator.act(wait=step < waits))
            if terminated or truncated:
                break
        assert info["demo_start"] == Outcome(Start(0, 30, 40), 0.0, length, ending == "tie", ending)


def passed(
    env: DemoStart, simulator: ScenicChain, waits: Sequence[int], steps: int
) -> tuple[list[int], Outcome | None]:
    """Opens doors, but waits at these steps; the steps that paid, and what came of it."""
    paid = []
    for step in range(1, steps + 1):
        _, reward, terminated, truncated, info = env.step(simulator.act(wait=step in waits))
        if reward:
            assert reward == 1.0
            paid.append(step)
        if terminated or truncated:
            return paid, info["demo_start"]
    return paid, None


def test_landmarks_on_the_way_pay_and_forgive_as_scores_do() -> None:
    start = Start(0, 30, 120)
    env, simulator = scenic_env(start, lag=6, tail=0.0)
    waits = [*range(1, 6), *range(20, 25), *range(70, 75)]
    # Five steps late at each of 40, 80 and 120; six were too late for the score.
    paid, outcome = passed(env, simulator, waits, 105)
    assert paid == [15, 60, 105] and outcome == Outcome(start, 1.0, 105, True, "terminated")
    env.courses[0].scenes.clear()
    env.reset()
    paid, outcome = passed(env, simulator, waits, 105)
    assert paid == [] and outcome == Outcome(start, 0.0, 96, False, "lag")


def test_a_landmark_missed_is_passed_over() -> None:
    """The demo waits from 60 to 80, and sees the other walls at 40 and 100."""
    simulator = ScenicChain("LockedChain-120")
    keys = simulator.keys.tolist()
    demo = play_demo(simulator, [*keys[:60], *[simulator.keys[60] + 1 & 3] * 20, *keys[60:]], origin="script")
    landmarks = find_landmarks(demo.observations, demo.rewards)
    assert [landmark.step for landmark in landmarks] == [40, 100]
    env = DemoStart(
        SimulatorEnv(simulator, frame_skip=1), [demo], lambda rng: Start(0, 0, 140), landmarks=[landmarks], lag=6
    )
    # Seven late at the first; the second comes twenty later than the doors.
    for wait, expected in ((6, [46, 86, 126]), (7, [87, 127])):
        env.reset(seed=0)
        assert passed(env, simulator, range(1, wait + 1), 130)[0] == expected


def test_a_landmark_is_passed_with_the_demos_score_alone() -> None:
    env, simulator = scenic_env(Start(0, 0, 120), lag=50)
    env.demos[0].rewards[60] = 1.0
    lacking = DemoStart(
        env.env,
        env.demos,
        env.sample,
        landmarks=[list(env.courses[0].landmarks.values())],
        lag=50,
        again=lambda *_: None,
    )
    lacking.reset(seed=0)
    # The point that the demo has from step 61 on is not to be had: the wall at 80 is seen, and pays nothing.
    paid, outcome = passed(lacking, simulator, [], 120)
    assert paid == [40] and outcome is not None and (outcome.length, outcome.ending) == (111, "lag")


@pytest.mark.parametrize(
    ("start", "scenes", "expected"),
    [
        # The score behind door 10 is later than the first two.
        (Start(0, 6, 20), {8: 12, 9: 9, 14: 14}, [14]),
        # The goal is.
        (Start(0, 5, 7), {6: 8, 7: 7}, [7]),
    ],
)
def test_a_landmark_behind_is_not_looked_for(start: Start, scenes: dict[int, int], expected: list[int]) -> None:
    """``scenes``: by which door a landmark is told."""
    simulator = PatientChain("LockedChain-20")
    demo = play_demo(simulator, simulator.keys.tolist(), origin="script")
    landmarks = [Landmark(step, np.array([door]), np.ones(1), step) for step, door in scenes.items()]
    env = DemoStart(SimulatorEnv(simulator, frame_skip=1), [demo], lambda rng: start, landmarks=[landmarks], tail=9.0)
    env.reset(seed=4)
    paid = []
    for door in range(start.step + 1, 19):
        _, reward, _, truncated, _ = env.step(simulator.act(wait=False))
        assert not truncated
        # Beside the chain's own, one for every fifth door.
        paid += [door] * int(reward - (door % 5 == 0))
    assert paid == expected


def test_who_is_early_at_a_landmark_may_be_so_at_the_next() -> None:
    """The demo waits 20 times and sees the next walls at 60 and 100, before which they are new for six steps."""
    simulator = ScenicChain("LockedChain-120")
    demo = play_demo(simulator, [*[simulator.act(wait=True)] * 20, *simulator.keys.tolist()], origin="script")
    landmarks = [mark._replace(news=6) for mark in find_landmarks(demo.observations, demo.rewards)]

    def begin() -> DemoStart:
        env = DemoStart(
            SimulatorEnv(simulator, frame_skip=1), [demo], lambda rng: Start(0, 0, 140), landmarks=[landmarks], lag=6
        )
        env.reset(seed=0)
        return env

    env = begin()
    assert passed(env, simulator, [], 70)[0] == [60 - 6]
    saved = env.state_dict()
    resumed = begin()
    resumed.load_state_dict(saved)
    assert passed(resumed, simulator, [], 29)[0] == [100 - 6 - 6 - 70]
    # Its scene is still seen, and it has been paid for.
    env = begin()
    assert passed(env, simulator, [], 54)[0] == [54]
    resumed.load_state_dict(env.state_dict())
    assert passed(resumed, simulator, [], 5)[0] == []


@pytest.mark.parametrize(("begin", "position"), [(0, 49), (50, 50)])
def test_a_setback_after_a_landmark_is_gone_on_from_there(begin: int, position: int) -> None:
    asked: list[int] = []
    env, simulator = scenic_env(
        Start(0, begin, 120), lag=6, again=lambda start, step, rng: asked.append(step) or Start(0, step, start.goal)
    )
    # At 49 or 50 it waits for ever.
    waits = range(max(50 - begin, 0), 200)
    paid, outcome = passed(env, simulator, waits, 60)
    assert paid == ([40] if begin == 0 else []) and outcome is None
    env.load_state_dict(env.state_dict())
    _, outcome = passed(env, simulator, range(200), 200)
    assert outcome is not None and (outcome.ending, outcome.length, asked) == ("lag", 126 - begin, [40])
    env.reset()
    assert simulator.position == position
    # The wall at 40 lies behind; the one at 80 is to come.
    assert passed(env, simulator, [], 35)[0] == [80 - position]


def test_a_scene_seen_before_its_time_is_not_the_landmark() -> None:
    env, simulator = scenic_env(Start(0, 0, 20), lag=6, tail=0.0)
    (first, _) = find_landmarks(env.demos[0].observations, env.demos[0].rewards)
    # The wall of the first forty doors, at door 20.
    env.courses[0].landmarks[20] = Landmark(20, first.entries, np.zeros_like(first.values), 6)
    env.reset()
    rewards = [env.step(simulator.act(wait=False))[1] for _ in range(15)]
    assert rewards == [0.0] * 13 + [1.0, 0.0]


def test_an_episode_goes_on_over_a_landmark() -> None:
    onward = {40: Start(0, 40, 80), 80: Start(0, 80, 120)}
    env, simulator = scenic_env(
        Start(0, 0, 40), lag=6, tail=0.0, onward=lambda origin, reached, rng: onward.get(reached.goal)
    )
    outcomes, rewards = [], 0.0
    for _ in range(120):
        _, reward, *_, info = env.step(simulator.act(wait=False))
        rewards += reward
        outcomes += info.get("outcomes", [])
    assert [(outcome.start.step, outcome.start.goal, outcome.tied, outcome.leg) for outcome in outcomes] == [
        (0, 40, True, 0),
        (40, 80, True, 1),
        (80, 120, True, 2),
        (0, 120, True, 0),
    ]
    assert rewards == 3.0 and outcomes[-1].score == 1.0


def test_what_is_missing_to_the_demo_is_forgiven_after_a_setback() -> None:
    env, simulator = mortal_env(Start(0, 0, 20), first_reward=2.0, lag=50, tail=0.0)
    for _ in range(5):
        env.step(simulator.act(wait=False))
    env.step(simulator.die())
    # One point, where the demo has two at once from step 5 on; three more are to come of its five.
    assert env.reset()[1]["demo_start"] == Start(0, 5, 20) and simulator.position == 0
    for _ in range(15):
        assert "demo_start" not in env.step(simulator.act(wait=False))[4]
    *_, info = env.step(simulator.act(wait=False))
    assert info["outcomes"] == [Outcome(Start(0, 5, 20), 3.0, 16, True, "tie", setbacks=1)]


class PitfallChain(PatientChain):
    """The action after the right one costs half a point, and nothing else."""

    def play(self, actions: Sequence[int]) -> float:
        reward = 0.0
        for action in actions:
            falls = action == (self.keys[self.position] + 2) % 4
            reward += -0.5 if falls else super().play([action])
        return reward


def test_points_lost_for_good_are_forgiven_to_who_fell_behind_by_them() -> None:
    simulator = PitfallChain("LockedChain-20")
    demo = play_demo(simulator, simulator.keys.tolist(), origin="script")
    asked = []

    def again(start: Start, step: int, rng: np.random.Generator) -> Start | None:
        asked.append(step)
        return Start(0, step, start.goal)

    env = DemoStart(
        SimulatorEnv(simulator, frame_skip=1), [demo], lambda rng: Start(0, 0, 15), again=again, lag=4, tail=0.0
    )
    env.reset(seed=0)
    for _ in range(6):
        env.step(simulator.act(wait=False))
    env.step(int(simulator.keys[simulator.position] + 2) % 4)
    endings = [env.step(simulator.act(wait=False))[4].get("demo_start") for _ in range(2)]
    # Half a point at demo step 9, where the demo had one four steps earlier; it came to have that at step 5.
    assert endings == [None, Outcome(Start(0, 0, 15), 0.5, 9, False, "lag")] and asked == [5]
    observation, info = env.reset()
    assert info["demo_start"] == Start(0, 5, 15) and env.env.path is None
    assert simulator.position == observation[-1].argmax() == 8, "the game goes on"
    # Two points more and it has tied, though the demo has three then.
    for _ in range(7):
        assert "demo_start" not in env.step(simulator.act(wait=False))[4]
    *_, info = env.step(simulator.act(wait=False))
    assert info["outcomes"] == [Outcome(Start(0, 5, 15), 2.0, 8, True, "tie", setbacks=1)]


@pytest.mark.parametrize("dies", [False, True])
def test_an_episode_after_a_setback_is_none_of_the_whole_game(dies: bool) -> None:

    def play(goal: int) -> tuple[int, list[Outcome]]:
        env, simulator = mortal_env(Start(0, 0, goal), steps=15, lag=50, tail=0.0, beyond=3)
        if dies:
            env.step(simulator.die())
            assert env.reset()[1]["demo_start"].step == 0
        for step in range(1, 30):
            *_, terminated, truncated, info = env.step(simulator.act(wait=False))
            if terminated or truncated:
                return step, info["outcomes"]
        raise AssertionError

    # It does not look further after the tie, as one from the reset does.
    length, outcomes = play(goal=15)
    assert length == (16 if dies else 18) and [outcome.setbacks for outcome in outcomes] == [int(dies)]
    # What it comes to in the first segment says nothing of all of them.
    length, outcomes = play(goal=5)
    assert length == 6 and [outcome.start.goal for outcome in outcomes] == ([5] if dies else [5, 15])
