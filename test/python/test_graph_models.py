"""Whole training steps of networks, captured once and replayed many times."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from models import CASES, Case

MODELS = {case.name: case for case in CASES}


def graphable(case: Case) -> Case:
    """Without what reads the host in each step: transformers looks whether a mask is all ones, and the UNet's loss makes its weights there."""
    inputs = {name: value for name, value in case.inputs().items() if name != "attention_mask"}
    loss = case.loss if case.name != "unet" else lambda output: output.sample.square().mean() + output.sample.mean()
    return dataclasses.replace(case, inputs=lambda: inputs, loss=loss)


def schedule(optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / 20) * 0.99**step)


def train_step(model, optimizer, inputs, case):
    optimizer.zero_grad()
    loss = case.loss(model(**inputs))
    loss.backward()
    optimizer.step()
    return loss.detach()


def capture(step, kind: str):
    """The captured step as (replay, loss), by one of the two interfaces."""
    if kind == "accelerator":
        graph = torch.accelerator.Graph()
        with torch.hpu.stream(torch.hpu.Stream()), graph:
            loss = step()
    else:
        graph = torch.hpu.HPUGraph()
        with torch.hpu.graph(graph, execute=kind == "execute"):
            loss = step()
    return graph, loss


@pytest.mark.parametrize(
    ("name", "kind", "steps"),
    [("bert", "replay", 200), ("bert", "execute", 200), ("bert", "accelerator", 200), ("unet", "replay", 200)],
)
def test_replays_equal_eager_steps(name: str, kind: str, steps: int, counters) -> None:
    if name == "unet":
        pytest.importorskip("diffusers")
    case = graphable(MODELS[name])
    torch.manual_seed(0)
    cpu = case.build().eval()  # no dropout
    hpu = copy.deepcopy(cpu).to("hpu")
    inputs = case.inputs()
    inputs_hpu = {k: v.to("hpu") for k, v in inputs.items()}
    # An epsilon above the rounding of gradients: Adam divides what is nearly zero by what is nearly zero.
    reference = torch.optim.AdamW(cpu.parameters(), lr=torch.tensor(1e-3), eps=1e-3)
    optimizer = torch.optim.AdamW(hpu.parameters(), lr=torch.tensor(1e-3, device="hpu"), eps=1e-3, capturable=True)
    schedules = [schedule(reference), schedule(optimizer)]
    for _ in range(2):  # warm-up makes the optimizer's state
        train_step(cpu, reference, inputs, case)
        train_step(hpu, optimizer, inputs_hpu, case)
        for s in schedules:
            s.step()
    graph, loss = capture(lambda: train_step(hpu, optimizer, inputs_hpu, case), kind)
    counters()
    worst = 0.0
    for step in range(steps):
        expected = train_step(cpu, reference, inputs, case)
        if kind != "execute" or step > 0:
            graph.replay()
        worst = max(worst, abs(loss.item() - expected.item()))
        for s in schedules:
            s.step()
    moved = counters()
    print(f"{name} {kind}: {steps} steps, loss {loss.item():.6f}, largest difference of a loss {worst:.2e}")
    assert worst <= 1e-5
    assert moved["graph_replays"] == steps - (kind == "execute") and moved["breaking_calls"] == 0
    assert moved["compilations"] <= 2  # the schedule's fill of the learning rate
    for p, q in zip(cpu.parameters(), hpu.parameters(), strict=True):
        torch.testing.assert_close(q.detach().cpu(), p.detach(), rtol=0, atol=1e-5)
