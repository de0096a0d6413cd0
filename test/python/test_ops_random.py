"""Random ops: moments, seeds, dropout."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

RANDOM: dict[str, tuple[Callable[[torch.Tensor], torch.Tensor], float, float]] = {
    # name: function, mean, standard deviation
    "rand": (torch.rand_like, 0.5, 12**-0.5),
    "uniform_": (lambda x: x.uniform_(-1, 3), 1.0, 4 * 12**-0.5),
    "randn": (torch.randn_like, 0.0, 1.0),
    "normal_": (lambda x: x.normal_(2, 3), 2.0, 3.0),
    "bernoulli_": (lambda x: x.bernoulli_(0.3), 0.3, 0.21**0.5),
    "bernoulli": (lambda x: torch.bernoulli(torch.full_like(x, 0.3)), 0.3, 0.21**0.5),
    "dropout": (lambda x: F.dropout(torch.ones_like(x), 0.2), 1.0, 0.25**0.5),
    "exponential_": (lambda x: x.exponential_(2.0), 0.5, 0.5),
    "randint": (lambda x: torch.randint(0, 10, x.shape, device=x.device).to(x.dtype), 4.5, 8.25**0.5),
}


@pytest.mark.parametrize("name", RANDOM)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_random(name: str, dtype: torch.dtype) -> None:
    """Moments; the same numbers after the same seed, other ones on the next call."""
    function, mean, deviation = RANDOM[name]

    def draw() -> torch.Tensor:
        return function(torch.zeros(200, 250, dtype=dtype, device="hpu")).cpu()

    torch.manual_seed(11)
    first, second = draw(), draw()
    torch.manual_seed(11)
    assert torch.equal(first, draw())
    assert not torch.equal(first, second)
    for sample in (first, second):
        assert sample.dtype == dtype
        assert abs(sample.double().mean().item() - mean) < 5 * deviation / 50000**0.5
        assert abs(sample.double().std().item() / deviation - 1) < 0.03
    rows = (first - first.double().mean()).double()
    assert (rows[:-1] * rows[1:]).mean().abs().item() < 0.03 * deviation**2, "neighbouring rows are correlated"


def test_dropout_gradient_uses_its_mask() -> None:
    x = torch.ones(64, 64, device="hpu", requires_grad=True)
    y = F.dropout(x, 0.4)
    y.sum().backward()
    assert torch.equal(y.detach().cpu(), x.grad.cpu())
    for p in (0.0, 1.0):
        assert torch.equal(F.dropout(x, p).detach().cpu(), torch.full((64, 64), 1.0 - p))
    assert F.dropout(x, 0.5, training=False) is x or torch.equal(F.dropout(x, 0.5, training=False).cpu(), x.cpu())


def test_rrelu_gradient_uses_its_slopes() -> None:
    x = torch.randn(64, 64, device="hpu", requires_grad=True)
    y = F.rrelu(x, 0.1, 0.3, training=True)
    y.sum().backward()
    slope = (y / x).detach().cpu()
    torch.testing.assert_close(x.grad.cpu(), slope)
    negative = slope[x.detach().cpu() < 0]
    assert negative.min() >= 0.1 and negative.max() <= 0.3 and negative.std() > 0.05
    assert (slope[x.detach().cpu() > 0] == 1).all()
