"""Attention on the device against ATen's CPU kernel in one process: forward, and backward by itself, taking turns, minima compared."""

from __future__ import annotations

import argparse

import torch
import torch.nn.functional as F
from bench import measure, on_hpu
from torch import Tensor

import torch_hpu

# batch, heads, queries, keys, width, causal
SHAPES = [
    (4, 12, 128, 128, 64, False),
    (1, 12, 1, 256, 64, False),
    (2, 8, 1024, 1024, 40, False),
    (1, 8, 4096, 4096, 40, False),
    (2, 16, 77, 77, 64, True),
    (4, 12, 32, 32, 64, False),
]
TRAINED = [(4, 12, 128, 128, 64, False), (2, 8, 1024, 1024, 64, False), (2, 16, 77, 77, 64, True)]


def heads(b: int, h: int, n: int, width: int) -> Tensor:
    return torch.randn(b, n, h, width).transpose(1, 2)


def backward_on_hpu(arguments: list[Tensor], grad: Tensor, causal: bool):
    """A graph of the backward alone: the forward ran before."""
    inputs = [a.to("hpu").requires_grad_() for a in arguments]
    grad = grad.to("hpu")
    out = F.scaled_dot_product_attention(*inputs, is_causal=causal)
    torch.hpu.synchronize()
    graph = torch.hpu.HPUGraph()
    with torch.hpu.graph(graph):
        grads = torch.autograd.grad(out, inputs, grad, retain_graph=True)

    def call() -> object:
        graph.replay()
        torch.hpu.synchronize()
        return grads, out, inputs, grad

    return call


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    torch_hpu.debug.set_option("tier", "compiled")
    torch.manual_seed(0)
    for b, h, n, s, width, causal in SHAPES:

        def attend(q: Tensor, k: Tensor, v: Tensor, causal: bool = causal) -> Tensor:
            return F.scaled_dot_product_attention(q, k, v, is_causal=causal)

        arguments = [heads(b, h, n, width), heads(b, h, s, width), heads(b, h, s, width)]
        calls = max(1, 2 * 10**8 // (b * h * n * s * width))
        with torch.no_grad():
            measure(f"forward {b} {h} {n}x{s} {width}{' causal' if causal else ''}", calls, rounds, {
                "eager": lambda a=arguments, f=attend: f(*a), "hpu graph": on_hpu(attend, arguments),
            })  # fmt: skip
    for b, h, n, s, width, causal in TRAINED:
        arguments = [heads(b, h, n, width), heads(b, h, s, width), heads(b, h, s, width)]
        host = [a.clone().requires_grad_() for a in arguments]
        out = F.scaled_dot_product_attention(*host, is_causal=causal)
        grad = torch.randn_like(out)
        calls = max(1, 10**8 // (b * h * n * s * width))
        measure(f"backward {b} {h} {n}x{s} {width}{' causal' if causal else ''}", calls, rounds, {
            "eager": lambda o=out, i=host, g=grad: torch.autograd.grad(o, i, g, retain_graph=True),
            "hpu graph": backward_on_hpu(arguments, grad, causal),
        })  # fmt: skip


if __name__ == "__main__":
    main()
