import gymnasium as gym
import numpy as np
import pytest

from demo_curriculum.demo import Start
from demo_curriculum.envs import DemoStart, RecordDemo, RecordingSimulator, SimulatorEnv
from demo_curriculum.errors import UsageError
from demo_curriculum.simulators import make_simulator
from demo_curriculum.simulators.playback import play_demo, replay_demo


def play(env, steps, seed=0):
    env.reset(seed=seed)
    score = 0.0
    env.action_space.seed(seed)
    for _ in range(steps):
        _, reward, over, _, _ = env.step(env.action_space.sample())
        score += reward
        if over:
            break
    return score


def test_sticky_actions_and_no_ops_are_recorded_as_they_were_played():
    env = RecordDemo(SimulatorEnv(make_simulator("ALE/Breakout-v5"), sticky=0.25, noop_max=30), note="at random")
    scores = [play(env, 120, seed) for seed in range(3)]
    env.close()
    assert [demo.score for demo in env.demos] == scores
    simulator = make_simulator("ALE/Breakout-v5")
    for demo in env.demos:
        assert len(demo) >= 480 or demo.complete
        assert [snapshot.step for snapshot in demo.snapshots][:4] == [100, 200, 300, 400]
        comparison = replay_demo(simulator, demo)
        assert comparison.matched
        assert np.array_equal(comparison.replayed.observations, demo.observations)
        assert np.array_equal(comparison.replayed.lives, demo.lives)
        assert (demo.origin, demo.note) == ("script", "at random")


def test_the_game_is_played_as_without_recording():
    plain = SimulatorEnv(make_simulator("ALE/Breakout-v5", observation="pixels"), sticky=0.25, stack=4)
    recorded = RecordDemo(SimulatorEnv(make_simulator("ALE/Breakout-v5", observation="pixels"), sticky=0.25, stack=4))
    for env in (plain, recorded):
        env.reset(seed=3)
    for action in [1, 0, 2, 3, 1, 2] * 20:
        one, other = plain.step(action), recorded.step(action)
        assert np.array_equal(one[0], other[0])
        assert one[1:4] == other[1:4]


def test_an_episode_ends_with_the_game_a_reset_or_close():
    chain = make_simulator("LockedChain-3")
    env = RecordDemo(SimulatorEnv(chain, frame_skip=1))
    env.reset()
    for key in chain.keys:
        env.step(key)
    assert [(len(demo), demo.complete, demo.score) for demo in env.demos] == [(3, True, 1.0)]
    env.reset()
    env.reset()
    env.step(chain.keys[0])
    env.reset()
    env.step(chain.keys[0])
    env.step(chain.keys[1])
    env.close()
    assert [len(demo) for demo in env.demos] == [3, 1, 2]
    assert [bool(demo.truncations[-1]) for demo in env.demos] == [False, True, True]


def test_only_the_best_are_kept():
    chain = make_simulator("LockedChain-3")
    recorder = RecordingSimulator(chain, origin="policy", keep=2)
    for actions in ([(chain.keys[0] + 1) % 4], chain.keys, chain.keys[:2], chain.keys):
        recorder.reset()
        recorder.play([int(action) for action in actions])
    recorder.finish()
    assert [demo.score for demo in recorder.demos] == [1, 1]
    assert recorder.demos[0].origin == "policy"


def test_episodes_that_begin_inside_a_demo_are_not_recorded():
    chain = make_simulator("LockedChain-4")
    demo = play_demo(chain, chain.keys.tolist(), origin="script", snapshot_steps=[1, 2, 3])
    starts = iter([Start(0, 2, 4), Start(0, 0, 4)])
    env = RecordDemo(DemoStart(SimulatorEnv(chain, frame_skip=1), [demo], lambda rng: next(starts)))
    env.reset()
    env.step(chain.keys[2])
    assert env.demos == []
    env.reset()
    env.step(chain.keys[0])
    env.close()
    assert [len(demo) for demo in env.demos] == [1]


def test_other_environments_are_refused():
    with pytest.raises(UsageError, match="records a SimulatorEnv, not CartPoleEnv"):
        RecordDemo(gym.make("CartPole-v1"))
