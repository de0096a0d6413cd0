"""HPU Graphs."""

from __future__ import annotations

import copy
import gc

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


def test_a_training_step_with_its_optimizer():
    torch.manual_seed(0)
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
        return loss

    for _ in range(3):  # warm-up makes the optimizer's state
        step(hpu, hpu_optimizer, static_x, static_t)
    graph = torch.hpu.HPUGraph()
    hpu_optimizer.zero_grad(set_to_none=True)
    with torch.hpu.graph(graph):
        loss = F.cross_entropy(hpu(static_x), static_t)
        loss.backward()
        hpu_optimizer.step()
    for _ in range(50):
        graph.replay()
    for _ in range(53):
        expected = step(cpu, cpu_optimizer, x, target)
    torch.testing.assert_close(loss.detach().cpu(), expected.detach(), rtol=1e-4, atol=1e-5)
    for a, b in zip(cpu.parameters(), hpu.parameters()):
        torch.testing.assert_close(b.detach().cpu(), a.detach(), rtol=1e-4, atol=1e-5)


def test_random_numbers_advance_and_repeat_by_seed():
    x = torch.ones(256, device="hpu")
    graph = torch.hpu.HPUGraph()
    with torch.hpu.graph(graph):
        y = F.dropout(x, 0.5)

    def draw():
        torch.hpu.manual_seed(7)
        masks = []
        for _ in range(3):
            graph.replay()
            masks.append(y.cpu().clone())
        return masks

    first, second = draw(), draw()
    assert not torch.equal(first[0], first[1])
    assert all(torch.equal(a, b) for a, b in zip(first, second))


@pytest.mark.parametrize("body", [lambda x: x.sum().item(), lambda x: x.cpu(), lambda x: x.nonzero(), lambda x: torch.hpu.synchronize()])
def test_the_host_is_out_of_reach_in_a_capture(body):
    x = torch.ones(4, device="hpu")
    torch.hpu.synchronize()
    graph = torch.hpu.HPUGraph()
    with pytest.raises(RuntimeError, match="capture"), torch.hpu.graph(graph):
        body(x + 1)
    assert (x + 1).cpu().tolist() == [2] * 4  # the device goes on
    with torch.hpu.graph(graph):
        y = x * 3
    graph.replay()
    assert y.cpu().tolist() == [3] * 4


def test_an_exception_leaves_the_device_as_it_was():
    x = torch.ones(4, device="hpu")
    torch.hpu.synchronize()
    gc.collect()
    before = torch.hpu.memory_allocated()
    for n in range(10):
        graph = torch.hpu.HPUGraph()
        with pytest.raises(ValueError), torch.hpu.graph(graph):
            y = x
            for i in range(10):
                if i == n:
                    raise ValueError
                y = y + i
                x.mul_(2)
        del y
    gc.collect()
    assert x.cpu().tolist() == [1] * 4
    assert torch.hpu.memory_allocated() == before


def test_values_of_an_aborted_capture_are_gone():
    x = torch.ones(2, device="hpu")
    graph = torch.hpu.HPUGraph()
    with pytest.raises(ValueError), torch.hpu.graph(graph):
        y = x + 1
        raise ValueError
    with pytest.raises(RuntimeError, match="aborted"):
        y.cpu()


def test_freed_input():
    x = torch.ones(1000, device="hpu")
    graph = torch.hpu.HPUGraph()
    with torch.hpu.graph(graph):
        y = x + 1
    del x
    with pytest.raises(RuntimeError, match="freed"):
        graph.replay()
    del y


def test_misuse():
    graph = torch.hpu.HPUGraph()
    with pytest.raises(RuntimeError, match="nothing is captured"):
        graph.replay()
    with pytest.raises(RuntimeError, match="no capture is open"):
        graph.capture_end()
    x = torch.ones(2, device="hpu")
    with torch.hpu.graph(graph):
        y = x + 1
    with pytest.raises(RuntimeError, match="reset"):
        graph.capture_begin()
    graph.replay()
    graph.reset()
    assert y.cpu().tolist() == [2, 2]  # outputs outlive the graph
    with pytest.raises(RuntimeError, match="nothing is captured"):
        graph.replay()


def test_in_place_weight_updates_are_seen():
    net = nn.Linear(6, 6).to("hpu").requires_grad_(False)
    x = torch.randn(3, 6, device="hpu")
    graph = torch.hpu.HPUGraph()
    with torch.hpu.graph(graph):
        y = net(x)
    for _ in range(3):
        net.weight.add_(0.5)
        graph.replay()
        torch.testing.assert_close(y.cpu(), F.linear(x.cpu(), net.weight.cpu(), net.bias.cpu()))


def test_replay_on_another_stream():
    x = torch.ones(64, device="hpu")
    graph = torch.hpu.HPUGraph()
    with torch.hpu.graph(graph, stream=torch.hpu.Stream()):
        x += 1
    graph.replay()
    side = torch.hpu.Stream()
    with torch.hpu.stream(side):
        graph.replay()
    side.synchronize()
    assert x.cpu().tolist() == [3] * 64


def test_memory_is_given_back():
    torch.hpu.synchronize()
    gc.collect()
    before = torch.hpu.memory_allocated()
    x = torch.randn(1 << 18, device="hpu")
    graph = torch.hpu.HPUGraph()
    with torch.hpu.graph(graph):
        y = torch.sin(x).cumsum(0)
    graph.replay()
    torch.hpu.synchronize()
    assert torch.hpu.memory_allocated() > before
    graph.reset()
    del x, y, graph
    gc.collect()
    assert torch.hpu.memory_allocated() == before


def test_wrapped_module(counters):
    net = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 2)).eval()
    hpu = torch.hpu.wrap_in_hpu_graph(copy.deepcopy(net).to("hpu"))
    results = []
    with torch.no_grad():
        for n in (1, 3, 1, 3):
            x = torch.randn(n, 8)
            results.append((hpu(x.to("hpu")), net(x)))
    for got, expected in results:  # earlier results are not overwritten
        torch.testing.assert_close(got.cpu(), expected)
    moved = counters()
    assert moved["graph_captures"] == 2 and moved["graph_replays"] == 4
    hpu.clear_cache()


def test_wrapped_function_with_nested_arguments():
    @torch.hpu.wrap_in_hpu_graph
    def function(pair, *, scale, options=None):
        return {"sum": pair[0] + pair[1], "list": [pair[0] * scale, None]}

    a, b = torch.randn(3), torch.randn(3)
    for scale in (2, 3, 2):
        out = function((a.to("hpu"), b.to("hpu")), scale=scale)
        torch.testing.assert_close(out["sum"].cpu(), a + b)
        torch.testing.assert_close(out["list"][0].cpu(), a * scale)
        assert out["list"][1] is None
    plain = function((a.to("hpu"), b.to("hpu")), scale=2, bypass_hpu_graphs=True)
    torch.testing.assert_close(plain["sum"].cpu(), a + b)


def test_max_graphs_evicts(counters):
    function = torch.hpu.wrap_in_hpu_graph(lambda x: x + 1, max_graphs=2)
    for n in (1, 2, 3, 1):
        assert function(torch.zeros(n, device="hpu")).cpu().tolist() == [1.0] * n
    assert counters()["graph_captures"] == 4


def test_graphed_callables_train():
    torch.manual_seed(0)
    cpu = nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 3))
    hpu = copy.deepcopy(cpu).to("hpu")
    graphed = torch.hpu.make_graphed_callables(hpu, (torch.randn(4, 6, device="hpu"),))
    optimizers = [torch.optim.SGD(m.parameters(), lr=0.1) for m in (cpu, hpu)]
    for _ in range(5):
        x, target = torch.randn(4, 6), torch.randn(4, 3)
        for model, optimizer, device in ((cpu, optimizers[0], "cpu"), (graphed, optimizers[1], "hpu")):
            optimizer.zero_grad()
            F.mse_loss(model(x.to(device)), target.to(device)).backward()
            optimizer.step()
    for a, b in zip(cpu.parameters(), hpu.parameters()):
        torch.testing.assert_close(b.detach().cpu(), a.detach(), rtol=1e-4, atol=1e-5)


def test_debug_dump(tmp_path):
    x = torch.ones(4, device="hpu")
    graph = torch.hpu.HPUGraph()
    with torch.hpu.graph(graph):
        y = x.exp() + 1
    graph.debug_dump(str(tmp_path / "graph.txt"))
    text = (tmp_path / "graph.txt").read_text()
    assert "node aten::exp" in text and "kernels: 1" in text
    graph.replay()
    torch.testing.assert_close(y.cpu(), torch.ones(4).exp() + 1)
