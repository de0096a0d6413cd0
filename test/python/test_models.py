"""Ten networks train on the device as they do on the CPU, whole steps compiled: see models.py."""

from __future__ import annotations

import copy

import pytest
import torch
from models import CASES, Case
from torch import nn

from torch_hpu import metrics

STEPS = 3


def train_step(model: nn.Module, optimizer: torch.optim.Optimizer, inputs: dict[str, torch.Tensor], case: Case) -> torch.Tensor:
    loss = case.loss(model(**inputs))
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.detach()


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    if request.param.name in ("unet", "autoencoder"):
        pytest.importorskip("diffusers")
    return request.param


def test_training_equals_cpu(case: Case, counters) -> None:
    torch.manual_seed(0)
    cpu = case.build()
    for module in cpu.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    if hasattr(cpu, "config"):
        cpu.eval()  # no dropout by functions either; batch norm learns
    for module in cpu.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.train()
    hpu = copy.deepcopy(cpu).to("hpu")
    inputs = case.inputs()
    inputs_hpu = {name: value.to("hpu") for name, value in inputs.items()}
    # An epsilon above the rounding of gradients: Adam divides what is nearly zero by what is nearly zero.
    optimizer = torch.optim.AdamW(cpu.parameters(), lr=1e-3, eps=1e-3)
    optimizer_hpu = torch.optim.AdamW(hpu.parameters(), lr=1e-3, eps=1e-3)
    for step in range(STEPS):
        extern = metrics.details("extern_calls")
        counters()
        loss = train_step(cpu, optimizer, inputs, case)
        loss_hpu = train_step(hpu, optimizer_hpu, inputs_hpu, case)
        torch.hpu.mark_step()
        moved = counters()
        torch.testing.assert_close(loss_hpu.cpu(), loss, rtol=2e-5, atol=2e-6)
        assert moved["breaking_calls"] == 0
        assert moved["compilations"] == 0 or step < 2
        now = metrics.details("extern_calls")
        assert not {op for op in now if now[op] != extern.get(op, 0)}
    for (name, a), b in zip(cpu.named_parameters(), hpu.parameters(), strict=True):
        torch.testing.assert_close(b.detach().cpu(), a.detach(), rtol=1e-4, atol=2e-5, msg=lambda m, name=name: f"{name}: {m}")
    for (name, a), b in zip(cpu.named_buffers(), hpu.buffers(), strict=True):
        torch.testing.assert_close(b.cpu(), a, rtol=1e-4, atol=1e-5, msg=lambda m, name=name: f"{name}: {m}")


def test_transformers_knows_of_captures(counters) -> None:
    """Whether a mask is all ones is asked on the host, except in a capture: masks that change between replays are seen."""
    case = next(c for c in CASES if c.name == "bert")
    model = case.build().eval()
    inputs = case.inputs()
    mask = torch.ones_like(inputs["input_ids"])
    graphed = torch.hpu.wrap_in_hpu_graph(copy.deepcopy(model).to("hpu"))
    with torch.no_grad():
        for length in (16, 9, 16, 4):
            mask[0, length:] = 0
            expected = model(input_ids=inputs["input_ids"], attention_mask=mask).logits
            counters()
            got = graphed(input_ids=inputs["input_ids"].to("hpu"), attention_mask=mask.to("hpu")).logits
            torch.testing.assert_close(got.cpu(), expected, rtol=1e-4, atol=1e-5)
            mask.fill_(1)
    assert counters()["graph_replays"] == 1


@pytest.mark.parametrize("options", [{"foreach": True}, {"fused": True}, {"foreach": False}], ids=["foreach", "fused", "loop"])
@pytest.mark.parametrize("optimizer", [torch.optim.AdamW, torch.optim.SGD], ids=["adamw", "sgd"])
def test_optimizer_step_is_a_handful_of_kernels(optimizer, options, counters) -> None:
    shapes = [(n % 7 + 1, n % 13 + 3) for n in range(98)] + [(300, 400), (5,)]
    host = [nn.Parameter(torch.randn(shape)) for shape in shapes]
    device = [nn.Parameter(p.detach().to("hpu")) for p in host]
    extra = {"momentum": 0.9} if optimizer is torch.optim.SGD else {}
    cpu, hpu = (optimizer(p, lr=1e-2, weight_decay=0.1, **extra, **options) for p in (host, device))
    for _ in range(4):
        for p, q in zip(host, device, strict=True):
            p.grad = torch.randn_like(p)
            q.grad = p.grad.to("hpu")
        torch.hpu.mark_step()
        counters()
        cpu.step()
        hpu.step()
        torch.hpu.mark_step()
        moved = counters()
    assert moved["kernels"] <= 4
    assert moved["compilations"] == moved["extern_calls"] == moved["library_calls"] == 0
    for p, q in zip(host, device, strict=True):
        torch.testing.assert_close(q.detach().cpu(), p.detach(), rtol=1e-5, atol=1e-6)
