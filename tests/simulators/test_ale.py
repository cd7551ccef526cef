"""What Atari simulators do to be fast must not be seen."""

import numpy as np
import pytest

from demo_curriculum.simulators.ale import AleSimulator

GAME = "ALE/MontezumaRevenge-v5"


def seen(simulator: AleSimulator) -> tuple[object, ...]:
    """All that can be asked of a simulator."""
    return (
        simulator.observe().tobytes(),
        simulator.lives,
        simulator.game_over,
        simulator.fingerprint(),
        simulator.save(),
        simulator.render().tobytes(),
    )


@pytest.mark.parametrize("observation", ["ram", "pixels"])
@pytest.mark.parametrize("env_id", [GAME, "ALE/Qbert-v5"])
@pytest.mark.parametrize("frames", [1, 3, 4])
def test_every_game_begins_as_the_first_one(env_id: str, observation: str, frames: int) -> None:
    used = AleSimulator(env_id, observation=observation)  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    for first in (0, 1, 1, 0):
        # Nobody has played on this one, so that it is reset in earnest.
        fresh = AleSimulator(env_id, observation=observation)  # type: ignore[arg-type]
        used.reset()
        assert (used.lives, used.game_over) == (fresh.lives, fresh.game_over)
        assert np.array_equal(used.observe(), fresh.observe())
        for actions in ([first] * frames, *rng.integers(2, 6, size=(4, 4)).tolist()):
            assert used.play(actions) == fresh.play(actions)
            assert np.array_equal(used.observe(), fresh.observe())
        assert seen(used) == seen(fresh)


@pytest.mark.parametrize("observation", ["ram", "pixels"])
def test_a_game_that_was_reset_can_be_looked_at_and_left_before_it_is_played(observation: str) -> None:
    fresh, used = (AleSimulator(GAME, observation=observation) for _ in range(2))  # type: ignore[arg-type]
    used.play([2] * 40)
    state = used.save()
    used.restore(state)
    used.reset()
    assert seen(used) == seen(fresh)
    used.reset()
    used.restore(state)
    assert used.save() == state and not used.game_over


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_after_a_restore_nothing_is_seen_of_what_was_before(frames: int) -> None:
    simulator = AleSimulator(GAME, observation="pixels")
    simulator.play([3] * 30)
    state = simulator.save()
    pictures = set()
    for before in ([5] * 60, [4] * 7, []):
        simulator.play(before)
        simulator.restore(state)
        rendered = simulator.render().tobytes()
        observed = simulator.observe().tobytes()
        simulator.play([4] * 25)
        simulator.restore(state)
        simulator.play([2] * frames)
        pictures.add((rendered, observed, simulator.observe().tobytes(), simulator.save()))
    assert len(pictures) == 1


@pytest.mark.parametrize("size", [(84, 84), (105, 80), (210, 160), (11, 7)])
def test_pixels_are_means_over_the_area_they_cover(size: tuple[int, int]) -> None:
    simulator = AleSimulator(GAME, size=size)
    screen = np.random.default_rng(1).integers(256, size=(210, 160)).astype(np.uint8)
    # So many copies of each pixel that target pixels are whole blocks of them.
    copies = screen.repeat(size[0], axis=0).repeat(size[1], axis=1).astype(np.float64)
    means = copies.reshape(size[0], 210, size[1], 160).mean(axis=(1, 3))
    resized = simulator._resize(screen)
    assert resized.shape == size and resized.dtype == np.uint8
    assert np.abs(resized - means).max() <= 0.5 + 1e-3


def test_games_with_taller_screens_can_be_seen_too() -> None:
    simulator = AleSimulator("ALE/AirRaid-v5", observation="pixels")
    simulator.play([1] * 60)
    assert simulator.render().shape == (250, 160, 3)
    assert simulator.observe().shape == (84, 84) and simulator.observe().std() > 0
