"""Random programs of views and in-place ops, run five ways: CPU, lazy compiled, lazy generic, eager, and replayed from an HPU Graph."""

from __future__ import annotations

import contextlib
import os
import random

import pytest
import torch

from torch_hpu import debug

SEEDS = int(os.environ.get("TORCH_HPU_FUZZ_SEEDS", "300"))


def program(seed: int, device: str, inputs: list[torch.Tensor]) -> list[torch.Tensor]:
    """Works on `inputs` in place and returns everything that can be seen at the end. The same choices for the same seed."""
    rng = random.Random(seed)
    tensors = list(inputs)
    for _ in range(rng.randint(4, 14)):
        t = rng.choice(tensors)
        kind = rng.randrange(14)
        if kind == 0 and t.dim() > 0:
            dim = rng.randrange(t.dim())
            start = rng.randrange(t.size(dim))
            t = t.narrow(dim, start, rng.randint(1, t.size(dim) - start))
        elif kind == 1 and t.dim() > 1:
            t = t.transpose(0, rng.randrange(t.dim()))
        elif kind == 2 and t.dim() > 0:
            dim = rng.randrange(t.dim())
            t = t.select(dim, rng.randrange(t.size(dim)))
        elif kind == 3 and t.dim() > 0:
            t = t[tuple(slice(None, None, rng.randint(1, 2)) for _ in range(t.dim()))]
        elif kind == 4:
            t = t.reshape(-1)
        elif kind == 5:
            t = t * 2 + 1
        elif kind == 6:
            t = t.unsqueeze(rng.randrange(t.dim() + 1)).expand(*[-1] * (t.dim() + 1)) if t.dim() < 4 else t.neg()
        elif kind == 7:
            t.add_(rng.randint(1, 5))
            continue
        elif kind == 8:
            t.mul_(0.5)
            continue
        elif kind == 9:
            t.copy_(torch.full((), float(rng.randint(0, 9)), device=t.device))
            continue
        elif kind == 10:
            other = rng.choice(tensors)
            with contextlib.suppress(RuntimeError):
                if t.shape == other.shape:
                    t.add_(other.clone())
            continue
        elif kind == 11:
            t.zero_()
            continue
        elif kind == 12 and t.dim() > 0:
            t = t.sum(rng.randrange(t.dim())) * 0.25
        elif kind == 13:
            t = t.clone()
            t.fill_(rng.randint(0, 3))
        tensors.append(t)
        if rng.random() < 0.1 and device == "hpu":
            torch.hpu.mark_step()  # in a capture only a hint
    return tensors


def fresh(seed: int, device: str) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = [(4, 6), (3, 2, 5), (7,)]
    return [torch.randn(s, generator=generator).to(device) for s in shapes]


def check(seed: int, got: list[torch.Tensor], expected: list[torch.Tensor]) -> None:
    assert len(got) == len(expected)
    for i, (g, e) in enumerate(zip(got, expected)):
        assert g.shape == e.shape and g.stride() == e.stride(), f"seed {seed}, tensor {i}"
        torch.testing.assert_close(g.cpu(), e, msg=lambda m, i=i: f"seed {seed}, tensor {i}: {m}")


def one_way(seed: int, way: str) -> list[torch.Tensor]:
    inputs = fresh(seed, "hpu")
    if way == "eager":
        with torch.hpu.eager_mode():
            return program(seed, "hpu", inputs)
    if way == "replay":
        captured = torch.hpu.HPUGraph()
        with torch.hpu.graph(captured):
            outputs = program(seed, "hpu", inputs)
        captured.replay()
        one_way.keep = captured
        return outputs
    with debug.option("tier", way):
        outputs = program(seed, "hpu", inputs)
        torch.hpu.synchronize()
        return outputs


@pytest.mark.parametrize("way", ["compiled", "generic", "eager", "replay"])
def test_programs(way):
    for seed in range(SEEDS):
        check(seed, one_way(seed, way), program(seed, "cpu", fresh(seed, "cpu")))
