"""How much device memory programs need: outputs in the place of dead inputs, temporaries in a planned arena, checkpoints that save."""

from __future__ import annotations

from typing import Self

import pytest
import torch
from models import middle_unet
from torch import nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.checkpoint import checkpoint

MB = 1 << 20


class Peak:
    """Bytes allocated within a block beyond what was allocated when it began."""

    def __enter__(self) -> Self:
        torch.hpu.synchronize()
        torch.hpu.reset_peak_memory_stats()
        self.before = torch.hpu.memory_allocated()
        return self

    def __exit__(self, *_: object) -> None:
        torch.hpu.synchronize()
        self.bytes = torch.hpu.max_memory_allocated() - self.before


def test_a_chain_of_steps_works_in_one_buffer():
    x = torch.ones(MB // 4, device="hpu")
    torch.hpu.synchronize()
    with Peak() as peak:
        for _ in range(10):
            x = x * 2 + 1  # the old x is dead when the step runs: the new one takes its place
            torch.hpu.mark_step()
    assert peak.bytes == 0
    assert x[:2].cpu().tolist() == [2047, 2047]


def test_an_input_that_somebody_sees_is_not_overwritten():
    x = torch.ones(MB // 4, device="hpu")
    torch.hpu.synchronize()
    view = x[1:3]
    with Peak() as peak:
        x = x + 1
        torch.hpu.mark_step()
    assert peak.bytes == MB
    assert view.cpu().tolist() == [1, 1] and x[:2].cpu().tolist() == [2, 2]


def test_a_queued_reader_keeps_its_input():
    x = torch.ones(MB // 4, device="hpu")
    torch.hpu.synchronize()
    side = torch.hpu.Stream()
    with torch.hpu.stream(side):
        y = x * 3
        torch.hpu.mark_step()
    x = x + 1  # the other stream's recipe may still have to read the old bytes
    torch.hpu.mark_step()
    assert y[:2].cpu().tolist() == [3, 3] and x[:2].cpu().tolist() == [2, 2]


def test_a_captured_input_is_not_overwritten():
    x = torch.ones(MB // 4, device="hpu")
    torch.hpu.synchronize()
    graph = torch.hpu.HPUGraph()
    with torch.hpu.graph(graph):
        y = x * 2  # keeps x's memory for its replays
    z = x + 1
    del x
    torch.hpu.mark_step()
    assert z[:2].cpu().tolist() == [2, 2]
    with pytest.raises(RuntimeError, match="freed"):
        graph.replay()
    assert y is not None


def test_a_capture_reads_its_inputs_again():
    x = torch.ones(MB // 4, device="hpu")
    graph = torch.hpu.HPUGraph()
    with torch.hpu.graph(graph):
        y = x + 1  # no storage shows this temporary of the capture afterwards
        y = y.tanh() + x
    for value in (1.0, 2.0):
        x.fill_(value)
        graph.replay()
        torch.testing.assert_close(y[:2].cpu(), torch.full((2,), value + 1).tanh() + value)


def test_an_in_place_step_needs_no_copy():
    cache = torch.zeros(64, MB // 256, device="hpu")
    row = torch.ones(MB // 256, device="hpu")
    torch.hpu.synchronize()
    with Peak() as peak:
        for i in range(5):
            cache[i] = row * i
            torch.hpu.mark_step()
    assert peak.bytes == 0
    assert cache[:6, 0].cpu().tolist() == [0, 1, 2, 3, 4, 0]


def test_an_adam_step_needs_parameters_gradients_and_states():
    net = nn.Sequential(*[nn.Linear(256, 256) for _ in range(8)]).to("hpu")
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    size = sum(p.numel() * 4 for p in net.parameters())

    def backward() -> None:
        optimizer.zero_grad()
        net(torch.ones(4, 256, device="hpu")).square().mean().backward()
        torch.hpu.mark_step()

    backward()
    optimizer.step()  # makes the states
    backward()
    with Peak() as peak:
        optimizer.step()
        torch.hpu.mark_step()
    assert 4 * size <= peak.before
    assert peak.before + peak.bytes <= 4 * size * 1.1


def test_checkpoints_save_memory(counters):
    blocks = nn.ModuleList([nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 64), nn.Sigmoid()) for _ in range(6)]).to("hpu")
    x = torch.randn(2048, 64, device="hpu", requires_grad=True)

    def step(save: bool) -> tuple[int, dict[str, int], torch.Tensor]:
        x.grad = None
        blocks.zero_grad()
        counters()
        with Peak() as peak:
            y = x
            for block in blocks:
                y = checkpoint(block, y, use_reentrant=False) if save else block(y)
            y.square().mean().backward()
            del y
            torch.hpu.mark_step()
        return peak.bytes, counters(), x.grad.cpu()

    plain, plain_counters, plain_grad = step(save=False)
    saved, saved_counters, saved_grad = step(save=True)
    torch.testing.assert_close(saved_grad, plain_grad)
    # The forward is computed again, within the one graph of the step.
    assert saved_counters["flushes"] == plain_counters["flushes"]
    assert saved_counters["library_calls"] >= plain_counters["library_calls"] + len(blocks)
    assert saved < 0.8 * plain


def eager_peak(function) -> int:
    """Bytes that the CPU's allocator has given out at most during a call, beyond what was there before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        function()
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    live = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        live += event.nbytes()
        peak = max(peak, live)
    return peak


def test_a_captured_unet_needs_less_than_eager():
    pytest.importorskip("diffusers")
    net, inputs = middle_unet()
    parameters = sum(p.nbytes for p in net.parameters())
    with torch.no_grad():
        expected = net(**inputs).sample
        eager = eager_peak(lambda: net(**inputs))
        net.to("hpu")
        inputs = {name: x.to("hpu") for name, x in inputs.items()}
        packed = torch.hpu.memory_stats()["packed_bytes.current"]
        with Peak() as peak:
            graph = torch.hpu.HPUGraph()
            with torch.hpu.graph(graph):
                output = net(**inputs).sample
            for _ in range(3):  # the first packs the weights
                graph.replay()
    torch.testing.assert_close(output.cpu(), expected, rtol=1e-4, atol=1e-4)
    assert eager > 4 * MB
    assert peak.bytes <= 0.7 * eager
    assert torch.hpu.memory_stats()["packed_bytes.current"] - packed <= parameters
