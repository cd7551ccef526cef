import numpy as np

from demo_curriculum.envs.arrivals import CAPACITY, Arrival, Arrivals


def arrival(number: int) -> Arrival:
    return Arrival(bytes([number]), np.zeros(1), number, 5)


def test_the_latest_at_each_step_are_kept() -> None:
    arrivals, rng = Arrivals(), np.random.default_rng(0)
    for number in range(CAPACITY + 3):
        arrivals.add(0, 5, arrival(number))
    drawn = {there.previous_action for _ in range(200) if (there := arrivals.draw(0, 5, rng))}
    assert drawn == set(range(3, CAPACITY + 3))
    arrivals.add(1, 5, arrival(9))
    assert arrivals.draw(1, 5, rng) == arrivals.draw(1, 5, rng) and arrivals.draw(0, 9, rng) is None
    resumed = Arrivals()
    resumed.load_state_dict(arrivals.state_dict())
    there = resumed.draw(1, 5, rng)
    assert there is not None and there.previous_action == 9
