import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from demo_curriculum.moments import EXACT_BYTES, ReturnScale, RunningMoments, Sample


@given(st.lists(st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=8), min_size=1, max_size=5))
def test_batches_merge_to_the_moments_of_everything(batches: list[list[float]]) -> None:
    moments = RunningMoments((2,))
    for batch in batches:
        moments.update(torch.tensor([[value, -2 * value] for value in batch]))
    everything = np.concatenate(batches)
    assert moments.mean.tolist() == pytest.approx([everything.mean(), -2 * everything.mean()], abs=1e-3)
    expected = max(everything.std(), 1e-4), max(2 * everything.std(), 1e-4)
    assert moments.std.tolist() == pytest.approx(expected, rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("rows", [0, 1, 255, 256, 257, 1000])
def test_sums_of_bytes_are_exact(rows: int) -> None:
    """The brightest bytes have the largest squares."""
    batch = torch.randint(230, 256, (rows, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(rows))
    number, mean, squares = Sample.of(batch)
    whole = Sample.of(batch.double())
    assert int(number) == rows
    assert torch.equal(mean, whole.mean)
    torch.testing.assert_close(squares, whole.squares, rtol=1e-12, atol=1e-6)
    assert EXACT_BYTES * 255**2 < 2**24, "f32 holds whole numbers up to there"


def test_whitening_by_hand_and_without_learning() -> None:
    moments = RunningMoments((1,), clip=2.0, least_std=0.5)
    moments.update(torch.tensor([[1.0], [5.0]]))
    assert moments(torch.tensor([[3.0], [5.0], [100.0]])).tolist() == [[0.0], [1.0], [2.0]]
    assert int(moments.count) == 2
    constant = RunningMoments((1,), least_std=0.5)
    constant.update(torch.full((9, 1), 7))
    assert constant(torch.tensor([[8]], dtype=torch.uint8)).tolist() == [[2.0]]


def test_what_is_not_seen_is_left_out() -> None:
    seen = torch.tensor([0, 2])
    moments = RunningMoments((3,), clip=2.0, least_std=0.5, seen=seen)
    batch = torch.tensor([[1.0, 9.0, 5.0], [5.0, -9.0, 5.0]])
    assert moments.select(batch).tolist() == [[1.0, 5.0], [5.0, 5.0]]
    assert moments.select(batch[:, None]).shape == (2, 1, 2)
    moments.update(batch)
    assert (moments.mean.tolist(), moments.std.tolist()) == ([3.0, 5.0], [2.0, 0.5])
    assert moments(batch).tolist() == [[-1.0, 0.0], [1.0, 0.0]]
    other = RunningMoments((3,), clip=2.0, least_std=0.5, seen=seen)
    other.load_state_dict(moments.state_dict())
    assert other(batch).tolist() == [[-1.0, 0.0], [1.0, 0.0]]


def test_statistics_travel_with_the_state() -> None:
    first, second = RunningMoments((3,)), RunningMoments((3,))
    first.update(torch.randn(10, 3))
    second.load_state_dict(first.state_dict())
    batch = torch.randn(4, 3)
    assert torch.equal(first(batch), second(batch))


def test_returns_run_along_time_for_each_environment_and_are_never_reset() -> None:
    scale = ReturnScale(2, gamma=0.5)
    scale.update(torch.tensor([[1.0, 0.0], [1.0, 4.0], [0.0, 0.0]]))
    assert scale.running.tolist() == [0.75, 2.0]
    # Along time: 1, 1.5, .75 and 0, 4, 2.
    expected = np.array([1, 1.5, 0.75, 0, 4, 2]).std()
    assert scale(torch.tensor([3.0])).item() == pytest.approx(3.0 / expected)
    scale.update(torch.tensor([[0.25, 0.0]]))
    assert scale.running.tolist() == [0.625, 1.0]
