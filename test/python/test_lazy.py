"""Recording, flushing and recompilation: values against the CPU, and the counters that say how they came about."""

from __future__ import annotations

import copy
import json

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from torch_hpu import debug, metrics


def same(hpu: torch.Tensor, cpu: torch.Tensor, **tolerances: float) -> None:
    assert hpu.device.type == "hpu"
    assert hpu.shape == cpu.shape and hpu.stride() == cpu.stride() and hpu.dtype == cpu.dtype
    torch.testing.assert_close(hpu.cpu(), cpu, **tolerances)


def test_nothing_runs_before_it_is_needed(counters):
    x = torch.ones(4, device="hpu")
    y = (x + 1) * 2
    assert counters.last["flushes"] == metrics.snapshot()["flushes"]
    assert y.sum().item() == 16
    moved = counters()
    assert moved["flushes"] == 1 and moved["compilations"] == 1 and moved["extern_calls"] == 0


def test_a_chain_is_one_kernel(counters):
    x = torch.randn(64, 33)
    y, z = x, x.to("hpu")
    counters()
    for i in range(24):
        y, z = torch.tanh(y * 1.1 + i), torch.tanh(z * 1.1 + i)
    same(z, y)
    assert counters()["kernels"] == 1


@pytest.mark.parametrize("function", [
    lambda x: x.softmax(-1),
    lambda x: F.layer_norm(x, (48,)) + x,
    lambda x: F.layer_norm(x.exp() + x, (48,)).tanh(),
    lambda x: x.log_softmax(-1) * 2,
])  # fmt: skip
def test_rows_with_their_neighbours_are_one_kernel(function, counters):
    x = torch.randn(37, 48)
    hpu = x.to("hpu")
    counters()
    same(function(hpu), function(x))
    assert counters()["kernels"] == 1


def test_same_structure_compiles_once(counters):
    for step in range(5):
        x = torch.full((8,), float(step)).to("hpu")
        same((x * 3 + step).relu(), (torch.full((8,), float(step)) * 3 + step).relu())
    assert counters()["compilations"] == 1


def test_learning_rate_schedule_does_not_recompile(counters):
    parameter = nn.Parameter(torch.randn(16, 16, device="hpu"))
    optimizer = torch.optim.Adam([parameter], lr=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 500)
    x = torch.randn(4, 16, device="hpu")
    for step in range(500):
        optimizer.zero_grad()
        (x @ parameter).square().mean().backward()
        optimizer.step()
        schedule.step()
        torch.hpu.mark_step()
        if step == 4:
            counters()
    moved = counters()
    assert moved["compilations"] == 0 and moved["breaking_calls"] == 0 and moved["flushes"] == 495


def test_moving_cache_offset_does_not_recompile(counters):
    cache, reference = torch.zeros(2, 64, 8, device="hpu"), torch.zeros(2, 64, 8)
    torch.hpu.mark_step()
    for position in range(1, 60):
        row = torch.full((2, 8), float(position))
        cache[:, position] = row.to("hpu")
        reference[:, position] = row
        torch.hpu.mark_step()
        if position == 3:
            counters()
    same(cache, reference)
    assert counters()["compilations"] == 0


def test_dropout_does_not_recompile(counters):
    x = torch.ones(1000, device="hpu")
    means = []
    for step in range(100):
        means.append(F.dropout(x, 0.25).mean())
        torch.hpu.mark_step()
        if step == 2:
            counters()
    moved = counters()
    assert moved["compilations"] == 0 and moved["extern_calls"] == 0
    values = torch.stack(means).cpu()
    assert len(set(values.tolist())) > 50 and abs(values.mean().item() - 1) < 0.02


def test_reading_several_scalars_runs_each_node_once(counters):
    x = torch.randn(32, device="hpu")
    a, b, c = x.sum(), x.max(), (x * x).sum()
    counters()
    _ = a.item(), b.item(), c.item()
    moved = counters()
    assert moved["flushes"] <= 1 and moved["recorded_ops"] == 0


def test_loss_curve_of_200_steps_equals_cpu():
    torch.manual_seed(3)
    net = nn.Sequential(nn.Linear(20, 64), nn.LayerNorm(64), nn.GELU(), nn.Linear(64, 10))
    data, labels = torch.randn(256, 20), torch.randint(0, 10, (256,))
    curves = []
    for device in ("cpu", "hpu"):
        model = copy.deepcopy(net).to(device)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        losses = []
        for step in range(200):
            rows = slice(step % 8 * 32, step % 8 * 32 + 32)
            optimizer.zero_grad()
            loss = F.cross_entropy(model(data[rows].to(device)), labels[rows].to(device))
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        curves.append(torch.stack(losses).cpu())
    torch.testing.assert_close(curves[1], curves[0], rtol=1e-4, atol=1e-5)


def test_batch_norm_updates_its_running_statistics():
    x = torch.randn(6, 3, 5, 5)
    cpu, hpu = nn.BatchNorm2d(3), nn.BatchNorm2d(3).to("hpu")
    for _ in range(3):
        same(hpu(x.to("hpu")).detach(), cpu(x).detach())
    same(hpu.running_mean, cpu.running_mean)
    same(hpu.running_var, cpu.running_var)
    assert hpu.num_batches_tracked.item() == 3
    same(hpu.eval()(x.to("hpu")).detach(), cpu.eval()(x).detach())


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_recurrent_nets(kind):
    torch.manual_seed(1)
    cpu = kind(7, 9, num_layers=2)
    hpu = copy.deepcopy(cpu).to("hpu")
    x = torch.randn(5, 3, 7)
    y, z = cpu(x)[0], hpu(x.to("hpu"))[0]
    torch.testing.assert_close(z.cpu(), y)
    y.square().sum().backward()
    z.square().sum().backward()
    for a, b in zip(cpu.parameters(), hpu.parameters()):
        torch.testing.assert_close(b.grad.cpu(), a.grad, rtol=1e-4, atol=1e-5)


def test_conj_into_mm_and_clone():
    a, b = torch.randn(3, 4, dtype=torch.complex64), torch.randn(3, 5, dtype=torch.complex64)
    same(a.to("hpu").conj().t() @ b.to("hpu"), a.conj().t() @ b)
    same(a.to("hpu").conj().clone(), a.conj().clone())
    assert torch.equal(a.to("hpu").conj().cpu(), a.conj())


def test_a_host_scalar_is_read_when_it_is_recorded():
    scale = torch.tensor(2.0)
    y = torch.ones(3, device="hpu") * scale
    scale.fill_(100.0)
    assert y.cpu().tolist() == [2.0, 2.0, 2.0]


def test_a_block_is_not_reused_while_its_recipe_is_queued():
    x = torch.randn(1 << 16)
    a = x.to("hpu")
    y = a
    for _ in range(20):
        y = torch.sin(y)
    torch.hpu.mark_step()
    del a
    filled = torch.full((1 << 16,), 7.0).to("hpu")
    z = x
    for _ in range(20):
        z = torch.sin(z)
    torch.testing.assert_close(y.cpu(), z)
    assert filled.cpu().eq(7).all()


def test_eager_mode_compiles_nothing(counters):
    x = torch.randn(5, 6)
    with torch.hpu.eager_mode():
        z = (x.to("hpu") * 2).softmax(0)
        z += 1
    torch.testing.assert_close(z.cpu(), (x * 2).softmax(0) + 1)
    moved = counters()
    assert moved["compilations"] == 0 and moved["kernels"] == 0 and moved["eager_calls"] >= 3


@pytest.mark.parametrize("tier", ["generic", "compiled", "auto"])
def test_tiers_agree(tier):
    with debug.option("tier", tier):
        x = torch.randn(9, 11)
        for _ in range(3):
            same((x.to("hpu").t() * 2).softmax(1).sum(0), (x.t() * 2).softmax(1).sum(0))


def test_dead_code_is_not_run(counters):
    x = torch.randn(16, device="hpu")
    counters()
    unused = torch.exp(x)
    del unused
    y = x + 1
    y.cpu()
    assert counters()["kernels"] == 1


def test_flush_causes_are_counted():
    metrics.reset()
    x = torch.ones(2, device="hpu") + 1
    torch.hpu.mark_step()
    x += 1
    x.sum().item()
    causes = debug.flush_causes()
    assert causes["mark_step"] == 1 and causes["item()"] == 1


def test_trace_and_kernel_table(tmp_path):
    x = torch.randn(8, 8, device="hpu")
    with debug.trace(str(tmp_path / "trace.json")):
        (x @ x).softmax(1).cpu()
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert any("softmax" in e["name"] for e in events)
    assert "softmax" in debug.kernel_table() and "matmul" in debug.kernel_table()


def test_a_long_in_place_chain_is_not_quadratic(counters):
    x = torch.zeros(16, device="hpu")
    torch.hpu.synchronize()
    for _ in range(8000):
        x.add_(1)
    assert x.cpu().tolist() == [8000.0] * 16


def test_verification_and_dumps(tmp_path):
    x = torch.randn(7, 5)
    with debug.option("verify", True), debug.option("dump", str(tmp_path)):
        same((x.to("hpu").t() + 3).softmax(0), (x.t() + 3).softmax(0))
    names = {p.name.split(".", 2)[2] for p in tmp_path.iterdir()}  # number, graph, what it shows
    assert {"00.graph.txt", "02.lowered.txt"} <= names and any("fuse" in n for n in names)


def test_nodes_are_capped(counters):
    with debug.option("max_nodes", 50):
        x = torch.zeros(4, device="hpu")
        for _ in range(200):
            x = x + 1
    assert x.cpu().tolist() == [200.0] * 4
    assert counters()["flushes"] >= 4


def test_unknown_ops_run_inside_the_graph(counters):
    x = torch.randn(6, 6)
    same(torch.linalg.matrix_exp(x.to("hpu")) + 1, torch.linalg.matrix_exp(x) + 1, rtol=1e-4, atol=1e-4)
    counters()
    same(torch.sort(x.to("hpu"), 0).values * 2, torch.sort(x, 0).values * 2)
    same(torch.sort(x.to("hpu"), 0).values * 2, torch.sort(x, 0).values * 2)
    moved = counters()
    assert moved["extern_calls"] == 1 and moved["breaking_calls"] == 0  # the first call learned the shapes


def test_data_dependent_ops_break_the_graph(counters):
    x = torch.tensor([0.0, 1.0, 0.0, 2.0])
    assert torch.equal(x.to("hpu").nonzero().cpu(), x.nonzero())
    assert counters()["breaking_calls"] == 1
    assert torch.equal(x.to("hpu")[x.to("hpu") > 0].cpu(), x[x > 0])


def test_half_precisions():
    x = torch.randn(33, 17)
    for dtype in (torch.bfloat16, torch.float16):
        a = x.to(dtype)
        torch.testing.assert_close((a.to("hpu") * 3).relu().cpu(), (a * 3).relu())
        torch.testing.assert_close(a.to("hpu").float().sum(1).cpu(), a.float().sum(1))
        torch.testing.assert_close(F.softmax(a.to("hpu"), 1).cpu(), F.softmax(a, 1), rtol=2e-2, atol=2e-3)


def test_autocast():
    net = nn.Linear(8, 8).to("hpu")
    with torch.autocast("hpu", dtype=torch.bfloat16):
        y = net(torch.randn(2, 8, device="hpu"))
    assert y.dtype == torch.bfloat16 and y.isfinite().all().item()
