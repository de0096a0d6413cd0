"""HPU Graphs: capture and replay. Their traps are in test_graph_footguns.py, the wrappers in test_graph_wrappers.py."""

from __future__ import annotations

import copy
import json

import pytest
import torch
import torch.nn.functional as F
from torch import nn


def test_capture_records_and_replay_runs(counters):
    x = torch.zeros(4, device="hpu")
    y = torch.ones(4, device="hpu")
    graph = torch.hpu.HPUGraph()
    with torch.hpu.graph(graph):
        z = y * 2 + x
        x += 1
    assert x.cpu().tolist() == [0] * 4  # captured, not run
    counters()
    for n in range(3):
        graph.replay()
        assert z.cpu().tolist() == [2 + n] * 4
    assert x.cpu().tolist() == [3] * 4
    moved = counters()
    assert moved["graph_replays"] == 3 and moved["compilations"] == 0 and moved["recipe_misses"] == 0


def test_replay_reads_current_inputs_and_keeps_addresses():
    x = torch.zeros(8, device="hpu")
    graph = torch.hpu.HPUGraph()
    with torch.hpu.graph(graph):
        y = x.exp()
    graph.replay()
    torch.hpu.synchronize()
    address = y.data_ptr()
    for value in (1.0, -2.0):
        x.copy_(torch.full((8,), value))
        graph.replay()
        torch.testing.assert_close(y.cpu(), torch.full((8,), value).exp())
    x.fill_(3.0)  # recorded on the device, before the replay
    graph.replay()
    torch.testing.assert_close(y.cpu(), torch.full((8,), 3.0).exp())
    assert y.data_ptr() == address


def test_execute_runs_once_at_the_end():
    x = torch.ones(3, device="hpu")
    graph = torch.hpu.HPUGraph()
    graph.capture_begin(execute=True)
    y = x + 1
    graph.capture_end()
    assert y.cpu().tolist() == [2] * 3


def test_accelerator_graph():
    x = torch.zeros(4, device="hpu")
    graph = torch.accelerator.Graph()
    with torch.Stream(device="hpu"), graph:
        x += 1
        y = x * 2
    for n in range(1, 3):
        graph.replay()
        assert y.cpu().tolist() == [2 * n] * 4
    other = torch.accelerator.Graph(keep_graph=True, pool=graph.pool(), capture_error_mode="relaxed")
    with torch.Stream(device="hpu"), other:
        z = x + 0
    other.instantiate()
    other.replay()
    assert z.cpu().tolist() == [2] * 4
    graph.reset()
    with pytest.raises(RuntimeError, match="nothing is captured"):
        graph.replay()


@pytest.mark.parametrize("make", [lambda: torch.hpu.HPUGraph(), lambda: torch.accelerator.Graph()], ids=["HPUGraph", "accelerator"])
def test_a_training_step_with_its_optimizer(make):
    cpu = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 4))
    hpu = copy.deepcopy(cpu).to("hpu")
    x, target = torch.randn(16, 10), torch.randint(0, 4, (16,))
    static_x, static_t = x.to("hpu"), target.to("hpu")
    cpu_optimizer = torch.optim.AdamW(cpu.parameters(), lr=1e-2, capturable=False)
    hpu_optimizer = torch.optim.AdamW(hpu.parameters(), lr=1e-2, capturable=True)

    def step(model, optimizer, inputs, labels):
        optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(model(inputs), labels)
        loss.backward()
        optimizer.step()
        return loss.detach()

    for _ in range(3):  # warm-up makes the optimizer's state
        step(hpu, hpu_optimizer, static_x, static_t)
    graph = make()
    stream = torch.hpu.Stream()
    with torch.hpu.stream(stream):
        graph.capture_begin()
        loss = step(hpu, hpu_optimizer, static_x, static_t)
        graph.capture_end()
    for _ in range(50):
        graph.replay()
    for _ in range(53):
        expected = step(cpu, cpu_optimizer, x, target)
    torch.testing.assert_close(loss.cpu(), expected, rtol=1e-4, atol=1e-5)
    for a, b in zip(cpu.parameters(), hpu.parameters(), strict=True):
        torch.testing.assert_close(b.detach().cpu(), a.detach(), rtol=1e-4, atol=1e-5)


def test_values_of_an_aborted_capture_are_gone():
    x = torch.ones(2, device="hpu")
    graph = torch.hpu.HPUGraph()
    with pytest.raises(ValueError), torch.hpu.graph(graph):
        y = x + 1
        raise ValueError
    with pytest.raises(RuntimeError, match="aborted"):
        y.cpu()


def test_misuse():
    graph = torch.hpu.HPUGraph()
    with pytest.raises(RuntimeError, match="nothing is captured"):
        graph.replay()
    with pytest.raises(RuntimeError, match="no capture is open"):
        graph.capture_end()
    x = torch.ones(2, device="hpu")
    with torch.hpu.graph(graph):
        _y = x + 1
    with pytest.raises(RuntimeError, match="reset"):
        graph.capture_begin()
    with pytest.raises(RuntimeError, match="stream"):
        other = torch.hpu.HPUGraph()
        with torch.hpu.graph(other):
            torch.hpu.set_stream(torch.hpu.default_stream())
    assert not torch.hpu.is_current_stream_capturing()


def test_debug_dump(tmp_path):
    x = torch.ones(4, device="hpu")
    graph = torch.hpu.HPUGraph()
    with torch.hpu.graph(graph):
        y = x.exp() + 1
    graph.debug_dump(str(tmp_path / "graph.txt"))
    text = (tmp_path / "graph.txt").read_text()
    assert "node aten::exp" in text and "kernels: 1" in text
    graph.debug_dump(str(tmp_path / "graph.dot"))
    assert (tmp_path / "graph.dot").read_text().startswith("digraph")
    graph.enable_debug_mode()
    for _ in range(3):
        graph.replay()
    torch.testing.assert_close(y.cpu(), torch.ones(4).exp() + 1)
    graph.debug_dump(str(tmp_path / "graph.json"))
    report = json.loads((tmp_path / "graph.json").read_text())
    (step,) = report["steps"]
    assert step["kind"] == "kernel" and step["runs"] == 3 and step["microseconds"] > 0
    assert step["bytes"] == 16 + 16
    assert report["statistics"]["inputs"] == report["statistics"]["outputs"] == 16


def test_table_of_graphs():
    from torch_hpu import debug

    x = torch.ones(25, device="hpu")
    graph = torch.hpu.HPUGraph()
    with torch.hpu.graph(graph):
        _y = x + 1
    header, *rows = debug.graph_table().splitlines()
    assert header.split() == ["graph", "pool", "arena", "outputs", "inputs", "steps"]
    assert any(row.split()[3:] == ["100", "100", "1"] for row in rows)
    del graph
    assert len(debug.graph_table().splitlines()) == len(rows)
