import numpy as np

from demo_curriculum.demo import Start
from demo_curriculum.envs.arrivals import CAPACITY, Arrival, Arrivals


def arrival(number: int) -> Arrival:
    return Arrival(bytes([number]), np.zeros(1), number, 5)


def test_the_latest_at_each_start_are_kept_and_outdated_goals_dropped() -> None:
    arrivals, rng = Arrivals(), np.random.default_rng(0)
    for number in range(CAPACITY + 3):
        arrivals.add(Start(0, 5, 20), arrival(number))
    drawn = {there.previous_action for _ in range(200) if (there := arrivals.draw(Start(0, 5, 20), rng))}
    assert drawn == set(range(3, CAPACITY + 3))
    arrivals.add(Start(0, 9, 20), arrival(1))
    # Segments became one: the start at 5 is now judged at 40.
    arrivals.add(Start(0, 5, 40), arrival(2))
    assert arrivals.draw(Start(0, 5, 20), rng) is None
    assert arrivals.draw(Start(0, 9, 20), rng) is not None and arrivals.draw(Start(0, 5, 40), rng) is not None
