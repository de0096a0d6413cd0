"""Tests fix the tier, so that counters are deterministic and the code generator is what is tested."""

from __future__ import annotations

import contextlib
import os

os.environ.setdefault("TORCH_HPU_TIER", "compiled")

import pytest
import torch

import torch_hpu
from torch_hpu import debug, metrics

torch.set_num_threads(2)


@pytest.fixture(autouse=True)
def clean_device():
    torch.manual_seed(0)
    debug.set_option("tier", "compiled")
    yield
    with contextlib.suppress(Exception):
        torch.hpu.synchronize()


@pytest.fixture
def counters():
    """Call it to get what the counters moved since the last call."""

    class Delta:
        def __init__(self) -> None:
            self.last = metrics.snapshot()

        def __call__(self) -> dict[str, int]:
            torch.hpu.synchronize()
            now = metrics.snapshot()
            moved = {k: now[k] - self.last[k] for k in now}
            self.last = now
            return moved

    torch.hpu.synchronize()
    return Delta()


__all__ = ["torch_hpu"]
