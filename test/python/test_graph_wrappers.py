"""What captures by itself: wrap_in_hpu_graph, make_graphed_callables, ModuleCacher."""

from __future__ import annotations

import copy
import dataclasses
import functools
import gc
import inspect
import math
import pickle
import weakref

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from transformers.modeling_outputs import BaseModelOutput

from torch_hpu import gaudi


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
    hpu.clear_inputs()
    hpu.clear_cache()
    torch.testing.assert_close(hpu(x.to("hpu")).cpu(), net(x).detach())
    assert counters()["graph_captures"] == 1


def test_training_mode_is_part_of_the_signature():
    net = torch.hpu.wrap_in_hpu_graph(nn.Sequential(nn.Dropout(0.5)).to("hpu"))
    x = torch.ones(100, device="hpu")
    assert not torch.equal(net(x), x)
    assert torch.equal(net.eval()(x), x)


@dataclasses.dataclass
class Batch:
    x: torch.Tensor
    weight: torch.Tensor | None
    name: str = "batch"


def test_nested_arguments_and_results():
    @torch.hpu.wrap_in_hpu_graph
    def function(batch, rest, *, mask=None):
        y = batch.x + rest["list"][0] + rest["pair"][1]
        if batch.weight is not None:
            y = y * batch.weight
        if mask is not None:
            y = y.masked_fill(mask, 0)
        return {"model": BaseModelOutput(last_hidden_state=y), "batch": Batch(y + 1, None, batch.name), "rest": (None, [y - 1], "text")}

    x = torch.randn(3)
    for weight in (None, torch.full((3,), 2.0)):
        for mask in (None, torch.tensor([True, False, True])):
            for _ in range(2):
                device = {k: None if v is None else v.to("hpu") for k, v in {"x": x, "weight": weight, "mask": mask}.items()}
                rest = {"list": [device["x"]], "pair": (0, device["x"])}
                out = function(Batch(device["x"], device["weight"]), rest, mask=device["mask"])
                y = x * 3 * (1 if weight is None else weight)
                y = y if mask is None else y.masked_fill(mask, 0)
                torch.testing.assert_close(out["model"].last_hidden_state.cpu(), y)
                torch.testing.assert_close(out["batch"].x.cpu(), y + 1)
                torch.testing.assert_close(out["rest"][1][0].cpu(), y - 1)
                assert type(out["model"]) is BaseModelOutput and out["batch"].name == "batch" and out["batch"].weight is None
                assert out["rest"][0] is None and out["rest"][2] == "text"
                x = torch.randn(3)


def test_numbers_that_feed_arithmetic_are_arguments(counters):
    @torch.hpu.wrap_in_hpu_graph
    def denoise(x, t, *, scale, options):
        return x * scale + torch.sin(x * t) / options["sigma"] - t

    x = torch.randn(5)
    for t in range(981, 0, -140):  # 8 of them
        for scale in (7.5, 0.1):
            got = denoise(x.to("hpu"), t, scale=scale, options={"sigma": scale + 1})
            torch.testing.assert_close(got.cpu(), x * scale + torch.sin(x * t) / (scale + 1) - t, rtol=1e-5, atol=1e-4)
    moved = counters()
    assert moved["graph_captures"] == 1 and moved["graph_replays"] == 16


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64, torch.bool])
@pytest.mark.parametrize("number", [3, 2.5])
def test_numbers_keep_their_type_rules(dtype, number):
    function = torch.hpu.wrap_in_hpu_graph(lambda x, n: (x + n, n * x, x / n, x > n, torch.where(x > 0, x, n), x + (n + 1) * 2))
    x = torch.tensor([0, 1, 5]).to(dtype)
    for n in (number, number * 2):
        for got, expected in zip(function(x.to("hpu"), n), function(x.to("hpu"), n, bypass_hpu_graphs=True), strict=True):
            assert got.dtype == expected.dtype
            torch.testing.assert_close(got.cpu(), expected.cpu())


def test_numbers_that_decide_are_part_of_the_signature(counters):
    @torch.hpu.wrap_in_hpu_graph
    def function(x, n, flag=True):
        y = x.repeat(n) if n > 1 else x
        return y + n if flag else y

    x = torch.ones(2, device="hpu")
    for n in (1, 2, 3, 2, 1):
        assert function(x, n).cpu().tolist() == [1.0 + n] * (2 * n)
    assert counters()["graph_captures"] == 3
    assert function(x, 1, flag=False).cpu().tolist() == [1, 1]


@pytest.mark.parametrize("look", [False, True], ids=["argument", "signature"])
def test_zeros_and_nan_as_numbers(look, counters):
    function = torch.hpu.wrap_in_hpu_graph(lambda x, n: torch.copysign(x, x * n) if not look or not math.isnan(n) else x * n)
    x = torch.ones(2, device="hpu")
    for _ in range(2):
        for n in (0.0, -0.0, float("nan")):
            torch.testing.assert_close(function(x, n), function(x, n, bypass_hpu_graphs=True), equal_nan=True)
    assert counters()["graph_captures"] == (3 if look else 1)


def test_a_number_that_is_returned_stays_a_number():
    function = torch.hpu.wrap_in_hpu_graph(lambda x, n: (x * n, n + 1))
    for n in (2, 3):
        y, m = function(torch.ones(2, device="hpu"), n)
        assert y.cpu().tolist() == [n, n] and m == n + 1 and type(m) is int


def test_errors_of_the_function_come_through():
    @torch.hpu.wrap_in_hpu_graph
    def function(x, n):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        function(torch.ones(2, device="hpu"), 1)
    assert not torch.hpu.is_current_stream_capturing()


def test_bypass():
    function = torch.hpu.wrap_in_hpu_graph(lambda x: x + 1)
    x = torch.ones(2, device="hpu", requires_grad=True)
    function(x, bypass_hpu_graphs=True).sum().backward()
    assert x.grad.cpu().tolist() == [1, 1]


def test_max_graphs_evicts_the_least_recently_used(counters):
    function = torch.hpu.wrap_in_hpu_graph(lambda x: x + 1, max_graphs=2, asynchronous=True, disable_tensor_cache=True, dry_run=True)
    for n in (1, 2, 1, 3, 1, 2):
        assert function(torch.zeros(n, device="hpu")).cpu().tolist() == [1.0] * n
    assert counters()["graph_captures"] == 4  # 1, 2, 3 and 2 again


def test_input_hash_and_copy_to():
    a = {"x": [torch.zeros(2, device="hpu")], "n": 1}
    b = {"x": [torch.ones(2, device="hpu")], "n": 1}
    assert torch.hpu.input_hash(a) == torch.hpu.input_hash(b)
    for other in ({"x": [torch.zeros(3, device="hpu")], "n": 1}, {"x": [torch.zeros(2, device="hpu").int()], "n": 1}, {**b, "n": 2}):
        assert torch.hpu.input_hash(a) != torch.hpu.input_hash(other)
    torch.hpu.copy_to(a, b)
    assert a["x"][0].cpu().tolist() == [1, 1]
    with pytest.raises(ValueError, match="nested"):
        torch.hpu.copy_to(a, {"x": [b["x"][0], b["x"][0]], "n": 1})


def train(model, optimizer, device, steps, accumulate=1, autocast=None):
    torch.manual_seed(5)
    for _ in range(steps):
        optimizer.zero_grad()
        for _ in range(accumulate):
            x, target = torch.randn(4, 6), torch.randn(4, 3)
            with torch.autocast(device, dtype=torch.bfloat16, enabled=autocast is not None):
                loss = F.mse_loss(model(x.to(device)).float(), target.to(device))
            loss.backward()
        optimizer.step()
    return loss.detach().cpu()


def pair():
    cpu = nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 3))
    return cpu, copy.deepcopy(cpu).to("hpu")


@pytest.mark.parametrize("accumulate", [1, 3])
def test_graphed_module_trains(accumulate, counters):
    cpu, hpu = pair()
    graphed = torch.hpu.make_graphed_callables(hpu, (torch.randn(4, 6, device="hpu"),), num_warmup_iters=2)
    counters()
    optimizers = [torch.optim.SGD(m.parameters(), lr=0.1) for m in (cpu, hpu)]
    a = train(cpu, optimizers[0], "cpu", 5, accumulate)
    b = train(graphed, optimizers[1], "hpu", 5, accumulate)
    torch.testing.assert_close(b, a, rtol=1e-4, atol=1e-5)
    assert counters()["graph_replays"] == 10 * accumulate
    for p, q in zip(cpu.parameters(), hpu.parameters(), strict=True):
        torch.testing.assert_close(q.detach().cpu(), p.detach(), rtol=1e-4, atol=1e-5)
    x = torch.randn(2, 6)
    torch.testing.assert_close(graphed.eval()(x.to("hpu")).detach().cpu(), cpu(x).detach(), rtol=1e-4, atol=1e-5)  # as it was before


def test_graphed_callables_in_series_under_autocast():
    cpu, hpu = pair()
    x = torch.randn(4, 6, device="hpu")
    with torch.autocast("hpu", dtype=torch.bfloat16):
        hidden = hpu[0](x).detach().requires_grad_()
        first, second = torch.hpu.make_graphed_callables((hpu[0], hpu[2]), ((x,), (hidden,)), num_warmup_iters=1)
    optimizers = [torch.optim.SGD(m.parameters(), lr=0.1) for m in (cpu, hpu)]
    a = train(cpu, optimizers[0], "cpu", 5, autocast=True)
    b = train(lambda x: second(torch.tanh(first(x))), optimizers[1], "hpu", 5, autocast=True)
    torch.testing.assert_close(b, a, rtol=2e-2, atol=2e-2)


def test_graphed_function_with_several_results():
    def function(x, w):
        return x * w, (x + w).detach(), w.sum()

    x, w = torch.randn(3), torch.randn(3)
    graphed = torch.hpu.make_graphed_callables(function, (x.to("hpu"), w.to("hpu").requires_grad_()))
    for _ in range(2):
        a, b = x.clone(), w.clone().requires_grad_()
        c, d = x.to("hpu"), w.to("hpu").requires_grad_()
        for f, args in ((function, (a, b)), (graphed, (c, d))):
            y, detached, total = f(*args)
            assert y.requires_grad and not detached.requires_grad
            (y.sum() + total).backward()
        torch.testing.assert_close(d.grad.cpu(), b.grad)
        x = x + 1


def test_a_backward_of_an_overwritten_forward_raises():
    graphed = torch.hpu.make_graphed_callables(nn.Linear(2, 2).to("hpu"), (torch.randn(1, 2, device="hpu"),))
    first = graphed(torch.ones(1, 2, device="hpu"))
    graphed(torch.zeros(1, 2, device="hpu"))
    with pytest.raises(RuntimeError, match="ran again"):
        first.sum().backward()


def test_hooks_are_refused():
    net = nn.Linear(2, 2).to("hpu")
    net.register_forward_hook(lambda *_: None)
    with pytest.raises(RuntimeError, match="hooks"):
        torch.hpu.make_graphed_callables(net, (torch.randn(1, 2, device="hpu"),))


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 3)

    def forward(self, x, *, scale=None, options=None):
        y = self.linear(x) * (options or {"factor": 1})["factor"]
        return {"y": y if scale is None else y * scale}


def test_module_cacher(counters):
    cpu = Scaled()
    hpu = gaudi.ModuleCacher(max_graphs=2)(copy.deepcopy(cpu).to("hpu"), have_grad_accumulation=True)
    counters()
    optimizers = [torch.optim.SGD(m.parameters(), lr=0.1) for m in (cpu, hpu)]
    for i in range(8):
        hpu.set_iteration_count(i)
        x, scale = torch.randn(2 + i % 2, 6), torch.randn(3)
        for model, optimizer, device in ((cpu, optimizers[0], "cpu"), (hpu, optimizers[1], "hpu")):
            out = model(x.to(device), scale=scale.to(device), options={"factor": 2})["y"]
            out.square().mean().backward()
            if i % 2:
                optimizer.step()
                optimizer.zero_grad()
    for p, q in zip(cpu.parameters(), hpu.parameters(), strict=True):
        torch.testing.assert_close(q.detach().cpu(), p.detach(), rtol=1e-4, atol=1e-5)
    moved = counters()
    assert moved["graph_captures"] == 4 and moved["graph_replays"] == 16
    assert not hpu.is_hpugraph_tracing()
    hpu.eval()
    torch.testing.assert_close(hpu(x.to("hpu"))["y"].detach().cpu(), cpu(x)["y"].detach(), rtol=1e-4, atol=1e-5)
    hpu.orig_forward(x.to("hpu"))
    assert counters()["graph_captures"] == 0


def test_module_cacher_keeps_the_most_frequent(counters):
    model = Scaled().to("hpu")
    cached = gaudi.ModuleCacher(max_graphs=1)(model, use_lfu=True, inplace=False)
    assert cached is not model and model.forward.__func__ is Scaled.forward
    batches = [torch.randn(n, 6, device="hpu") for n in (2, 3, 3)]
    cached.capture_start()
    for x in batches:
        cached(x)["y"].sum().backward()
    cached.capture_end()
    counters()
    for x in batches:
        cached(x)["y"].sum().backward()
    moved = counters()
    assert moved["graph_captures"] == 2 and moved["graph_replays"] == 4


# ---- calls replay on the caller's memory: nothing is copied in or out, and nothing of that may show


def test_results_are_the_callers_own():
    double = torch.hpu.wrap_in_hpu_graph(lambda x: x * 2)
    inputs = [torch.full((5,), float(i), device="hpu") for i in range(4)]
    results = [double(x) for x in inputs]
    for i, result in enumerate(results):
        torch.testing.assert_close(result.cpu(), torch.full((5,), 2.0 * i))
    results[1].add_(1)
    torch.testing.assert_close(results[2].cpu(), torch.full((5,), 4.0))


def test_calls_copy_nothing(counters):
    add = torch.hpu.wrap_in_hpu_graph(lambda x, y: (x + y, x - y))
    x, y = torch.randn(6, device="hpu"), torch.randn(6, device="hpu")
    add(x, y)
    torch.hpu.synchronize()
    counters()
    total, difference = add(x, y)
    torch.hpu.synchronize()
    assert counters()["kernels"] == 1
    torch.testing.assert_close((total + difference).cpu(), 2 * x.cpu())


@pytest.mark.parametrize("views", [True, False])
def test_slices_of_one_storage_are_told_apart(views):
    weights = torch.randn(3, 8, 8, device="hpu")
    x = torch.randn(4, 8, device="hpu")
    product = torch.hpu.wrap_in_hpu_graph(lambda x, w: x @ w)
    for _ in range(3):  # long enough that weights get packed
        for i in range(3):
            w = weights[i] if views else weights[i].clone()
            torch.testing.assert_close(product(x, w).cpu(), x.cpu() @ weights[i].cpu(), atol=1e-5, rtol=1e-5)


def test_an_argument_that_is_also_a_parameter():
    class Module(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("total", torch.zeros(4))

        def forward(self, x):
            self.total.add_(1)
            return x + self.total

    cpu, hpu = Module(), torch.hpu.wrap_in_hpu_graph(Module().to("hpu"))
    with torch.no_grad():
        cpu_x, hpu_x = torch.arange(4.0), torch.arange(4.0, device="hpu")
        for _ in range(2):
            torch.testing.assert_close(hpu(hpu_x).cpu(), cpu(cpu_x))
        expected = hpu.total.cpu() + hpu.total.cpu()  # the copy was taken before the graph added its 1
        torch.testing.assert_close(hpu(hpu.total).cpu(), expected + 1)
        torch.testing.assert_close(hpu(hpu_x).cpu(), hpu_x.cpu() + hpu.total.cpu())


def test_written_arguments_in_views():
    increment = torch.hpu.wrap_in_hpu_graph(lambda x, y: x.add_(y))
    storage = torch.zeros(3, 4, device="hpu")
    one = torch.ones(4, device="hpu")
    for i in (0, 2, 2):
        increment(storage[i], one)
    torch.testing.assert_close(storage.cpu(), torch.tensor([1.0, 0.0, 2.0])[:, None].expand(3, 4))


def test_a_result_that_the_module_keeps_is_written_by_every_call():
    class Module(torch.nn.Module):
        def forward(self, x):
            self.last = x * 3
            return self.last

    module = torch.hpu.wrap_in_hpu_graph(Module())
    first = module(torch.ones(3, device="hpu"))
    second = module(torch.full((3,), 2.0, device="hpu"))
    torch.testing.assert_close(module.last.cpu(), torch.full((3,), 6.0))
    torch.testing.assert_close(first.cpu(), torch.full((3,), 3.0))
    torch.testing.assert_close(second.cpu(), torch.full((3,), 6.0))


def test_results_that_share_memory_and_results_that_are_arguments():
    def function(x):
        y = x + 1
        return y, y[1:], x, x.t()

    wrapped = torch.hpu.wrap_in_hpu_graph(function)
    for seed in range(3):
        x = torch.randn(3, 3, generator=torch.Generator().manual_seed(seed))
        got = wrapped(x.to("hpu"))
        for a, b in zip(got, function(x), strict=True):
            torch.testing.assert_close(a.cpu(), b)
        got[0][1].zero_()  # as eager: a view of it
        assert got[1][0].abs().max().item() == 0


def test_none_and_keywords_find_their_graph():
    def function(x, mask=None, *, scale=None):
        y = x if mask is None else x * mask
        return y if scale is None else y * scale

    wrapped = torch.hpu.wrap_in_hpu_graph(function)
    x, two, three = (torch.full((4,), v, device="hpu") for v in (1.0, 2.0, 3.0))
    for _ in range(3):
        for args, kwargs in [
            ((x,), {}),
            ((x, two), {}),
            ((x, None), {"scale": three}),
            ((x,), {"scale": three, "mask": two}),
            ((x,), {"mask": two}),
        ]:
            torch.testing.assert_close(wrapped(*args, **kwargs).cpu(), function(*args, **kwargs).cpu())


def test_modes_are_seen_by_the_next_call():
    net = torch.nn.Linear(8, 8).to("hpu")
    wrapped = torch.hpu.wrap_in_hpu_graph(lambda x: net(x))
    x = torch.randn(2, 8, device="hpu")
    with torch.no_grad():
        assert wrapped(x).dtype == torch.float32
        with torch.autocast("hpu", dtype=torch.bfloat16):
            assert wrapped(x).dtype == torch.bfloat16
        assert wrapped(x).dtype == torch.float32
    with torch.inference_mode():
        assert wrapped(x).is_inference()
    module = torch.hpu.wrap_in_hpu_graph(torch.nn.Dropout(0.5).to("hpu"))
    ones = torch.ones(1000, device="hpu")
    assert module(ones).max().item() == 2
    module.eval()
    assert module(ones).max().item() == 1


def test_inputs_recorded_and_not_yet_run():
    double = torch.hpu.wrap_in_hpu_graph(lambda x: x * 2)
    x = torch.ones(4, device="hpu")
    for i in range(5):
        x = double(x) + i
    expected = torch.ones(4)
    for i in range(5):
        expected = expected * 2 + i
    torch.testing.assert_close(x.cpu(), expected)
    side = torch.hpu.Stream()
    with torch.hpu.stream(side):
        y = torch.arange(4.0, device="hpu") + 1
    torch.testing.assert_close(double(y).cpu(), (torch.arange(4.0) + 1) * 2)


# ---- a wrapped function is to others what a function is


@torch.hpu.wrap_in_hpu_graph
def scaled(x, *, factor=None):
    """Docs."""
    return x if factor is None else x * factor


def test_a_wrapped_function_looks_like_the_function():
    assert scaled.__name__ == "scaled" and scaled.__doc__ == "Docs." and list(inspect.signature(scaled).parameters) == ["x", "factor"]
    assert copy.copy(scaled) is scaled and copy.deepcopy(scaled) is scaled and pickle.loads(pickle.dumps(scaled)) is scaled

    class Holder:
        method = torch.hpu.wrap_in_hpu_graph(lambda self, x: x + 1)

    holder = Holder()
    for n in range(3):
        assert holder.method(torch.full((2,), float(n), device="hpu")).cpu().tolist() == [n + 1.0] * 2


def test_wrapped_modules_are_collected():
    net = torch.hpu.wrap_in_hpu_graph(nn.Linear(2, 2).to("hpu"))
    for _ in range(3):
        net(torch.ones(1, 2, device="hpu"))
    gone = weakref.ref(net)
    del net
    gc.collect()
    assert gone() is None


def test_hooks_of_a_wrapped_module_run(counters):
    net = torch.hpu.wrap_in_hpu_graph(nn.Linear(2, 2).to("hpu"))
    x = torch.ones(1, 2, device="hpu")
    expected = net(x).cpu()
    seen = []
    for register in (net.register_forward_hook, nn.modules.module.register_module_forward_hook):
        handle = register(lambda module, args, result: (seen.append(module), result + 1)[1])
        torch.testing.assert_close(net(x).cpu(), expected + 1)
        handle.remove()
        torch.testing.assert_close(net(x).cpu(), expected)
    handle = net.register_forward_pre_hook(lambda module, args: (args[0] * 0,))
    torch.testing.assert_close(net(x), net.bias.detach()[None])
    handle.remove()
    torch.testing.assert_close(net(x).cpu(), expected)
    assert seen == [net] * 2 and counters()["graph_captures"] == 1


def test_another_forward_takes_effect():
    net = nn.Linear(2, 2).to("hpu")
    x = torch.ones(1, 2, device="hpu")
    for _ in range(2):  # wrapped twice
        torch.hpu.wrap_in_hpu_graph(net)
        expected = net(x).cpu()
        torch.testing.assert_close(net(x).cpu(), expected)
    wrapped = net.forward
    net.forward = lambda x: wrapped(x) + 1
    torch.testing.assert_close(net(x).cpu(), expected + 1)
    net.forward = wrapped
    torch.testing.assert_close(net(x).cpu(), expected)


def test_a_modules_own_call_stays():
    class Added(nn.Linear):
        def _call_impl(self, *args, **kwargs):
            return super()._call_impl(*args, **kwargs) + 100

    net = Added(2, 2).to("hpu")
    x = torch.ones(1, 2, device="hpu")
    with torch.no_grad():
        expected = net(x).cpu()
    torch.hpu.wrap_in_hpu_graph(net)
    for _ in range(3):
        torch.testing.assert_close(net(x).cpu(), expected)


def test_copies_of_what_is_wrapped():
    net = torch.hpu.wrap_in_hpu_graph(nn.Sequential(nn.Linear(2, 2), nn.Tanh()).to("hpu"))
    x = torch.ones(1, 2, device="hpu")
    expected = net(x).cpu()
    other = copy.deepcopy(net)
    with torch.no_grad():
        for p in other.parameters():
            p.zero_()
    for _ in range(2):
        torch.testing.assert_close(other(x).cpu(), torch.zeros(1, 2))
        torch.testing.assert_close(net(x).cpu(), expected)
    other.clear_cache()
    partial = torch.hpu.wrap_in_hpu_graph(functools.partial(torch.add, torch.ones(2, device="hpu")))
    for same in (copy.copy(partial), copy.deepcopy(partial), copy.copy(net.forward)):
        assert same is partial or same is net.forward
