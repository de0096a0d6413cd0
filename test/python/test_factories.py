"""Tensors from numbers: ranges, matrices, random numbers."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from torch_hpu import debug, metrics

FACTORIES: dict[str, Callable[[str], torch.Tensor]] = {
    "arange": lambda d: torch.arange(5, device=d),
    "arange_none": lambda d: torch.arange(0, device=d),
    "arange_step": lambda d: torch.arange(1, 3.5, 0.3, device=d),
    "arange_down": lambda d: torch.arange(10, -3, -3, device=d, dtype=torch.int32),
    "arange_double": lambda d: torch.arange(0, 1, 0.1, device=d, dtype=torch.float64),
    "arange_half": lambda d: torch.arange(0, 40, 0.5, device=d, dtype=torch.bfloat16),
    "arange_out": lambda d: torch.arange(6, out=torch.empty(2, 3, device=d, dtype=torch.int64)),
    "arange_strided": lambda d: torch.arange(4, out=torch.zeros(8, device=d)[::2]),
    "arange_large": lambda d: torch.arange(2**40, 2**40 + 5, device=d),
    "range": lambda d: torch.range(0, 3, 0.5, device=d),
    "linspace": lambda d: torch.linspace(-2, 1, 7, device=d),
    "linspace_one": lambda d: torch.linspace(-2, 1, 1, device=d),
    "linspace_int": lambda d: torch.linspace(0, 10, 7, device=d, dtype=torch.int64),
    "linspace_double": lambda d: torch.linspace(0, 1, 1001, device=d, dtype=torch.float64),
    "logspace": lambda d: torch.logspace(0, 2, 5, device=d),
    "logspace_base": lambda d: torch.logspace(-1, 3, 9, base=2, device=d, dtype=torch.float64),
    "eye": lambda d: torch.eye(4, device=d),
    "eye_wide": lambda d: torch.eye(4, 6, device=d, dtype=torch.int64),
    "eye_bool": lambda d: torch.eye(5, 3, device=d, dtype=torch.bool),
    "full": lambda d: torch.full((2, 3), 2.5, device=d),
    "full_bool": lambda d: torch.full((2, 3), True, device=d),
    "zeros_like": lambda d: torch.zeros_like(torch.ones(3, 4, device=d).t()),
    "ones_like": lambda d: torch.ones_like(torch.ones(3, device=d), dtype=torch.int64),
    "new_full": lambda d: torch.ones(3, device=d).new_full((2, 2), 3),
    "tensor": lambda d: torch.tensor([[1, 2], [3, 4]], device=d),
    "window": lambda d: torch.hann_window(8, device=d),
    "kaiser": lambda d: torch.kaiser_window(9, device=d),
    "kaiser_beta": lambda d: torch.kaiser_window(16, periodic=False, beta=5.5, device=d, dtype=torch.float64),
    "kaiser_one": lambda d: torch.kaiser_window(1, device=d),
    "blackman": lambda d: torch.blackman_window(7, periodic=False, device=d),
    "hamming": lambda d: torch.hamming_window(6, device=d),
    "bartlett": lambda d: torch.bartlett_window(6, device=d),
    **{
        f"{name}_{rows}_{cols}_{offset}": lambda d, n=name, r=rows, c=cols, o=offset: getattr(torch, n)(r, c, o, device=d)
        for name in ("tril_indices", "triu_indices")
        for rows, cols in ((4, 4), (3, 7), (7, 3), (1, 1), (150, 170))
        for offset in (0, 1, -1, 2, -2, 5, -5)
    },
}


def fallbacks() -> dict[str, int]:
    return {f"{c}:{op}": n for c in ("extern_calls", "breaking_calls", "infer_calls") for op, n in metrics.details(c).items()}


@pytest.mark.parametrize("name", FACTORIES)
def test_factory(name: str) -> None:
    before = fallbacks()
    ours, native = FACTORIES[name]("hpu"), FACTORIES[name]("cpu")
    torch.hpu.synchronize()
    assert fallbacks() == before
    assert ours.dtype == native.dtype
    assert ours.stride() == native.stride()
    if native.dtype.is_floating_point:
        half = native.dtype == torch.bfloat16
        torch.testing.assert_close(ours.cpu(), native, rtol=1e-2 if half else 1e-6, atol=1e-2 if half else 1e-6)
    else:
        assert torch.equal(ours.cpu(), native)


@pytest.mark.parametrize("call", [
    lambda: torch.arange(0, 5, -1, device="hpu"),
    lambda: torch.arange(0, 5, 0, device="hpu"),
    lambda: torch.linspace(0, 1, -1, device="hpu"),
    lambda: torch.eye(-1, device="hpu"),
    lambda: torch.randperm(-1, device="hpu"),
    lambda: torch.multinomial(torch.ones(3, device="hpu"), 4),
])  # fmt: skip
def test_bad_numbers_fail_at_the_call(call) -> None:
    with pytest.raises((RuntimeError, ValueError)):
        call()
    assert torch.arange(3, device="hpu").tolist() == [0, 1, 2]


def test_a_moving_range_recompiles_nothing(counters) -> None:
    x = torch.rand(4, device="hpu")
    for start in range(5):
        y = x * torch.arange(start, start + 4, device="hpu")
        torch.hpu.mark_step()
        moved = counters()
        assert torch.equal(y.cpu(), x.cpu() * torch.arange(start, start + 4))
        counters()
    assert moved["compilations"] == 0
    assert moved["kernels"] == 1


def test_a_range_can_be_captured() -> None:
    graph = torch.hpu.HPUGraph()
    x = torch.zeros(5, device="hpu")
    with torch.hpu.graph(graph):
        y = x + torch.arange(5, device="hpu")
    x.fill_(3)
    graph.replay()
    assert y.tolist() == [3, 4, 5, 6, 7]


# name: draw, mean, standard deviation
RANDOM: dict[str, tuple[Callable[[torch.Tensor], torch.Tensor], float, float]] = {
    "exponential": (lambda x: x.exponential_(2.0), 0.5, 0.5),
    "geometric": (lambda x: x.geometric_(0.3), 1 / 0.3, math.sqrt(0.7) / 0.3),
    "log_normal": (lambda x: x.log_normal_(0.1, 0.4), math.exp(0.18), math.exp(0.18) * math.sqrt(math.exp(0.16) - 1)),
    "cauchy": (lambda x: (x.cauchy_(1.0, 2.0) - 1).div(2).atan(), 0.0, math.pi / math.sqrt(12)),
    "random": (lambda x: x.random_() / 2 ** (53 if x.dtype == torch.float64 else 24), 0.5, 12**-0.5),
    "random_to": (lambda x: x.random_(7), 3.0, 2.0),
    "random_from": (lambda x: x.random_(-3, 4), 0.0, 2.0),
    "randint": (lambda x: torch.randint(0, 10, x.shape, device=x.device).to(x.dtype), 4.5, 8.25**0.5),
    "bernoulli_tensor": (lambda x: x.bernoulli_(torch.full_like(x, 0.3)), 0.3, 0.21**0.5),
    "normal_tensors": (lambda x: torch.normal(x + 1, torch.full_like(x, 2.0)), 1.0, 2.0),
    "normal_mean": (lambda x: torch.normal(x + 1, 2.0), 1.0, 2.0),
    "normal_deviation": (lambda x: torch.normal(1.0, torch.full_like(x, 2.0)), 1.0, 2.0),
    "poisson": (lambda x: torch.poisson(x + 3), 3.0, 3**0.5),
    "binomial": (lambda x: torch.binomial(x + 10, torch.full_like(x, 0.3)), 3.0, 2.1**0.5),
    "gumbel": (lambda x: -torch.empty_like(x).exponential_().log(), 0.5772, math.pi / math.sqrt(6)),
}
EXTERN = ("poisson", "binomial")


@pytest.mark.parametrize("name", RANDOM)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_random(name: str, dtype: torch.dtype) -> None:
    """Moments; the same numbers after the same seed in every tier, other ones on the next call."""
    function, mean, deviation = RANDOM[name]

    def draw(tier: str) -> torch.Tensor:
        with debug.option("tier", tier):
            result = function(torch.zeros(200, 250, dtype=dtype, device="hpu")).cpu()
        return result

    before = fallbacks()
    torch.manual_seed(11)
    first, second = draw("compiled"), draw("compiled")
    assert fallbacks() == before or name in EXTERN
    torch.manual_seed(11)
    torch.testing.assert_close(draw("generic"), first, rtol=1e-5, atol=5e-6)
    assert not torch.equal(first, second)
    for sample in (first, second):
        assert sample.dtype == dtype
        assert abs(sample.double().mean().item() - mean) < 5 * deviation / 50000**0.5 + 1e-3
        assert abs(sample.double().std().item() / deviation - 1) < 0.04


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.bool])
def test_random_integers(dtype: torch.dtype) -> None:
    x = torch.empty(20000, dtype=dtype, device="hpu").random_().cpu()
    assert x.double().std() > 0
    assert x.min() >= 0
    y = torch.randint(0, 2, (20000,), dtype=dtype, device="hpu").cpu()
    assert abs(y.double().mean() - 0.5) < 0.02
    assert set(y.unique().tolist()) == {0, 1}


def test_permutation() -> None:
    before = metrics.details("breaking_calls")
    torch.manual_seed(2)
    first, second = torch.randperm(1000, device="hpu"), torch.randperm(1000, device="hpu")
    torch.manual_seed(2)
    assert torch.equal(torch.randperm(1000, device="hpu").cpu(), first.cpu())
    assert not torch.equal(first.cpu(), second.cpu())
    assert torch.equal(first.cpu().sort().values, torch.arange(1000))
    assert torch.randperm(5, device="hpu", dtype=torch.int32).dtype == torch.int32
    generator = torch.Generator("hpu").manual_seed(7)
    assert torch.equal(torch.randperm(9, generator=generator, device="hpu").cpu(), torch.randperm(9, generator=torch.Generator("hpu").manual_seed(7), device="hpu").cpu())  # fmt: skip
    assert metrics.details("breaking_calls") == before


def test_multinomial() -> None:
    before = metrics.details("breaking_calls")
    weights = torch.tensor([[1.0, 2.0, 0.0, 5.0], [0.0, 0.0, 3.0, 1.0]])
    torch.manual_seed(2)
    draws = torch.multinomial(weights.to("hpu"), 20000, replacement=True).cpu()
    for row, w in zip(draws, weights, strict=True):
        torch.testing.assert_close(torch.bincount(row, minlength=4) / 20000, w / w.sum(), atol=0.02, rtol=0)
    without = torch.multinomial(weights[0].to("hpu").expand(500, 4), 3).cpu()
    assert all(set(row.tolist()) == {0, 1, 3} for row in without)
    assert metrics.details("breaking_calls") == before
    with pytest.raises(RuntimeError, match="multinomial"):
        torch.multinomial(-weights.to("hpu"), 1).cpu()


def test_dropouts() -> None:
    x = torch.ones(64, 32, 4, 4, device="hpu")
    for dropped in (F.dropout(x, 0.4), F.dropout2d(x, 0.4)):
        kept = dropped.cpu()
        assert kept.unique().tolist() == pytest.approx([0.0, 1 / 0.6])
        assert abs(kept.mean() - 1) < 0.1
    maps = F.dropout2d(x, 0.4).cpu().flatten(2)
    assert torch.equal(maps.amax(2), maps.amin(2))
    assert abs(F.alpha_dropout(torch.randn(100, 100, device="hpu"), 0.3, True).cpu().mean()) < 0.05
