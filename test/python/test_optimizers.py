"""Every optimizer of torch, gradient clipping, gradient scaling and schedules: equal to the CPU, a few kernels per step, nothing recompiled."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from torch_hpu import metrics

SETTINGS: dict[str, list[dict[str, Any]]] = {
    "SGD": [{}, {"momentum": 0.9, "weight_decay": 0.1, "nesterov": True}, {"momentum": 0.9, "dampening": 0.1, "maximize": True}],
    "Adam": [{}, {"amsgrad": True, "weight_decay": 0.1}, {"maximize": True}],
    "AdamW": [{}, {"amsgrad": True}, {"maximize": True}],
    "NAdam": [{}, {"weight_decay": 0.1, "decoupled_weight_decay": True}],
    "RAdam": [{}, {"weight_decay": 0.1}],
    "Adagrad": [{}, {"lr_decay": 0.1, "weight_decay": 0.1}],
    "Adadelta": [{}, {"weight_decay": 0.1}],
    "Adamax": [{}, {"weight_decay": 0.1}],
    "RMSprop": [{}, {"centered": True, "momentum": 0.9}],
    "ASGD": [{}, {"weight_decay": 0.1}],
    "Rprop": [{}, {"etas": (0.4, 1.3)}],
    "Adafactor": [{}],
    "Muon": [{}],
}
CAPTURABLE = ("Adam", "AdamW", "NAdam", "RAdam", "Adadelta", "Adamax", "RMSprop", "ASGD", "Rprop")
FUSED = ("SGD", "Adam", "AdamW", "Adagrad")
READS = ("ASGD", "Adafactor")  # torch itself reads their step on the host, unless they are capturable
TENSOR_LR = ("SGD", "Adam", "AdamW")


def variants(name: str) -> list[dict[str, Any]]:
    if name == "Muon":
        return [{}]
    found: list[dict[str, Any]] = [{"foreach": True}, {"foreach": False}]
    if name in CAPTURABLE:
        found.append({"foreach": True, "capturable": True})
    if name in FUSED:
        found.append({"fused": True})
    if name in TENSOR_LR:
        found.append({"lr": torch.tensor(0.01), "fused": True})
    return found


CASES = [
    (name, {**settings, **variant}) for name, all_settings in SETTINGS.items() for settings in all_settings for variant in variants(name)
]
STEPS = 5


def describe(case: tuple[str, dict[str, Any]]) -> str:
    return "-".join([case[0], *(k if v is True else f"{k}={v}" for k, v in case[1].items())])


def fallbacks() -> dict[str, int]:
    return {f"{c}:{op}": n for c in ("extern_calls", "breaking_calls", "infer_calls") for op, n in metrics.details(c).items()}


def train(device: str, name: str, options: dict[str, Any], step_done=lambda: None) -> list[torch.Tensor]:
    torch.manual_seed(3)
    start = (
        [torch.randn(5, 7), torch.randn(6, 4)]
        if name == "Muon"
        else [torch.randn(5, 7), torch.randn(3), torch.randn(2, 3, 4).permute(2, 0, 1)]
    )
    parameters = [torch.nn.Parameter(p.clone().to(device)) for p in start]
    moved = {k: v.to(device) if isinstance(v, torch.Tensor) else v for k, v in options.items()}
    if device == "cpu":
        moved.pop("capturable", None)
    optimizer = getattr(torch.optim, name)(parameters, **moved)
    for step in range(STEPS):
        for p, s in zip(parameters, start, strict=True):
            p.grad = (s * (1 + step) * 0.3).to(device)
        torch.hpu.mark_step()
        optimizer.step()
        torch.hpu.mark_step()
        step_done()
    return [p.detach().cpu() for p in parameters]


@pytest.mark.parametrize("case", CASES, ids=describe)
def test_equals_cpu(case: tuple[str, dict[str, Any]], counters) -> None:
    name, options = case
    steps: list[dict[str, int]] = []
    before = fallbacks()
    counters()
    ours = train("hpu", name, options, lambda: steps.append(counters()))
    used = {op for op, n in fallbacks().items() if n != before.get(op, 0)}
    tolerance = 2e-2 if name == "Muon" else 1e-5  # Muon orthogonalizes in bfloat16
    for p, q in zip(ours, train("cpu", name, options), strict=True):
        torch.testing.assert_close(p, q, rtol=tolerance, atol=tolerance)
    if name == "Muon":
        return  # matrix products in bfloat16 are extern steps where the host has no such instructions
    assert not used
    assert steps[-1]["compilations"] == 0
    reads = name in READS and not options.get("capturable")
    assert steps[-1]["kernels"] <= (14 if reads else 4)  # each read cuts the graph
    assert (steps[-1]["host_reads"] > 0) == reads


def test_a_schedule_of_numbers_recompiles_nothing(counters) -> None:
    p = torch.nn.Parameter(torch.rand(5, 7, device="hpu"))
    optimizer = torch.optim.AdamW([p], lr=0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
    for step in range(6):
        p.grad = torch.ones_like(p)
        optimizer.step()
        schedule.step()
        torch.hpu.mark_step()
        assert counters()["compilations"] == 0 or step < 2


def gradients(device: str) -> list[torch.nn.Parameter]:
    torch.manual_seed(4)
    parameters = [torch.nn.Parameter(torch.zeros(s).to(device)) for s in ((5, 7), (3,), (2, 3, 4))]
    for p in parameters:
        p.grad = torch.randn(p.shape).to(device) * 3
    return parameters


@pytest.mark.parametrize("clip", [
    lambda p: torch.nn.utils.clip_grad_norm_(p, 1.0),
    lambda p: torch.nn.utils.clip_grad_norm_(p, 1.0, norm_type=1.0),
    lambda p: torch.nn.utils.clip_grad_norm_(p, 1.0, norm_type=float("inf")),
    lambda p: torch.nn.utils.clip_grad_norm_(p, 100.0, foreach=False),
    lambda p: torch.nn.utils.clip_grad_value_(p, 0.5),
], ids=["norm", "norm_1", "norm_inf", "norm_below", "value"])  # fmt: skip
def test_clipping_does_not_wait_for_the_host(clip, counters) -> None:
    ours, native = gradients("hpu"), gradients("cpu")
    before = fallbacks()
    counters()
    clip(ours)
    torch.hpu.mark_step()
    moved = counters()
    assert moved["host_reads"] == 0
    assert fallbacks() == before
    clip(native)
    for p, q in zip(ours, native, strict=True):
        torch.testing.assert_close(p.grad.cpu(), q.grad, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("options", [{"foreach": True}, {"fused": True}], ids=["foreach", "fused"])
@pytest.mark.parametrize("name", ["SGD", "AdamW"])
def test_gradient_scaler(name: str, options: dict[str, bool]) -> None:
    """Scaled steps, one of them with an infinity: skipped on both devices, and the scale shrinks."""
    results = []
    for device in ("cpu", "hpu"):
        torch.manual_seed(5)
        p = torch.nn.Parameter(torch.rand(4, 3).to(device))
        optimizer = getattr(torch.optim, name)([p], lr=0.1, **options)
        scaler = torch.amp.GradScaler(device, init_scale=16.0, growth_interval=2)
        before = fallbacks()
        for step in range(5):
            loss = (p * p).sum() * (float("inf") if step == 2 else 1.0)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
        if device == "hpu":
            torch.hpu.synchronize()
            assert fallbacks() == before
        results.append((p.detach().cpu(), scaler.get_scale()))
    assert results[0][1] == results[1][1]
    torch.testing.assert_close(results[1][0], results[0][0])
