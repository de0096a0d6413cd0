"""Errors that show when recorded work runs, and what the process may not do: more memory than there is, a forked child, unknown options."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from torch_hpu import debug


@pytest.fixture(autouse=True)
def usable_afterwards():
    yield
    assert (torch.ones(3, device="hpu") * 2).cpu().tolist() == [2, 2, 2]


def test_an_index_out_of_range_fails_when_it_is_read():
    weight = torch.randn(10, 4, device="hpu")
    rows = F.embedding(torch.tensor([1, 50], device="hpu"), weight)
    other = weight + 1
    with pytest.raises((RuntimeError, IndexError), match="(?i)index"):
        rows.cpu()
    with pytest.raises((RuntimeError, IndexError), match="(?i)index"):
        rows.sum().item()
    del other


def test_out_of_memory():
    code = (
        "import torch\n"
        "x = torch.zeros(1 << 20, device='hpu'); torch.hpu.synchronize()\n"
        "try:\n    y = torch.zeros(1 << 28, device='hpu'); torch.hpu.synchronize()\n"
        "except torch.OutOfMemoryError as e: assert 'tried to allocate' in str(e), e\n"
        "else: raise AssertionError('no error')\n"
        "del y\nassert (x + 1).sum().item() == 1 << 20\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**__import__("os").environ, "TORCH_HPU_MEMORY_LIMIT": str(64 << 20)})


def test_use_in_a_forked_child():
    code = (
        "import os, torch\nx = torch.ones(2, device='hpu'); x.cpu()\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    try: (x + 1).cpu()\n"
        "    except RuntimeError as e: os._exit(0 if 'forked' in str(e) else 2)\n"
        "    os._exit(3)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0\n"
        "assert (x + 1).cpu().tolist() == [2, 2]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_options():
    with pytest.raises(ValueError, match="unknown option"):
        debug.set_option("speed", 1)
    with pytest.raises(ValueError, match="expected one of"):
        debug.set_option("tier", "fast")
    assert "TORCH_HPU_TIER" in debug.options()


def test_forbidden_fallback():
    x = torch.randn(4, 4, device="hpu")
    torch.linalg.matrix_exp(x).cpu()
    with debug.option("fallback", "error"), pytest.raises(RuntimeError, match="no compiled kernel"):
        torch.linalg.matrix_exp(x)
