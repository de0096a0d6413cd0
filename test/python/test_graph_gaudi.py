"""Gaudi's documented uses of HPU Graphs, with their imports changed to torch_hpu's names only."""

from __future__ import annotations

import copy

import pytest
import torch

import torch_hpu as ht
from torch_hpu import gaudi


def test_capture_and_replay():
    """Inference: a class that captures by capture_begin and capture_end on a stream of its own."""
    device = torch.device("hpu")

    class GraphedAdd:
        def __init__(self, size: int) -> None:
            self.graph = gaudi.HPUGraph()
            self.stream = ht.hpu.Stream()
            self.size = size
            self.static_input = torch.zeros(size, device=device)

        def run(self) -> None:
            with ht.hpu.stream(self.stream):
                self.graph.capture_begin()
                self.static_output = self.static_input * 2 + 1
                self.graph.capture_end()

        def replay(self, value: torch.Tensor) -> torch.Tensor:
            self.static_input.copy_(value)
            self.graph.replay(asynchronous=True)
            ht.hpu.synchronize()
            return self.static_output

    wrapped = GraphedAdd(8)
    wrapped.run()
    assert wrapped.static_output.cpu().tolist() == [1] * 8  # the capture ran
    for value in (1.0, 4.0):
        assert wrapped.replay(torch.full((8,), value)).cpu().tolist() == [2 * value + 1] * 8


def test_training_with_the_graph_context():
    """Training: warm-up on a side stream, one captured step, replays on new data copied into static tensors."""
    n, d_in, hidden, d_out = 16, 8, 12, 4
    model = torch.nn.Sequential(
        torch.nn.Linear(d_in, hidden), torch.nn.Dropout(p=0.2), torch.nn.Linear(hidden, d_out), torch.nn.Dropout(p=0.1)
    ).to("hpu")
    loss_fn = torch.nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    static_input = torch.randn(n, d_in, device="hpu")
    static_target = torch.randn(n, d_out, device="hpu")
    s = ht.hpu.Stream()
    s.wait_stream(ht.hpu.current_stream())
    with ht.hpu.stream(s):
        for _ in range(3):
            optimizer.zero_grad(set_to_none=True)
            loss_fn(model(static_input), static_target).backward()
            optimizer.step()
    ht.hpu.current_stream().wait_stream(s)
    g = gaudi.HPUGraph()
    optimizer.zero_grad(set_to_none=True)
    with gaudi.graph(g):
        static_loss = loss_fn(model(static_input), static_target)
        static_loss.backward()
        optimizer.step()
    first = static_loss.item()  # the first result is the capture's own
    for _ in range(100):
        g.replay()
    assert torch.isfinite(static_loss) and static_loss.item() < first


def test_wrap_in_hpu_graph():
    model = torch.nn.Sequential(torch.nn.Linear(5, 10), torch.nn.ReLU(), torch.nn.Linear(10, 3)).eval()
    x = torch.randn(4, 5)
    with torch.no_grad():
        expected = model(x)
        hpu = ht.hpu.wrap_in_hpu_graph(model.to("hpu"))
        for _ in range(2):
            torch.testing.assert_close(hpu(x.to("hpu"), bypass_hpu_graphs=False).cpu(), expected)
        torch.testing.assert_close(hpu(x.to("hpu"), bypass_hpu_graphs=True).cpu(), expected)
        hpu.clear_inputs()
        hpu.clear_cache()
        saver = gaudi.wrap_in_hpu_graph(hpu, asynchronous=True, disable_tensor_cache=True, dry_run=True, max_graphs=5)
        torch.testing.assert_close(saver(x.to("hpu")).cpu(), expected)


def test_make_graphed_callables():
    """Part of the network in graphs, control flow on the host between them."""
    n, d_in, hidden, d_out = 16, 8, 12, 4
    module1 = torch.nn.Linear(d_in, hidden).to("hpu")
    module2 = torch.nn.Linear(hidden, d_out).to("hpu")
    module3 = torch.nn.Linear(hidden, d_out).to("hpu")
    parameters = [p for m in (module1, module2, module3) for p in m.parameters()]
    loss_fn = torch.nn.MSELoss()
    optimizer = torch.optim.SGD(parameters, lr=0.1)
    x = torch.randn(n, d_in, device="hpu")
    h = torch.randn(n, hidden, device="hpu", requires_grad=True)
    module1 = ht.hpu.make_graphed_callables(module1, (x,))
    module2 = ht.hpu.make_graphed_callables(module2, (h,))
    module3 = ht.hpu.make_graphed_callables(module3, (h,))
    target = torch.randn(n, d_out, device="hpu")
    losses = []
    for data in [torch.randn(n, d_in, device="hpu")] * 20:
        optimizer.zero_grad(set_to_none=True)
        tmp = module1(data)
        tmp = module2(tmp) if tmp.sum().item() > 0 else module3(tmp)
        loss = loss_fn(tmp, target)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_module_cacher():
    model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 2)).to("hpu")
    ht.hpu.ModuleCacher(max_graphs=10)(model=model, inplace=True, use_lfu=False, verbose=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = []
    for step in range(20):
        x = torch.randn(4 + step % 3, 8, device="hpu", generator=torch.Generator("hpu").manual_seed(step % 3))
        optimizer.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_inputs_bound_by_reference():
    x, weight = torch.ones(4, device="hpu"), torch.full((4,), 2.0, device="hpu")
    unused = torch.ones(1, device="hpu")
    graph = gaudi.HPUGraph()
    graph.capture_begin(dry_run=True)
    graph.mark_user_inputs([x, unused])
    y = x * weight
    graph.capture_end()
    graph.mark_user_outputs([y])
    assert graph.get_user_input_match_indices() == {0}
    for value in (3.0, 5.0):
        graph.replayV3([torch.full((4,), value, device="hpu"), unused], asynchronous=True)
        assert y.cpu().tolist() == [2 * value] * 4
        graph.replay()
        assert y.cpu().tolist() == [2 * value] * 4
    with pytest.raises(ValueError, match="marked"):
        graph.replayV3([x])
    graph.clear_inputs()
    graph.reset()


def test_call_arguments_of_gaudi_change_nothing():
    net = torch.nn.Linear(4, 3)
    wrapped = gaudi.wrap_in_hpu_graph(copy.deepcopy(net).to("hpu"))
    with torch.no_grad():
        for value in (1.0, 2.0, 3.0):
            x = torch.full((2, 4), value)
            expected = net(x)
            for arguments in ({"warmup_mode": True}, {"cache_tensors_list": [x]}, {}):
                torch.testing.assert_close(wrapped(x.to("hpu"), **arguments).cpu(), expected)
