import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from demo_curriculum.envs import SimulatorEnv
from demo_curriculum.simulators import Simulator, make_simulator
from demo_curriculum.training.evaluate import PROTOCOLS, Evaluation, Protocol, evaluate
from demo_curriculum.training.policy import Policy


def evaluation(scores: list[float]) -> Evaluation:
    return Evaluation(np.array(scores), np.ones(len(scores), np.int64), 1)


def test_interquartile_mean_by_hand() -> None:
    assert evaluation([100.0, 1.0, 3.0, 0.0]).iqm == 2.0
    # Of five scores the middle 2.5 count: the third whole, the second and fourth three quarters each.
    assert evaluation([0.0, 1.0, 2.0, 4.0, 99.0]).iqm == pytest.approx((0.75 * 1 + 2 + 0.75 * 4) / 2.5)
    assert evaluation([7.0]).iqm == 7.0


def test_in_numbers() -> None:
    record = evaluation([100.0, 1.0, 3.0, 0.0]).record(3.0)
    assert record == {"episodes": 4, "mean": 26.0, "iqm": 2.0, "ties": 0.5, "best": 100.0}


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40))
def test_interquartile_mean_lies_among_the_scores(scores: list[float]) -> None:
    assert min(scores) - 1e-6 <= evaluation(scores).iqm <= max(scores) + 1e-6


def test_ties_count_equal_scores() -> None:
    assert evaluation([100.0, 99.0, 300.0, 0.0]).ties(100.0) == 0.5


def test_the_four_protocols() -> None:
    assert {
        "deterministic": Protocol(0.0, 0, 0.0),
        "noop": Protocol(0.0, 30, 0.0),
        "sticky": Protocol(0.25, 0, 0.0),
        "epsilon": Protocol(0.0, 0, 0.01),
    } == PROTOCOLS


class Keyring(Policy):
    """Knows the chain's keys by heart."""

    def __init__(self, keys: np.ndarray, sureness: float = 100.0) -> None:
        super().__init__((1, len(keys) + 1), 4, hidden=4)
        self.keys, self.sureness = torch.from_numpy(keys), sureness
        self.actor = torch.nn.Identity()

    def _features(
        self, observations: torch.Tensor, hidden: torch.Tensor, begins: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        chosen = self.keys[observations[:, -1].float().argmax(dim=1).clamp_max(len(self.keys) - 1)]
        return torch.nn.functional.one_hot(chosen, 4) * self.sureness, hidden


def play(
    protocol: Protocol,
    episodes: int,
    max_steps: int = 1000,
    length: int = 20,
    sureness: float = 100.0,
    temperature: float = 1.0,
) -> Evaluation:
    def make() -> Simulator:
        return make_simulator(f"LockedChain-{length}")

    keys = make().keys  # type: ignore[attr-defined]
    return evaluate(
        Keyring(keys, sureness),
        lambda protocol: SimulatorEnv(make(), frame_skip=1, sticky=protocol.sticky, noop_max=protocol.noop_max),
        protocol=protocol,
        episodes=episodes,
        max_steps=max_steps,
        seed=0,
        temperature=temperature,
    )


def test_a_perfect_policy_wins_every_episode_and_its_frames_are_counted() -> None:
    result = play(Protocol(), 37)
    assert result.scores.tolist() == [1.0] * 37 and result.lengths.tolist() == [20] * 37
    assert result.frames == 37 * 20


def test_the_step_limit_cuts_episodes() -> None:
    result = play(Protocol(), 3, max_steps=7)
    assert result.scores.tolist() == [0.0] * 3 and result.lengths.tolist() == [7] * 3


@pytest.mark.parametrize(
    ("protocol", "chance"),
    [
        # A random action is wrong in three of four.
        (Protocol(epsilon=0.1), (1 - 0.1 * 0.75) ** 20),
        # A repeated action is wrong where the door before had another key, or is action 0 at the first door.
        (Protocol(sticky=0.1), None),
    ],
)
def test_noise_costs_what_it_should(protocol: Protocol, chance: float | None) -> None:
    if chance is None:
        keys = make_simulator("LockedChain-20").keys  # type: ignore[attr-defined]
        previous = np.concatenate([[0], keys[:-1]])
        chance = 0.9 ** int((keys != previous).sum())
    assert play(protocol, 1500).mean == pytest.approx(chance, abs=0.04)


@pytest.mark.parametrize("temperature", [1.0, 0.5, 2.0])
def test_the_temperature_divides_the_logits(temperature: float) -> None:
    # The right key weighs 27 to 1 for each of three others, 729 to 1 at half the temperature, 5.2 to 1 at twice.
    chance = {1.0: 27 / 30, 0.5: 729 / 732, 2.0: 27**0.5 / (27**0.5 + 3)}[temperature]
    result = play(Protocol(), 1500, length=5, sureness=float(np.log(27)), temperature=temperature)
    assert result.mean == pytest.approx(chance**5, abs=0.04)
