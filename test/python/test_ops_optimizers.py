"""Optimizers, fused, foreach and plain."""

from __future__ import annotations

from typing import Any

import pytest
import torch


@pytest.mark.parametrize("settings", [
    ("SGD", {"lr": 0.1}), ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}), ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "maximize": True}),
    ("Adam", {"lr": 0.02}), ("Adam", {"lr": 0.02, "weight_decay": 0.01, "amsgrad": True}), ("AdamW", {"lr": 0.02, "weight_decay": 0.1}),
    ("AdamW", {"lr": 0.02, "maximize": True, "amsgrad": True}),
], ids=lambda s: s[0] + "-" + "-".join(s[1]))  # fmt: skip
@pytest.mark.parametrize("variant", [{"fused": True}, {"foreach": True}, {"foreach": False}], ids=lambda v: str(v))
def test_optimizer(settings: tuple[str, dict[str, Any]], variant: dict[str, bool]) -> None:
    name, options = settings
    results = []
    for device in ("cpu", "hpu"):
        torch.manual_seed(3)
        start = [torch.randn(5, 7), torch.randn(3), torch.randn(2, 3, 4).permute(2, 0, 1)]
        parameters = [torch.nn.Parameter(p.clone().to(device)) for p in start]
        optimizer = getattr(torch.optim, name)(parameters, **options, **variant)
        for step in range(4):
            for p, s in zip(parameters, start):
                p.grad = (s * (step + 1)).to(device)
            optimizer.step()
        results.append([p.detach().cpu() for p in parameters])
    for ours, native in zip(results[1], results[0]):
        torch.testing.assert_close(ours, native, rtol=2e-5, atol=1e-5)
