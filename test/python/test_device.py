"""The device as a PyTorch citizen: streams, events, memory, random numbers, serialization."""

from __future__ import annotations

import copy
import io
import subprocess
import sys

import pytest
import torch
from torch import nn


def test_import_torch_alone_suffices():
    code = "import torch; x = torch.ones(2, device='hpu') + 1; assert x.cpu().tolist() == [2, 2]; assert torch.hpu.is_available()"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_device_functions():
    assert torch.hpu.device_count() == 1 and torch.hpu.current_device() == 0
    assert torch.accelerator.current_accelerator().type == "hpu"
    with torch.hpu.device(0):
        assert torch.ones(1, device="hpu").device == torch.device("hpu", 0)
    with pytest.raises(RuntimeError, match="invalid device"):
        torch.hpu.set_device(5)


def test_more_devices():
    code = (
        "import torch\nassert torch.hpu.device_count() == 2\n"
        "a = torch.ones(3, device='hpu:0'); b = a.to('hpu:1') + 1\nassert b.device.index == 1 and b.cpu().tolist() == [2, 2, 2]\n"
        "try: a + b\nexcept RuntimeError as e: assert 'different devices' in str(e)\nelse: raise AssertionError\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**__import__("os").environ, "TORCH_HPU_DEVICES": "2"})


def test_streams_and_events():
    side = torch.hpu.Stream()
    start, end = torch.hpu.Event(enable_timing=True), torch.hpu.Event(enable_timing=True)
    x = torch.ones(1000, device="hpu")
    start.record()
    with torch.hpu.stream(side):
        assert torch.hpu.current_stream() == side
        y = x + 1
        y = y * 2
    assert torch.hpu.current_stream() == torch.hpu.default_stream()
    torch.hpu.current_stream().wait_stream(side)
    z = y + 1
    end.record()
    end.synchronize()
    assert start.elapsed_time(end) > 0 and end.query()
    assert z.cpu().tolist() == [5] * 1000


def test_memory_statistics():
    torch.hpu.synchronize()
    before = torch.hpu.memory_allocated()
    x = torch.ones(1 << 20, device="hpu") + 1
    assert torch.hpu.memory_allocated() == before  # recorded only
    torch.hpu.synchronize()
    assert torch.hpu.memory_allocated() == before + (4 << 20)
    assert torch.hpu.max_memory_allocated() >= before + (4 << 20)
    assert torch.hpu.memory_stats()["allocation.all.current"] > 0
    assert torch.accelerator.memory_allocated() == torch.hpu.memory_allocated()
    del x
    torch.hpu.empty_cache()
    assert torch.hpu.memory_allocated() == before


def test_random_numbers():
    torch.hpu.manual_seed(5)
    a, state = torch.rand(100, device="hpu").cpu(), torch.hpu.get_rng_state()
    b = torch.randn(100, device="hpu").cpu()
    torch.hpu.set_rng_state(state)
    assert torch.equal(torch.randn(100, device="hpu").cpu(), b)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(100, device="hpu").cpu(), a) and torch.hpu.initial_seed() == 5
    big = torch.randn(200000, device="hpu")
    assert abs(big.mean().item()) < 0.01 and abs(big.std().item() - 1) < 0.01
    generator = torch.Generator(device="hpu").manual_seed(3)
    c = torch.rand(10, device="hpu", generator=generator)
    generator.manual_seed(3)
    assert torch.equal(torch.rand(10, device="hpu", generator=generator).cpu(), c.cpu())


def test_generic_and_compiled_draw_the_same_numbers():
    from torch_hpu import debug

    draws = []
    for tier in ("generic", "compiled"):
        with debug.option("tier", tier):
            torch.hpu.manual_seed(1)
            draws.append([torch.rand(1001, device="hpu").cpu(), torch.bernoulli(torch.full((77,), 0.5, device="hpu")).cpu(),
                          torch.nn.functional.dropout(torch.ones(55, device="hpu"), 0.3).cpu(), torch.randn(501, device="hpu").cpu()])  # fmt: skip
    for a, b in zip(*draws):
        torch.testing.assert_close(a, b)


def test_save_load_and_copy():
    net = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)).to("hpu")
    buffer = io.BytesIO()
    torch.save(net.state_dict(), buffer)
    buffer.seek(0)
    on_cpu = torch.load(buffer, map_location="cpu")
    for key, value in net.state_dict().items():
        assert on_cpu[key].device.type == "cpu" and torch.equal(on_cpu[key], value.cpu())
    buffer.seek(0)
    assert torch.load(buffer)["0.weight"].device.type == "hpu"
    twin = copy.deepcopy(net)
    with torch.no_grad():
        twin[0].weight.zero_()
    assert net[0].weight.abs().sum().item() > 0


def test_pinned_memory_and_methods():
    x = torch.randn(5).pin_memory()
    assert x.is_pinned()
    y = x.to("hpu", non_blocking=True)
    assert y.is_hpu and torch.equal(y.cpu(), x)
    assert torch.ones(2).hpu().device.type == "hpu"


def test_views_share_storage():
    x = torch.arange(12.0, device="hpu").view(3, 4)
    x.t()[1] = 0
    x[:, 2:].add_(10)
    x.as_strided((2,), (5,)).mul_(2)
    y = torch.arange(12.0).view(3, 4)
    y.t()[1] = 0
    y[:, 2:].add_(10)
    y.as_strided((2,), (5,)).mul_(2)
    assert torch.equal(x.cpu(), y)
    z = torch.empty(0, device="hpu")
    torch.add(x, 1, out=z)
    assert torch.equal(z.cpu(), y + 1)


def test_untyped_storage():
    storage = torch.UntypedStorage(16, device="hpu")
    t = torch.empty(0, device="hpu").set_(storage, 0, (4,))
    t.fill_(2)
    assert t.cpu().tolist() == [2.0] * 4
    t.untyped_storage().resize_(32)
    assert t.cpu().tolist() == [2.0] * 4
    c = t.untyped_storage().clone()
    assert torch.tensor([], device="hpu").set_(c, 0, (4,)).cpu().tolist() == [2.0] * 4
