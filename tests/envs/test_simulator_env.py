import numpy as np
import pytest

from demo_curriculum.demo import Demo
from demo_curriculum.envs import SimulatorEnv, StartCache
from demo_curriculum.simulators import make_simulator
from demo_curriculum.simulators.playback import play_demo

GAME = "ALE/MontezumaRevenge-v5"


@pytest.fixture(scope="module", params=["ram", "pixels"])
def observation(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def demo(observation: str) -> Demo:
    actions = np.random.default_rng(7).integers(18, size=60).repeat(4).tolist()
    return play_demo(make_simulator(GAME, observation=observation), actions, origin="script")


def make_env(observation: str, **kwargs: object) -> SimulatorEnv:
    return SimulatorEnv(make_simulator(GAME, observation=observation), stack=4, **kwargs)  # type: ignore[arg-type]


def test_a_start_shows_what_passing_through_shows(observation: str, demo: Demo) -> None:
    passing = make_env(observation)
    seen = {0: passing.reset(seed=1)[0]}
    rewards = {}
    for step in range(0, len(demo), 4):
        seen[step + 4], rewards[step], *_ = passing.step(demo.actions[step])
    env = make_env(observation)
    env.reset(seed=2)
    for step in (4, 8, 100, 116, 204, 116, 8):
        assert np.array_equal(env.begin(demo, step), seen[step]), step
        for ahead in range(step, step + 24, 4):
            following, reward, *_ = env.step(demo.actions[ahead])
            assert np.array_equal(following, seen[ahead + 4]), (step, ahead)
            assert reward == rewards[ahead]


def test_starts_in_the_cache_continue_as_replayed_ones(observation: str, demo: Demo) -> None:
    cache = StartCache(capacity=2)
    env = make_env(observation, cache=cache)
    env.reset(seed=0)
    first = env.begin(demo, 150)
    replayed = env.frames
    assert replayed == 50, "from the snapshot at 100"
    following = [env.step(3)[0] for _ in range(5)]
    assert np.array_equal(env.begin(demo, 150), first)
    assert env.frames == replayed + 20, "a cached start plays nothing"
    assert all(np.array_equal(env.step(3)[0], expected) for expected in following)
    env.begin(demo, 10)
    env.begin(demo, 20)
    assert (0, 150) not in cache


def test_sticky_actions_repeat_with_the_given_probability() -> None:
    class Counting:
        """Passes everything on, and keeps what was played."""

        def __init__(self) -> None:
            self.inner = make_simulator("LockedChain-9999")
            self.played: list[int] = []

        def __getattr__(self, name: str) -> object:
            return getattr(self.inner, name)

        def play(self, actions: list[int]) -> float:
            self.played += actions
            return 0.0

    simulator = Counting()
    env = SimulatorEnv(simulator, sticky=0.25, frame_skip=4)  # type: ignore[arg-type]
    env.reset(seed=3)
    for index in range(5000):
        env.step(index % 2)
    blocks = np.array(simulator.played).reshape(-1, 4)
    fresh = blocks == np.arange(5000)[:, None] % 2
    # The first frame of a block keeps the old action unless a draw brings the new one: P(new) = 3/4, 15/16, …
    np.testing.assert_allclose(fresh[1:].mean(axis=0), [1 - 0.25**k for k in range(1, 5)], atol=0.02)
    assert (np.diff(fresh.astype(int), axis=1) >= 0).all(), "once taken, an action stays for its block"


def test_no_op_starts_vary_and_stay_within_their_bound() -> None:
    env = make_env("ram", noop_max=30)
    counts = set()
    for seed in range(40):
        before = env.frames
        env.reset(seed=seed)
        counts.add(env.frames - before)
    assert 0 <= min(counts) <= 5 and 25 <= max(counts) <= 30 and len(counts) > 10


@pytest.mark.parametrize("untouched", [True, False])
def test_a_saved_environment_continues_as_the_original(observation: str, untouched: bool) -> None:
    original = make_env(observation, sticky=0.25)
    original.reset(seed=5)
    if not untouched:
        for action in (2, 3, 4, 1):
            original.step(action)
    copy = make_env(observation, sticky=0.25)
    copy.reset(seed=99)
    copy.step(1)
    copy.load_state_dict(original.state_dict())
    for action in np.random.default_rng(0).integers(18, size=50):
        mine, theirs = original.step(action), copy.step(action)
        assert np.array_equal(mine[0], theirs[0]) and mine[1:3] == theirs[1:3]
    assert original.frames == copy.frames


def test_known_starts_are_not_counted_twice_after_a_resume(demo: Demo, observation: str) -> None:
    cache = StartCache()
    env = make_env(observation, cache=cache)
    env.reset(seed=0)
    env.begin(demo, 150)
    resumed_cache = StartCache()
    resumed_cache.load_state_dict(cache.state_dict())
    resumed = make_env(observation, cache=resumed_cache)
    resumed.reset(seed=0)
    assert np.array_equal(resumed.begin(demo, 150), env.begin(demo, 150))
    assert resumed.frames == 0


def test_starts_outside_the_demo_are_refused(demo: Demo, observation: str) -> None:
    env = make_env(observation)
    for step in (-1, 0, len(demo) + 1):
        with pytest.raises(ValueError, match="not a start inside"):
            env.begin(demo, step)
