import pytest
import torch

from demo_curriculum.rnd import RandomNetworkDistillation


def shapes(module: torch.nn.Module) -> list[tuple[int, ...]]:
    return [tuple(parameter.shape) for parameter in module.parameters() if parameter.dim() > 1]


def test_the_vector_variant_has_the_networks_of_its_description() -> None:
    rnd = RandomNetworkDistillation((128,))
    assert shapes(rnd.target) == shapes(rnd.predictor) == [(256, 128), (256, 256), (256, 256), (2, 256)]


def test_the_pixel_networks_are_as_published() -> None:
    rnd = RandomNetworkDistillation((84, 84))
    convolutions = [(32, 1, 8, 8), (64, 32, 4, 4), (64, 64, 3, 3), (512, 64 * 7 * 7)]
    assert shapes(rnd.target) == convolutions
    assert shapes(rnd.predictor) == [*convolutions, (512, 512), (512, 512)]


def test_bonus_of_vectors_is_the_clamped_sum_of_squares_and_of_pixels_the_mean() -> None:
    for shape in ((6,), (84, 84)):
        rnd = RandomNetworkDistillation(shape)
        batch = torch.rand(5, *shape)
        whitened = rnd.moments(batch) if len(shape) == 1 else rnd.moments(batch).unsqueeze(1)
        squares = (rnd.predictor(whitened) - rnd.target(whitened)) ** 2
        expected = squares.sum(dim=1).clamp(-1, 1) if len(shape) == 1 else squares.mean(dim=1)
        assert torch.allclose(rnd.bonus(batch), expected)
    with torch.no_grad():
        rnd = RandomNetworkDistillation((6,))
        for parameter in rnd.predictor.parameters():
            parameter.mul_(50)
    assert rnd.bonus(torch.rand(3, 6) * 5).tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("shape", [(16,), (84, 84)])
def test_what_was_learned_pays_less_than_what_was_not(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    rnd = RandomNetworkDistillation(shape)
    known, new = torch.randn(32, *shape), torch.randn(32, *shape) + 2
    rnd.moments.update(torch.cat([known, new]))
    before = rnd.bonus(known).mean(), rnd.bonus(new).mean()
    target = [parameter.clone() for parameter in rnd.target.parameters()]
    optimizer = torch.optim.Adam(rnd.predictor.parameters(), lr=1e-3)
    for _ in range(60):
        optimizer.zero_grad()
        rnd.loss(known).backward()
        optimizer.step()
    assert rnd.bonus(known).mean() < 0.2 * before[0]
    assert rnd.bonus(new).mean() > 2 * rnd.bonus(known).mean()
    assert all(torch.equal(old, new) for old, new in zip(target, rnd.target.parameters(), strict=True))


def test_paying_a_bonus_learns_nothing() -> None:
    rnd = RandomNetworkDistillation((8,))
    before = {name: value.clone() for name, value in rnd.state_dict().items()}
    rnd.bonus(torch.rand(10, 8))
    rnd.loss(torch.rand(10, 8)).backward()
    assert all(torch.equal(value, rnd.state_dict()[name]) for name, value in before.items())
    assert all(parameter.grad is None for parameter in rnd.target.parameters())


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="expected"):
        RandomNetworkDistillation((3, 84, 84))
