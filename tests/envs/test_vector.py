import numpy as np
import pytest

from demo_curriculum.demo import Demo, Start
from demo_curriculum.envs import DemoStart, DemoStartVectorEnv, SimulatorEnv, StartCache
from demo_curriculum.simulators import make_simulator
from demo_curriculum.simulators.playback import play_demo

GAME = "ALE/MontezumaRevenge-v5"


@pytest.fixture(scope="module")
def demo() -> Demo:
    return play_demo(make_simulator(GAME), np.arange(25).repeat(8).__mod__(18).tolist(), origin="script")


def make(demo: Demo, num_envs: int) -> DemoStartVectorEnv:
    cache = StartCache()

    def make_env() -> DemoStart:
        env = SimulatorEnv(make_simulator(GAME), sticky=0.25, stack=2, cache=cache)
        return DemoStart(env, [demo], lambda rng: Start(0, int(rng.integers(0, 200)), 200), tail=3.0)

    return DemoStartVectorEnv(make_env, num_envs)


def test_it_steps_as_each_environment_would_alone(demo: Demo) -> None:
    vector, alone = make(demo, 3), make(demo, 3)
    observations, _ = vector.reset(seed=11)
    singles, _ = alone.reset(seed=11)
    assert np.array_equal(observations, singles) and observations.shape == (3, 2, 128)
    rng = np.random.default_rng(0)
    ends = 0
    for _ in range(60):
        actions = rng.integers(18, size=3)
        observations, rewards, terminations, truncations, infos = vector.step(actions)
        outcomes = []
        for index, env in enumerate(alone.envs):
            observation, reward, terminated, truncated, info = env.step(actions[index])
            assert np.array_equal(infos["next_observations"][index], observation)
            assert (rewards[index], terminations[index], truncations[index]) == (reward, terminated, truncated)
            if terminated or truncated:
                outcomes.append(info["demo_start"])
                observation, _ = env.reset()
            assert np.array_equal(observations[index], observation), "after an end it is the next episode's first"
        assert infos["outcomes"] == outcomes and infos["valid"].all()
        ends += len(outcomes)
    assert ends > 5
    assert vector.frames == alone.frames


def test_environments_differ_and_seeds_repeat(demo: Demo) -> None:
    first, _ = make(demo, 4).reset(seed=1)
    again, _ = make(demo, 4).reset(seed=1)
    other, _ = make(demo, 4).reset(seed=2)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert len({row.tobytes() for row in first}) > 1


def test_a_saved_vector_continues_as_the_original(demo: Demo) -> None:
    original = make(demo, 3)
    original.reset(seed=4)
    rng = np.random.default_rng(1)
    for _ in range(20):
        original.step(rng.integers(18, size=3))
    copy = make(demo, 3)
    copy.reset(seed=5)
    copy.load_state_dict(original.state_dict())
    for _ in range(60):
        actions = rng.integers(18, size=3)
        mine, theirs = original.step(actions), copy.step(actions)
        for left, right in zip(mine[:4], theirs[:4], strict=True):
            assert np.array_equal(left, right)
        assert mine[4]["outcomes"] == theirs[4]["outcomes"]
    assert original.frames == copy.frames
