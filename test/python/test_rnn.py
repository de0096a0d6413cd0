"""Recurrent nets: a step is its products and one kernel."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
def test_a_step_is_two_products_and_one_kernel(kind: type[nn.RNNBase], bias: bool, counters) -> None:
    cpu = kind(32, 64, bias=bias)
    hpu = copy.deepcopy(cpu).to("hpu")
    steps = 8
    x = torch.randn(steps, 4, 32)
    y = x.to("hpu")
    with torch.no_grad():
        counters()
        out = hpu(y)
        moved = counters()
        torch.testing.assert_close(out[0].cpu(), cpu(x)[0])
    assert (moved["extern_calls"], moved["breaking_calls"]) == (0, 0)
    assert moved["library_calls"] <= 2 * steps
    assert moved["kernels"] <= steps + 2  # the states to begin with, and the outputs side by side
