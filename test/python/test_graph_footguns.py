"""Traps of graph capture, one test each: what would be silently wrong elsewhere is right here, or raises."""

from __future__ import annotations

import copy
import gc
import threading

import pytest
import torch
import torch.nn.functional as F
from torch import nn


def capture(body, **arguments):
    graph = torch.hpu.HPUGraph()
    with torch.hpu.graph(graph, **arguments):
        outputs = body()
    return graph, outputs


def allocated() -> int:
    torch.hpu.synchronize()
    gc.collect()
    return torch.hpu.memory_allocated()


def test_freed_input():
    x = torch.ones(1000, device="hpu")
    graph, _y = capture(lambda x=x: x + 1)
    del x
    with pytest.raises(RuntimeError, match=r"4000 bytes.*freed"):
        graph.replay()
    assert torch.ones(2, device="hpu").sum().item() == 2  # the device goes on


def test_resized_input():
    x = torch.ones(4, device="hpu")
    graph, _y = capture(lambda: x + 1)
    x.resize_(400)
    with pytest.raises(RuntimeError, match="freed or resized"):
        graph.replay()


def test_rebound_parameter():
    net = nn.Linear(3, 3, bias=False).to("hpu").requires_grad_(False)
    x = torch.ones(1, 3, device="hpu")
    graph, y = capture(lambda: net(x))
    old = net.weight.data
    net.weight = nn.Parameter(torch.zeros(3, 3, device="hpu"), requires_grad=False)
    graph.rebind(old, net.weight)
    graph.replay()
    assert y.cpu().tolist() == [[0] * 3]
    net.weight.data = torch.ones(3, 3, device="hpu")  # the tensor that the graph reads is gone
    with pytest.raises(RuntimeError, match="freed"):
        graph.replay()


def test_rebinding_is_checked():
    x, other = torch.ones(4, device="hpu"), torch.full((4,), 2.0, device="hpu")
    graph, y = capture(lambda x=x: x * 10)
    with pytest.raises(RuntimeError, match="sizes"):
        graph.rebind(x, torch.ones(5, device="hpu"))
    with pytest.raises(RuntimeError, match="dtype"):
        graph.rebind(x, torch.ones(4, device="hpu", dtype=torch.int32))
    with pytest.raises(RuntimeError, match="no input"):
        graph.rebind(other, x)
    with pytest.raises(RuntimeError, match="used by the graph"):
        graph.rebind(x, y)
    graph.rebind(x, other)
    del x
    graph.replay()
    assert y.cpu().tolist() == [20] * 4


def test_resized_output():
    x = torch.ones(4, device="hpu")
    graph, y = capture(lambda: x + 1)
    graph.replay()
    y.resize_(400)  # moves to other memory, as on any device; the graph goes on writing its own
    graph.replay()
    assert y[:4].cpu().tolist() == [2] * 4


def test_output_of_the_wrong_size_is_resized_in_a_capture():
    x = torch.ones(4, device="hpu")
    out = torch.empty(0, device="hpu")
    graph, _ = capture(lambda: torch.add(x, 1, out=out))
    graph.replay()
    assert out.cpu().tolist() == [2] * 4
    full = torch.ones(2, device="hpu")
    with pytest.raises(RuntimeError, match="resize"), pytest.warns(UserWarning):
        capture(lambda: torch.add(x, 1, out=full))
    assert full.cpu().tolist() == [1, 1]


def test_view_of_an_output_across_replays():
    x = torch.zeros(6, device="hpu")

    def body():
        y = x * 2
        return y, y[2:4]

    graph, (y, inner) = capture(body)
    outer = y[4:].view(2)
    for value in (1, 5):
        x.fill_(value)
        graph.replay()
        assert inner.cpu().tolist() == outer.cpu().tolist() == [2 * value] * 2


def test_aliasing_inputs():
    base = torch.arange(6.0, device="hpu")
    a, b = base[:4], base[2:]

    def body():
        a.add_(1)
        b.mul_(2)
        a.add_(b.clone())

    expected = torch.arange(6.0)
    graph, _ = capture(body)
    for _ in range(3):
        graph.replay()
        expected[:4] += 1
        expected[2:] *= 2
        expected[:4] += expected[2:].clone()
    assert torch.equal(base.cpu(), expected)


def test_aliasing_arguments_of_a_wrapped_function():
    @torch.hpu.wrap_in_hpu_graph
    def function(a, b):
        a.add_(1)
        return a * b

    for _ in range(2):
        x, y = torch.ones(3, device="hpu"), torch.ones(3, device="hpu")
        assert function(x, y).cpu().tolist() == [2] * 3 and x.cpu().tolist() == [2] * 3 and y.cpu().tolist() == [1] * 3
        assert function(x, x).cpu().tolist() == [9] * 3 and x.cpu().tolist() == [3] * 3
        z = torch.ones(4, device="hpu")
        assert function(z[1:], z[:3]).cpu().tolist() == [2, 4, 4] and z.cpu().tolist() == [1, 2, 2, 2]


def test_expanded_argument_of_a_wrapped_function():
    function = torch.hpu.wrap_in_hpu_graph(lambda x: x * 2)
    for value in (1.0, 3.0):
        assert function(torch.full((1, 1), value, device="hpu").expand(2, 3)).cpu().tolist() == [[2 * value] * 3] * 2


def test_two_graphs_on_one_pool():
    size = 1 << 16
    x = torch.rand(size, device="hpu")
    before = allocated()

    def body():
        return torch.linalg.vector_norm(x.sort().values.cumsum(0).sort().values)

    first, y = capture(body)
    alone = allocated() - before
    second, z = capture(body, pool=first.pool())
    shared = allocated() - before - alone
    assert second.pool() == first.pool()
    assert first.statistics()["arena"] >= 4 * size and shared < 4 * size  # the second works in the first's scratch memory
    for _ in range(2):
        first.replay()
        second.replay()
        assert y.cpu() == z.cpu() != 0
    kept = y.cpu()
    second.replay()
    assert y.cpu() == kept  # the first's output is not scratch


def test_output_of_an_earlier_graph_of_the_pool_may_be_dropped_by_name():
    x = torch.ones(100, device="hpu")
    first, y = capture(lambda: x * 2)
    second, z = capture(lambda y=y: y + 1, pool=first.pool())
    del y
    for value in (1, 4):
        x.fill_(value)
        first.replay()
        second.replay()
        assert z.cpu().tolist() == [2 * value + 1] * 100


def test_graphs_of_one_pool_on_two_streams():
    x = torch.rand(1 << 14, device="hpu")
    first, y = capture(lambda: x.sort().values.cumsum(0))
    second, z = capture(lambda: x.sort(descending=True).values.cumsum(0), pool=first.pool())
    a, b = x.cpu().sort().values.cumsum(0), x.cpu().sort(descending=True).values.cumsum(0)
    for _ in range(20):
        with torch.hpu.stream(torch.hpu.Stream()):
            first.replay()
        with torch.hpu.stream(torch.hpu.Stream()):
            second.replay()
    torch.testing.assert_close(y.cpu(), a)
    torch.testing.assert_close(z.cpu(), b)


def test_nested_capture():
    x = torch.ones(2, device="hpu")
    outer, inner = torch.hpu.HPUGraph(), torch.hpu.HPUGraph()
    with torch.hpu.graph(outer):
        y = x + 1
        with pytest.raises(RuntimeError, match="captur"), torch.hpu.graph(inner):
            pass
        with pytest.raises(RuntimeError, match="cannot be nested"):
            inner.capture_begin()
        del inner  # must not disturb the capture that is open
        gc.collect()
        z = y * 2
    outer.replay()
    assert z.cpu().tolist() == [4, 4]


def test_replay_in_a_capture():
    x = torch.ones(2, device="hpu")
    graph, _y = capture(lambda: x + 1)
    with pytest.raises(RuntimeError, match="nested"):
        capture(graph.replay)


def test_capture_on_two_threads():
    shared = torch.ones(8, device="hpu")
    results: list[object] = []
    barrier = threading.Barrier(3)

    def work(n: int) -> None:
        graph = torch.hpu.HPUGraph()
        barrier.wait()
        with torch.hpu.graph(graph):
            y = shared * n
            barrier.wait()  # all captures are open here
            for _ in range(20):
                y = y + shared
            torch.hpu.HPUGraph().reset()
        graph.replay()
        results.append(y.cpu().tolist() == [n + 20] * 8)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(2)]
    for t in threads:
        t.start()
    barrier.wait()
    barrier.wait()
    with torch.hpu.stream(torch.hpu.Stream()):
        assert (shared + 1).cpu().tolist() == [2] * 8  # who does not capture reads and waits as always
        torch.hpu.synchronize()
    for t in threads:
        t.join()
    assert results == [True, True]


def test_exception_at_every_op(counters):
    x = torch.rand(16, 16, device="hpu")
    w = torch.rand(16, 16, device="hpu", requires_grad=True)
    value, weight = x.cpu(), w.detach().cpu()
    ops = [
        lambda y: y + 1, lambda y: x.mul_(2), lambda y: y @ w, lambda y: y.t(), lambda y: F.dropout(y, 0.5), lambda y: y.reshape(-1).view(16, 16),
        lambda y: y.softmax(1), lambda y: torch.cat([y, y])[:16], lambda y: y.sort().values, lambda y: F.layer_norm(y, (16,)),
    ] * 5  # fmt: skip

    def body(stop: int):
        y = x
        for i, op in enumerate(ops):
            if i == stop:
                raise ValueError
            y = op(y)
        (grad,) = torch.autograd.grad(y.sum(), w)
        return y, grad

    before = allocated()
    for stop in range(len(ops)):
        with pytest.raises(ValueError):
            capture(lambda stop=stop: body(stop))
        assert not torch.hpu.is_current_stream_capturing()
    assert allocated() == before
    assert torch.equal(x.cpu(), value) and torch.equal(w.detach().cpu(), weight)
    graph, (y, grad) = capture(lambda: body(-1))
    graph.replay()
    assert torch.isfinite(y).all() and torch.isfinite(grad).all()
    assert torch.equal(x.cpu(), value * 2**5)
    del graph, y, grad
    assert allocated() == before


def test_replay_on_another_stream():
    x = torch.ones(1 << 12, device="hpu")
    graph, _ = capture(lambda: x.add_(1), stream=torch.hpu.Stream())
    for _ in range(10):
        with torch.hpu.stream(torch.hpu.Stream()):
            graph.replay()
        graph.replay()
    assert x.cpu().tolist() == [21] * (1 << 12)


def test_replay_after_reset():
    x = torch.ones(4, device="hpu")
    graph, y = capture(lambda: x + 1)
    graph.replay()
    graph.reset()
    with pytest.raises(RuntimeError, match="nothing is captured"):
        graph.replay()
    assert y.cpu().tolist() == [2] * 4  # the outputs outlive the graph
    with torch.hpu.graph(graph):
        z = x + 5
    graph.replay()
    assert z.cpu().tolist() == [6] * 4


def test_graph_destroyed_while_replaying():
    before = allocated()
    x = torch.rand(1 << 16, device="hpu")
    graph, y = capture(lambda x=x: x.sort().values.cumsum(0))
    for _ in range(5):
        graph.replay()
    del graph
    torch.testing.assert_close(y.cpu(), x.cpu().sort().values.cumsum(0))
    del x, y
    assert allocated() == before


def test_dropout():
    x = torch.ones(1000, device="hpu")
    graph, y = capture(lambda: F.dropout(x, 0.5))

    def masks():
        torch.hpu.manual_seed(3)
        result = []
        for _ in range(3):
            graph.replay()
            result.append(y.cpu())
        return result

    first, again = masks(), masks()
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], first[1]) and not torch.equal(first[1], first[2])
    torch.hpu.manual_seed(3)
    eager = [F.dropout(x, 0.5).cpu() for _ in range(3)]
    assert all(torch.equal(a, b) for a, b in zip(first, eager, strict=True))


def test_several_generators():
    a, b = torch.Generator("hpu"), torch.Generator("hpu")
    graph = torch.hpu.HPUGraph()
    for g in (a, b):
        graph.register_generator_state(g)
    with pytest.raises(RuntimeError, match="generator"):
        graph.register_generator_state(torch.Generator())
    with torch.hpu.graph(graph):
        y = torch.rand(8, generator=a, device="hpu")
        z = torch.rand(8, generator=b, device="hpu")
        w = torch.rand(8, device="hpu")
    for g in (a, b):
        g.manual_seed(1)
    torch.hpu.manual_seed(2)
    rows = []
    for _ in range(2):
        graph.replay()
        rows.append((y.cpu(), z.cpu(), w.cpu()))
    assert torch.equal(rows[0][0], rows[0][1]) and torch.equal(rows[1][0], rows[1][1])
    assert not torch.equal(rows[0][0], rows[1][0]) and not torch.equal(rows[0][0], rows[0][2])
    again = torch.Generator("hpu").manual_seed(1)
    assert all(torch.equal(torch.rand(8, generator=again, device="hpu").cpu(), row[0]) for row in rows)


def test_in_place_parameter_update_between_replays():
    net = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 8)).to("hpu").requires_grad_(False)
    host = copy.deepcopy(net).cpu()
    x = torch.randn(4, 64, device="hpu")
    graph, y = capture(lambda: net(x))
    for step in range(12):
        if step % 4 == 3:  # in between the weights are the same, so that packed copies are made
            for p, q in zip(net.parameters(), host.parameters(), strict=True):
                p.mul_(0.9)
                q.mul_(0.9)
        for _ in range(2):
            graph.replay()  # several may be queued before the next update is recorded
        if step % 2:
            torch.testing.assert_close(y.cpu(), host(x.cpu()), rtol=1e-4, atol=1e-5)


def test_optimizer_with_lr_schedule():
    cpu = nn.Linear(8, 4)
    hpu = copy.deepcopy(cpu).to("hpu")
    x, target = torch.randn(16, 8), torch.randn(16, 4)
    static_x, static_target = x.to("hpu"), target.to("hpu")
    a = torch.optim.AdamW(cpu.parameters(), lr=torch.tensor(0.1))
    b = torch.optim.AdamW(hpu.parameters(), lr=torch.tensor(0.1, device="hpu"), capturable=True)
    schedules = [torch.optim.lr_scheduler.StepLR(o, 2, 0.5) for o in (a, b)]

    def step(net, optimizer, x, target):
        optimizer.zero_grad()
        loss = F.mse_loss(net(x), target)
        loss.backward()
        optimizer.step()
        return loss.detach()

    for schedule in schedules:
        net, optimizer, inputs = (cpu, a, (x, target)) if schedule is schedules[0] else (hpu, b, (static_x, static_target))
        step(net, optimizer, *inputs)
        schedule.step()
    graph, loss = capture(lambda: step(hpu, b, static_x, static_target))
    for _ in range(10):
        expected = step(cpu, a, x, target)
        schedules[0].step()
        graph.replay()
        schedules[1].step()
        torch.testing.assert_close(loss.cpu(), expected, rtol=1e-4, atol=1e-6)
    assert b.param_groups[0]["lr"].item() == pytest.approx(a.param_groups[0]["lr"].item())


def test_warm_up_on_another_stream():
    """AccumulateGrad belongs to the stream of its first use, which is not the capture's."""
    net = nn.Linear(4, 4).to("hpu")
    x = torch.randn(2, 4, device="hpu")
    side = torch.hpu.Stream()
    side.wait_stream(torch.hpu.current_stream())
    with torch.hpu.stream(side):
        for _ in range(2):
            net(x).square().sum().backward()
    torch.hpu.current_stream().wait_stream(side)
    before = net.weight.grad.cpu()
    graph, _ = capture(lambda: net(x).square().sum().backward())
    assert torch.equal(net.weight.grad.cpu(), before)  # recorded only
    for n in range(1, 4):
        graph.replay()
        torch.testing.assert_close(net.weight.grad.cpu(), before * (2 + n) / 2)


def test_stream_that_waits_joins_the_capture():
    x = torch.ones(8, device="hpu")
    side = torch.hpu.Stream()
    graph = torch.hpu.HPUGraph()
    with torch.hpu.graph(graph):
        main = torch.hpu.current_stream()
        y = x + 1
        side.wait_stream(main)
        with torch.hpu.stream(side):
            assert torch.hpu.is_current_stream_capturing()
            x.mul_(3)  # no operand is a value of the capture
        main.wait_stream(side)
        with torch.hpu.stream(side):
            assert not torch.hpu.is_current_stream_capturing()
        z = y + x
    assert x.cpu().tolist() == [1] * 8
    graph.replay()
    assert z.cpu().tolist() == [5] * 8 and x.cpu().tolist() == [3] * 8
    event = torch.hpu.Event()
    with torch.hpu.graph(torch.hpu.HPUGraph()):
        event.record()
    with pytest.raises(RuntimeError, match="capture"):
        event.synchronize()
    with pytest.raises(RuntimeError, match="ended"):
        event.wait()


@pytest.mark.parametrize(
    "body",
    [
        lambda x: x.sum().item(), lambda x: x.cpu(), lambda x: x.nonzero(), lambda x: bool(x.any()), lambda x: x[x > 0],
        lambda x: torch.linalg.inv(x.view(2, 2)), lambda x: torch.hpu.synchronize(), lambda x: x.copy_(torch.ones(4)),
        lambda x: torch.tensor([1.0], device="hpu"), lambda x: torch.hpu.current_stream().synchronize(), lambda x: x.tolist(),
    ],
    ids=["item", "cpu", "nonzero", "bool", "mask", "inv", "synchronize", "copy", "tensor", "stream", "tolist"],
)  # fmt: skip
def test_the_host_in_a_capture(body):
    x = torch.ones(4, device="hpu")
    before = allocated()
    with pytest.raises(RuntimeError, match="captur"):
        capture(lambda: body(x + 1))
    assert allocated() == before
    graph, y = capture(lambda: x * 3)
    graph.replay()
    assert y.cpu().tolist() == [3] * 4


def test_the_error_names_op_and_line():
    x = torch.ones(4, device="hpu")
    with pytest.raises(RuntimeError, match=r"\[aten::nonzero\] needs the host.*test_graph_footguns\.py:\d+"):
        capture(lambda: (x + 1).nonzero())


def test_relaxed_capture_reads_what_existed():
    x = torch.full((4,), 2.0, device="hpu")

    def body():
        factor = x[0].item()  # reads the current bytes; frozen
        return x * factor + torch.tensor([1.0], device="hpu")

    with pytest.raises(RuntimeError, match="host"):
        capture(body)
    graph, y = capture(body, capture_error_mode="relaxed")
    x.fill_(5)
    graph.replay()
    assert y.cpu().tolist() == [11] * 4
    with pytest.raises(RuntimeError, match="host"):
        capture(lambda: (x + 1).sum().item(), capture_error_mode="relaxed")
    with pytest.raises(ValueError, match="capture_error_mode"):
        capture(body, capture_error_mode="lax")


def test_zero_element_host_copies_are_legal():
    x = torch.ones(2, device="hpu")
    graph, y = capture(lambda: torch.cat([torch.tensor([], device="hpu"), x, torch.empty(0).to("hpu")]))
    graph.replay()
    assert y.cpu().tolist() == [1, 1]


def test_mark_step_is_a_hint():
    x = torch.ones(4, device="hpu")

    def body():
        y = x + 1
        torch.hpu.mark_step()
        return y * 2

    graph, y = capture(body)
    assert graph.statistics()["steps"] == 1
    graph.replay()
    assert y.cpu().tolist() == [4] * 4


def test_an_op_never_seen_before():
    x = torch.rand(5, 3, device="hpu")
    graph, (values, histogram) = capture(lambda: (torch.kthvalue(x, 2, dim=0).values, torch.cummax(x, 1).values))
    graph.replay()
    assert torch.equal(values.cpu(), torch.kthvalue(x.cpu(), 2, dim=0).values)
    assert torch.equal(histogram.cpu(), torch.cummax(x.cpu(), 1).values)


def test_tensor_that_was_empty_before_an_aborted_capture():
    out = torch.empty(4, device="hpu")
    with pytest.raises(ValueError):
        capture(lambda: (out.fill_(1), int("x")))
    out.fill_(2)
    assert out.cpu().tolist() == [2] * 4
    untouched = torch.empty(4, device="hpu")
    with pytest.raises(ValueError):
        capture(lambda: (untouched.fill_(1), int("x")))
    assert untouched.cpu().shape == (4,)  # undefined bytes, but no error


def test_a_failing_replay_is_reported_once_and_the_next_one_is_right():
    table, index = torch.arange(10.0, device="hpu"), torch.tensor([1, 2], device="hpu")
    graph, y = capture(lambda: table.index_select(0, index) + 1)
    index.fill_(99)
    graph.replay()
    with pytest.raises((RuntimeError, IndexError)):
        torch.hpu.synchronize()
    index.fill_(3)
    graph.replay()
    assert y.cpu().tolist() == [4, 4]


def test_a_long_graph_stays_asynchronous_after_a_failure():
    big, x = torch.rand(1500, 1500, device="hpu") / 1500, torch.zeros(4, device="hpu")

    def body():
        y = big
        for _ in range(12):
            y = torch.tanh(y @ big)
        return y.sum() + x.sum()

    graph, _y = capture(body)
    table, bad = torch.arange(4.0, device="hpu"), torch.tensor([0, 1, 2, 99], device="hpu")
    with torch.no_grad():
        x.copy_(table[bad])
    graph.replay()  # its input has failed: over in no time
    with pytest.raises((RuntimeError, IndexError)):
        torch.hpu.synchronize()
    x.zero_()
    graph.replay()
    torch.hpu.synchronize()
    graph.replay()
    assert not torch.hpu.current_stream().query()


def test_autocast_weights_are_cast_in_the_graph():
    net = nn.Linear(4, 4, bias=False).to("hpu")
    x = torch.ones(1, 4, device="hpu")
    with torch.autocast("hpu", dtype=torch.bfloat16), torch.no_grad():
        net(x)  # the cast of the weight is cached here
        graph, y = capture(lambda: net(x))
    with torch.no_grad():
        net.weight.fill_(2)
    graph.replay()
    assert y.cpu().tolist() == [[8] * 4]


def test_reset_gives_everything_back():
    before = allocated()
    reserved = torch.hpu.memory_reserved()
    x = torch.rand(1 << 20, device="hpu")
    pool = torch.hpu.graph_pool_handle()
    graphs = [capture(lambda x=x: x.sort().values.cumsum(0).exp(), pool=pool) for _ in range(3)]
    assert allocated() > before
    while graphs:
        graph, output = graphs.pop()
        graph.replay()
        graph.reset()
    del x, graph, output
    assert allocated() == before
    torch.hpu.empty_cache()
    assert torch.hpu.memory_reserved() <= reserved
