"""What the process may not do: more memory than there is, a forked child, the host within a capture, unknown options."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from torch_hpu import debug


def run(code: str, **environment: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120, env={**os.environ, **environment})


def test_out_of_memory():
    run(
        "import torch\n"
        "x = torch.zeros(1 << 20, device='hpu'); torch.hpu.synchronize()\n"
        "try:\n    y = torch.zeros(1 << 28, device='hpu'); torch.hpu.synchronize()\n"
        "except torch.OutOfMemoryError as e: assert 'tried to allocate' in str(e) and 'TORCH_HPU_MEMORY_LIMIT' in str(e), e\n"
        "else: raise AssertionError('no error')\n"
        "try: y.cpu()\n"
        "except torch.OutOfMemoryError: pass\n"
        "else: raise AssertionError('a tensor without memory has a value')\n"
        "del y\nassert (x + 1).sum().item() == 1 << 20\n",
        TORCH_HPU_MEMORY_LIMIT=str(64 << 20),
    )


FORK = (
    "import os, torch\n"
    "{before}\n"
    "pid = os.fork()\n"
    "if pid == 0:\n"
    "    try: {child}\n"
    "    except RuntimeError as e:\n"
    "        assert 'forked' in str(e), e\n"
    "        raise SystemExit(0)\n"  # the child ends as programs do: through exit()
    "    os._exit(3)\n"
    "assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0\n"
    "assert (x + 1).cpu().tolist() == [2, 2]\n"
)


@pytest.mark.parametrize("before", ["x = torch.ones(2, device='hpu'); x.cpu()", "x = torch.ones(2, device='hpu')",
                                    "x = torch.ones(2, device='hpu'); torch.hpu.mark_step()"])  # fmt: skip
@pytest.mark.parametrize("child", ["(x + 1).cpu()", "torch.zeros(2, device='hpu').sum().item()", "torch.hpu.synchronize()", "x.cpu()"])
def test_use_in_a_forked_child(before, child):
    run(FORK.format(before=before, child=child))


def test_a_forked_child_may_use_the_device_that_its_parent_never_used():
    run(
        "import os, torch\npid = os.fork()\n"
        "x = torch.ones(2, device='hpu')\nassert (x + 1).cpu().tolist() == [2, 2]\n"
        "assert pid == 0 or os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0\n"
    )


def test_fork_workers_of_a_data_loader_that_stay_off_the_device():
    run(
        "import torch\nx = torch.ones(2, device='hpu'); x.cpu()\n"
        "data = torch.utils.data.TensorDataset(torch.arange(8.0))\n"
        "loader = torch.utils.data.DataLoader(data, batch_size=2, num_workers=2, multiprocessing_context='fork')\n"
        "assert sum(b.to('hpu').sum().item() for (b,) in loader) == 28\n"
    )


@pytest.mark.parametrize("body", [
    lambda x: x.sum().item(),
    lambda x: x.cpu(),
    lambda x: bool((x > 0).all()),
    lambda x: x.nonzero(),
    lambda x: x[x > 0],
    lambda x: x.copy_(torch.ones(4)),
    lambda x: torch.hpu.synchronize(),
])  # fmt: skip
def test_the_host_within_a_capture(body):
    x = torch.ones(4, device="hpu")
    graph = torch.hpu.HPUGraph()
    with pytest.raises(RuntimeError, match="(?i)captured"), torch.hpu.graph(graph):
        y = x + 1
        body(y)
    assert not torch.hpu.is_current_stream_capturing()
    assert (x + 1).tolist() == [2, 2, 2, 2]
    with torch.hpu.graph(graph):
        z = x * 2
    graph.replay()
    assert z.tolist() == [2, 2, 2, 2]


def test_options():
    with pytest.raises(ValueError, match="unknown option"):
        debug.set_option("speed", 1)
    with pytest.raises(ValueError, match="expected one of"):
        debug.set_option("tier", "fast")
    with pytest.raises(ValueError, match="expected a number"):
        debug.set_option("max_nodes", "many")
    assert "TORCH_HPU_TIER" in debug.options()


def test_forbidden_fallback():
    x = torch.randn(4, 4, device="hpu")
    torch.linalg.matrix_exp(x).cpu()
    with debug.option("fallback", "error"), pytest.raises(RuntimeError, match="no compiled kernel"):
        torch.linalg.matrix_exp(x)


def test_events():
    start, end = torch.hpu.Event(enable_timing=True), torch.hpu.Event(enable_timing=True)
    with pytest.raises((RuntimeError, ValueError), match="recorded"):
        start.elapsed_time(end)
    plain = torch.hpu.Event()
    plain.record()
    start.record()
    with pytest.raises((RuntimeError, ValueError), match="(?i)timing"):
        start.elapsed_time(plain)
