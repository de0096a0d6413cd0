"""Training loops that never mark a step and never read anything (csrc/lazy/repetition.h): no compilations and no growth in the long run."""

from __future__ import annotations

import os

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from torch_hpu import debug, metrics

STEPS = int(os.environ.get("TORCH_HPU_LOOP_STEPS", "600"))


def resident() -> int:
    """Bytes of the process in memory."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def train(net: nn.Module, steps: int, fresh_data: bool, seen: list[tuple[int, int]]) -> None:
    """A step without mark_step; notes (compilations, resident bytes) at every tenth of the way."""
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    data, labels = torch.randn(16, 32, device="hpu"), torch.randint(0, 10, (16,), device="hpu")
    for step in range(steps):
        if fresh_data:
            data, labels = torch.randn(16, 32).to("hpu"), torch.randint(0, 10, (16,)).to("hpu")
        optimizer.zero_grad()
        F.cross_entropy(net(data), labels).backward()
        optimizer.step()
        if step % (steps // 10) == 0:
            seen.append((metrics.snapshot()["compilations"], resident()))


@pytest.mark.parametrize("fresh_data", [False, True])
def test_a_loop_without_mark_step_reaches_a_steady_state(fresh_data):
    net = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)).to("hpu")
    torch.hpu.synchronize()
    seen: list[tuple[int, int]] = []
    causes = metrics.details("flushes")
    with debug.option("max_nodes", 1000):
        train(net, STEPS, fresh_data, seen)
        torch.hpu.synchronize()
    compilations, memory = zip(*seen)
    assert compilations[3] == compilations[-1], compilations
    assert memory[-1] <= memory[3] * 1.05, memory
    moved = {cause: n - causes.get(cause, 0) for cause, n in metrics.details("flushes").items()}
    assert moved["repetition"] > STEPS / 20 and moved.get("node limit", 0) <= 1, moved
    assert torch.isfinite(net[0].weight).all()


def test_the_cut_does_not_change_values():
    results = []
    for limit in (20000, 300):
        torch.manual_seed(5)
        net = nn.Sequential(nn.Linear(32, 24), nn.Tanh(), nn.Linear(24, 10)).to("hpu")
        with debug.option("max_nodes", limit):
            torch.manual_seed(6)
            train(net, 60, True, [])
            results.append(net[0].weight.cpu())
    torch.testing.assert_close(results[0], results[1], rtol=1e-4, atol=1e-6)


def test_equal_layers_are_no_loop(counters):
    """A deep network within one step is not cut, however equal its layers are."""
    layers = [nn.Linear(8, 8).to("hpu") for _ in range(60)]
    x = torch.randn(2, 8, device="hpu")
    with debug.option("max_nodes", 1600):
        for step in range(4):
            counters()
            y = x
            for layer in layers:
                y = torch.tanh(layer(y)) * 1.1 + y
            y.sum().backward()
            torch.hpu.mark_step()
            assert counters()["flushes"] == 1
