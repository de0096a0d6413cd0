"""What the compiler makes of programs, seen by the counters."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


def test_equal_products_are_computed_once(counters):
    x, w = torch.randn(16, 16), torch.randn(16, 16)
    hx, hw = x.to("hpu"), w.to("hpu")
    counters()
    y = (hx @ hw).exp() + (hx @ hw).tanh()
    torch.testing.assert_close(y.cpu(), (x @ w).exp() + (x @ w).tanh())
    moved = counters()
    assert moved["library_calls"] == 1 and moved["kernels"] == 1


def test_a_write_between_equal_products_keeps_both(counters):
    x, w = torch.randn(16, 16), torch.randn(16, 16)
    hx, hw = x.to("hpu"), w.to("hpu")
    counters()
    results = []
    for a, b in ((hx, hw), (x, w)):
        first = a @ b
        b[3] = 0.5
        results.append((first, a @ b))
    torch.testing.assert_close([t.cpu() for t in results[0]], list(results[1]))
    assert counters()["library_calls"] == 2


def test_equal_random_numbers_are_not_one(counters):
    x = torch.ones(100, device="hpu")
    a, b = nn.functional.dropout(x, 0.5), nn.functional.dropout(x, 0.5)
    assert not torch.equal(a.cpu(), b.cpu())


def test_an_output_that_is_seen_twice_is_two_tensors():
    x = torch.randn(8, device="hpu")
    a, b = x.exp(), x.exp()
    a += 1
    torch.testing.assert_close(a.cpu(), b.cpu() + 1)


def test_a_checkpoint_is_computed_again(counters):
    """Also a small one, whose first results are hardly out of use when they are wanted again."""
    layer = nn.Linear(8, 8).to("hpu")
    x = torch.randn(4, 8, device="hpu", requires_grad=True)

    def products(save: bool) -> int:
        counters()
        y = checkpoint(lambda t: layer(t).tanh().sum(), x, use_reentrant=False) if save else layer(x).tanh().sum()
        torch.autograd.grad(y, [x])[0].cpu()
        return counters()["library_calls"]

    assert products(save=False) == 2
    assert products(save=True) == 3
