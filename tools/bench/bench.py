"""The device against PyTorch eager, torch.compile and, where the packages onnx, onnxscript and onnxruntime are installed, ONNX Runtime, in one
process: the same work, taking turns, minima compared."""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
import time
from collections.abc import Callable

import torch

import torch_hpu


def chain(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """24 pointwise ops."""
    y = x * w + b
    t, e, s = torch.tanh(y), torch.exp(torch.neg(torch.abs(y))), torch.sigmoid(y)
    z = torch.where(y > 0, t, e) * s + x
    z = z * torch.rsqrt(z * z + 1.0)
    z = torch.clamp(z, -0.9, 0.9) + torch.log1p(e)
    z = z - torch.sin(z)
    return torch.relu(torch.maximum(z, w) * 0.5) + b


def mlp() -> torch.nn.Module:
    layers: list[torch.nn.Module] = []
    for _ in range(6):
        layers += [torch.nn.Linear(64, 64), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers).eval()


def on_hpu(function: Callable[..., torch.Tensor], arguments: list[torch.Tensor]) -> Callable[[], object]:
    graph = torch.hpu.HPUGraph()
    inputs = [a.to("hpu") for a in arguments]
    with torch.hpu.graph(graph):
        output = function(*inputs)

    def call() -> object:
        graph.replay()
        torch.hpu.synchronize()
        return output, inputs, function  # the graph reads the module's parameters: they must live

    return call


def on_onnxruntime(module: torch.nn.Module, x: torch.Tensor) -> dict[str, Callable[[], object]]:
    """The module with bound buffers, as an engine; nothing where ONNX Runtime is not installed."""
    if any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxscript", "onnxruntime")):
        print("ONNX Runtime: not installed")
        return {}
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/module.onnx"
        torch.onnx.export(module, (x,), path, dynamo=True, verbose=False)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    output = module(x)
    binding = session.io_binding()
    for bind, node, tensor in (
        (binding.bind_input, session.get_inputs()[0], x),
        (binding.bind_output, session.get_outputs()[0], output),
    ):
        bind(node.name, "cpu", 0, "float32", tuple(tensor.shape), tensor.data_ptr())
    return {"onnxruntime": lambda: (session.run_with_iobinding(binding), x, output)}


def measure(name: str, calls: int, rounds: int, engines: dict[str, Callable[[], object]]) -> None:
    best = dict.fromkeys(engines, float("inf"))
    ready = {}
    for engine, call in engines.items():
        start = time.perf_counter()
        call()
        ready[engine] = time.perf_counter() - start
        call()
    for _ in range(rounds):
        for engine, call in engines.items():
            start = time.perf_counter()
            for _ in range(calls):
                call()
            best[engine] = min(best[engine], (time.perf_counter() - start) / calls)
    for engine, seconds in best.items():
        print(
            f"{name:32s} {engine:14s} {seconds * 1e6:10.1f} us  ratio to eager {seconds / best['eager']:.3f}  first call {ready[engine]:.2f} s"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    torch_hpu.debug.set_option("tier", "compiled")
    torch.manual_seed(0)
    with torch.no_grad():
        arguments = [torch.randn(2048, 2048), torch.randn(2048), torch.randn(2048, 1)]
        compiled = torch.compile(chain)
        measure("24 pointwise ops on 4M floats", 1, rounds, {
            "eager": lambda: chain(*arguments), "torch.compile": lambda: compiled(*arguments), "hpu graph": on_hpu(chain, arguments),
        })  # fmt: skip
        net, x = mlp(), torch.randn(1, 64)
        compiled_net = torch.compile(mlp())
        wrapped, on_device = torch.hpu.wrap_in_hpu_graph(mlp().to("hpu")), x.to("hpu")
        measure("6 x linear 64 + relu, batch 1", 300, rounds, {
            "eager": lambda: net(x), "torch.compile": lambda: compiled_net(x), **on_onnxruntime(net, x),
            "hpu graph": on_hpu(mlp().to("hpu"), [x]), "wrapped module": lambda: (wrapped(on_device), torch.hpu.synchronize()),
        })  # fmt: skip


if __name__ == "__main__":
    main()
