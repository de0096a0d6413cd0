"""The process around the device: every order of imports, and every moment to exit."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


def run(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], timeout=120, capture_output=True, text=True, env={**os.environ, **environment}, check=False
    )
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
    return done.stdout


USE = "x = torch.ones(3, device='hpu'); assert (x + 1).tolist() == [2, 2, 2]; assert x.is_hpu and torch.hpu.is_available()"


@pytest.mark.parametrize("imports", [
    "import torch",
    "import torch, torch_hpu",
    "import torch_hpu, torch",
    "import torch_hpu.hpu; import torch",
    "import torch_hpu.metrics; import torch",
    "import torch.nn.functional; import torch",
    "from torch_hpu import graphs; import torch",
    "import threading, torch_hpu\nt = threading.Thread(target=lambda: __import__('torch')); t.start(); t.join()\nimport torch",
    "import torch, importlib, torch_hpu\nfrom torch_hpu import _register\n_register.register(); _register.register()",
])  # fmt: skip
def test_import_orders(imports):
    run(f"{imports}\n{USE}")


def test_without_autoload():
    run(
        f"import torch\nassert not hasattr(torch, 'hpu')\nimport torch_hpu\ntorch_hpu._autoload()\n{USE}", TORCH_DEVICE_BACKEND_AUTOLOAD="0"
    )


CHAIN = "for i in range(60):\n    x = torch.tanh(x * 1.01 + i) @ y\n"


@pytest.mark.parametrize("tier", ["auto", "compiled", "generic"])
@pytest.mark.parametrize("end", ["", "torch.hpu.mark_step()", "torch.hpu.mark_step(); raise SystemExit(0)", "x.sum().item()",
                                 "import os; torch.hpu.mark_step(); os._exit(0)"])  # fmt: skip
def test_exit_while_it_works(tier, end):
    """Recorded and not flushed, queued, or being compiled: the process ends, and quietly."""
    code = f"import torch\nx = torch.randn(200, 200, device='hpu'); y = x / 100\n{CHAIN}{end}\n"
    run(code, TORCH_HPU_TIER=tier)


def test_exit_in_a_later_compilation():
    """What a second compilation constructs must not die before the thread that uses it stops."""
    run(
        "import torch\nx = torch.randn(64, device='hpu')\n"
        "x.tanh().cpu(); x.tanh().cpu()\n"
        "y = torch.nn.functional.conv2d(torch.randn(1, 3, 32, 32, device='hpu'), torch.randn(8, 3, 3, 3, device='hpu')).relu().cpu()\n"
        "for n in range(2, 12):\n    (torch.randn(n, n + 1, device='hpu').softmax(0) @ torch.randn(n + 1, 3, device='hpu')).cpu()\n",
        TORCH_HPU_TIER="auto",
    )


def test_exit_with_streams_and_graphs_alive():
    run(
        "import torch\nx = torch.ones(1000, device='hpu')\ngraph = torch.hpu.HPUGraph()\n"
        "with torch.hpu.graph(graph):\n    y = (x * 2).relu()\n"
        "for _ in range(50): graph.replay()\n"
        "side = torch.hpu.Stream()\n"
        "with torch.hpu.stream(side):\n    z = y + 1\n    torch.hpu.mark_step()\n"
    )


def test_exit_in_a_thread():
    run(
        "import sys, threading, torch\n"
        "def work():\n    x = torch.randn(100, 100, device='hpu')\n    (x @ x).tanh()\n    torch.hpu.mark_step()\n    sys.exit(3)\n"
        "t = threading.Thread(target=work); t.start(); t.join()\n"
    )
