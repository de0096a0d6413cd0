"""Random programs of layers whose operands lie in every way (dense, strided, permuted, cut out, expanded), against the CPU in double."""

from __future__ import annotations

import math
import os
import random
from collections.abc import Callable

import pytest
import torch
from torch.nn import functional as F

from torch_hpu import debug

SEEDS = int(os.environ.get("TORCH_HPU_FUZZ_SEEDS", "120"))
POOL = 1 << 20  # numbers that operands are taken from
MOST = 1 << 17  # elements of a result


class TooLargeError(Exception):
    """An operand would take too much of the pool."""


class Program:
    """The same choices for the same seed, on any device and in any dtype."""

    def __init__(self, seed: int, pool: torch.Tensor, smooth: bool = False) -> None:
        self.smooth = smooth  # for gradients: no maxima, since where values are equal but for rounding, one may go to any of them
        self.rng, self.pool, self.numbers = random.Random(seed), pool, torch.arange(1 << 13, device=pool.device)
        # Small ones meet more corners, large ones the kernels of real networks: several threads, packed weights, Winograd.
        self.large = seed % 4 == 3
        self.tensors: list[torch.Tensor] = []

    def operand(self, *shape: int) -> torch.Tensor:
        rng, n = self.rng, math.prod(shape)
        if 8 * n > POOL:
            raise TooLargeError
        offset = rng.randrange(POOL - 4 * n)
        kind = rng.randrange(6) if shape else 0
        if kind == 1:  # strided
            return self.pool[offset : offset + 2 * n].view(*shape, 2)[..., rng.randrange(2)]
        if kind == 2:  # permuted
            order = list(range(len(shape)))
            rng.shuffle(order)
            inverse = [order.index(d) for d in range(len(shape))]
            return self.pool[offset : offset + n].view([shape[d] for d in order]).permute(inverse)
        if kind == 3:  # cut out
            dim = rng.randrange(len(shape))
            larger = [s + 2 if d == dim else s for d, s in enumerate(shape)]
            if math.prod(larger) <= 4 * n:
                return self.pool[offset : offset + math.prod(larger)].view(larger).narrow(dim, rng.randrange(3), shape[dim])
        if kind == 4:  # expanded
            smaller = [s if rng.random() < 0.5 else 1 for s in shape]
            return self.pool[offset : offset + math.prod(smaller)].view(smaller).expand(shape)
        return self.pool[offset : offset + n].view(shape)

    def broadcast(self, t: torch.Tensor) -> torch.Tensor:
        """An operand that broadcasts to t, of as many dims or fewer."""
        shape = [s if self.rng.random() < 0.6 else 1 for s in t.shape]
        return self.operand(*shape[self.rng.randrange(len(shape)) :])

    def width(self) -> int:
        return self.rng.choice([1, 32, 48, 65]) if self.large else self.rng.randint(1, 12)

    def bias(self, n: int) -> torch.Tensor | None:
        return self.operand(n) if self.rng.random() < 0.6 else None

    # Layers: null when they do not take t.

    def linear(self, t: torch.Tensor) -> torch.Tensor:
        n = self.width()
        return F.linear(t, self.operand(n, t.size(-1)), self.bias(n))

    def matmul(self, t: torch.Tensor) -> torch.Tensor | None:
        if t.dim() < 2:
            return None
        batch = t.shape[:-2] if self.rng.random() < 0.5 else ()
        return t @ self.operand(*batch, t.size(-1), self.width()) / math.sqrt(t.size(-1))

    def addmm(self, t: torch.Tensor) -> torch.Tensor | None:
        if t.dim() != 2:
            return None
        out = t.new_empty(t.size(0), self.width(), device="meta")
        return torch.addmm(self.broadcast(out), t, self.operand(t.size(1), out.size(1)), beta=self.rng.choice([1, 0.5]))

    def convolution(self, t: torch.Tensor) -> torch.Tensor | None:
        rng, n = self.rng, t.dim() - 2
        if n not in (1, 2):
            return None
        kernel = [rng.choice([1, 1, 3]) for _ in range(n)]
        channels, groups = self.width(), 1
        if rng.random() < 0.2:
            channels = groups = t.size(1)
        padding = [rng.randrange(k // 2 + 1) for k in kernel]
        if any(s + 2 * p < k for s, p, k in zip(t.shape[2:], padding, kernel, strict=True)):
            return None
        weight = self.operand(channels, t.size(1) // groups, *kernel)
        f = F.conv2d if n == 2 else F.conv1d
        return f(t, weight, self.bias(channels), stride=rng.choice([1, 1, 2]), padding=padding, groups=groups)

    def transposed_convolution(self, t: torch.Tensor) -> torch.Tensor | None:
        if t.dim() != 4:
            return None
        channels, kernel = self.rng.choice([1, 3, 8]), self.rng.choice([1, 2, 3])
        return F.conv_transpose2d(t, self.operand(t.size(1), channels, kernel, kernel), self.bias(channels), stride=self.rng.choice([1, 2]))

    def layer_norm(self, t: torch.Tensor) -> torch.Tensor | None:
        n = t.size(-1)
        return F.layer_norm(t, [n], self.operand(n), self.bias(n), eps=0.1)

    def group_norm(self, t: torch.Tensor) -> torch.Tensor | None:
        if t.dim() < 3:
            return None
        c = t.size(1)
        return F.group_norm(t, self.rng.choice([g for g in (1, 2, c) if c % g == 0]), self.operand(c), self.operand(c), eps=0.1)

    def batch_norm(self, t: torch.Tensor) -> torch.Tensor | None:
        if t.dim() < 2:
            return None
        c = t.size(1)
        mean, variance, weight, bias = (self.operand(c) for _ in range(4))
        if self.smooth:  # ATen's backward on the CPU takes them for dense, and is wrong where they are not
            mean, variance, weight, bias = (x.clone() for x in (mean, variance, weight, bias))
        return F.batch_norm(t, mean.detach(), variance.detach().square() + 0.5, weight, bias)

    def softmax(self, t: torch.Tensor) -> torch.Tensor:
        return F.softmax(t, self.rng.randrange(t.dim())) * 4

    def attention(self, t: torch.Tensor) -> torch.Tensor | None:
        if t.dim() < 3:
            return None
        keys, width = self.rng.randint(1, 9), self.width()
        mask = self.operand(t.size(-2), keys) if self.rng.random() < 0.4 else None
        return F.scaled_dot_product_attention(
            t, self.operand(*t.shape[:-2], keys, t.size(-1)), self.operand(*t.shape[:-2], keys, width), mask
        )

    def pool2d(self, t: torch.Tensor) -> torch.Tensor | None:
        if t.dim() != 4 or min(t.shape[2:]) < 2:
            return None
        f, kernel = F.avg_pool2d if self.smooth else self.rng.choice([F.max_pool2d, F.avg_pool2d]), self.rng.choice([2, 3])
        if kernel > min(t.shape[2:]):
            return None
        return f(t, kernel, self.rng.choice([1, 2]), self.rng.randrange(2), ceil_mode=self.rng.random() < 0.3)

    def upsample(self, t: torch.Tensor) -> torch.Tensor | None:
        if t.dim() != 4:
            return None
        return F.interpolate(t, scale_factor=2, mode=self.rng.choice(["nearest", "bilinear"]))

    def activation(self, t: torch.Tensor) -> torch.Tensor:
        functions = [F.gelu, F.silu, torch.sigmoid, torch.tanh, lambda x: F.gelu(x, approximate="tanh"), lambda x: x * 0.5]
        return self.rng.choice(functions if self.smooth else [torch.relu, *functions])(t)

    def arithmetic(self, t: torch.Tensor) -> torch.Tensor:
        other = self.broadcast(t)
        return self.rng.choice([torch.add, torch.mul, torch.sub, torch.add, torch.mul])(t, other)

    def residual(self, t: torch.Tensor) -> torch.Tensor | None:
        same = [x for x in self.tensors if x.shape == t.shape and x is not t]
        return t + self.rng.choice(same) if same else None

    def gate(self, t: torch.Tensor) -> torch.Tensor | None:
        n = t.size(-1) // 2
        return t[..., :n] * torch.sigmoid(t[..., n : 2 * n]) if n > 0 else None

    def reduction(self, t: torch.Tensor) -> torch.Tensor:
        f = self.rng.choice([torch.sum, torch.mean] if self.smooth else [torch.sum, torch.mean, torch.amax])
        return f(t, self.rng.randrange(t.dim()), keepdim=True) * 0.5

    def joined(self, t: torch.Tensor) -> torch.Tensor:
        dim = self.rng.randrange(t.dim())
        shape = list(t.shape)
        shape[dim] = self.rng.randint(1, 3)
        return torch.cat([t, self.operand(*shape)], dim)

    def indices(self, n: int, *shape: int) -> torch.Tensor:
        first, step, factor = self.rng.randrange(100), self.rng.randint(1, 2), self.rng.randint(1, 7)
        numbers = self.numbers[first : first + step * math.prod(shape) : step]
        return (numbers * factor % n).view(shape)

    def indexed(self, t: torch.Tensor) -> torch.Tensor:
        dim, kind = self.rng.randrange(t.dim()), self.rng.randrange(5)
        n = t.size(dim)
        if kind == 0:
            return t.index_select(dim, self.indices(n, self.rng.randint(1, 9)))
        if kind == 1:
            return t.gather(dim, self.indices(n, *t.shape)) if t.numel() < 2000 else t
        if kind == 2:
            return F.embedding(self.indices(t.size(0), 2, 3), t.flatten(1)) if t.dim() > 1 else t
        if kind == 3:
            return t.index_add(dim, self.indices(n, 3), self.operand(*[3 if d == dim else s for d, s in enumerate(t.shape)]))
        return t[self.indices(t.size(0), 4), ...]

    def rearranged(self, t: torch.Tensor) -> torch.Tensor:
        dim, kind = self.rng.randrange(t.dim()), self.rng.randrange(6)
        if kind == 0:
            return t.flip(dim)
        if kind == 1:
            return t.roll(self.rng.randint(-3, 3), dim)
        if kind == 2:
            return F.pad(t, [self.rng.randint(-1, 2) if t.size(-1) > 1 else 1, self.rng.randint(0, 2)], value=0.5)
        if kind == 3:
            return torch.stack([t, self.operand(*t.shape)], dim)
        if kind == 4:
            return t.repeat_interleave(2, dim)
        return torch.cat(t.chunk(2, dim)[::-1], dim)

    def written(self, t: torch.Tensor) -> torch.Tensor:
        """A copy that is written in place, in part."""
        y, dim = t * 1, self.rng.randrange(t.dim())
        part = y.narrow(dim, 0, self.rng.randint(1, t.size(dim)))
        part = part[..., :: self.rng.randint(1, 2)]
        kind = self.rng.randrange(4)
        if kind == 0:
            part.copy_(self.broadcast(part))
        elif kind == 1:
            part.add_(self.broadcast(part), alpha=0.5)
        elif kind == 2:
            part.mul_(self.broadcast(part))
        else:
            part.masked_fill_(self.indices(2, *part.shape[-1:]).bool(), 0.25)
        return y

    def statistics(self, t: torch.Tensor) -> torch.Tensor:
        dim, kind = self.rng.randrange(t.dim()), self.rng.randrange(6)
        if kind == 0:
            return t.cumsum(dim) * 0.5
        if kind == 1:
            return t.var(dim, keepdim=True, correction=0)
        if kind == 2:
            return (t.square() + 0.25).sum(dim, keepdim=True).sqrt()
        if kind == 3:
            return t.log_softmax(dim)
        if kind == 4:
            return t.logsumexp(dim, keepdim=True)
        return t - t.mean(dim, keepdim=True)

    def einsum(self, t: torch.Tensor) -> torch.Tensor | None:
        if t.dim() != 3:
            return None
        other = self.operand(t.size(2), t.size(0), self.width())
        return torch.einsum(self.rng.choice(["abc,cad->abd", "abc,cad->bad", "abc,cad->adb"]), t, other)

    def view(self, t: torch.Tensor) -> torch.Tensor:
        kind, dim = self.rng.randrange(5), self.rng.randrange(t.dim())
        if kind == 0:
            return t.transpose(dim, self.rng.randrange(t.dim()))
        if kind == 1:
            start = self.rng.randrange(t.size(dim))
            return t.narrow(dim, start, self.rng.randint(1, t.size(dim) - start))
        if kind == 2 and t.dim() < 4:
            return t.unsqueeze(dim)
        if kind == 3 and t.dim() > 2:
            return t.flatten(0, 1)
        return t.contiguous(memory_format=torch.channels_last) if t.dim() == 4 else t.contiguous()

    LAYERS: tuple[Callable[[Program, torch.Tensor], torch.Tensor | None], ...] = (
        *[linear, matmul, convolution, arithmetic, activation] * 3,
        *[addmm, transposed_convolution, layer_norm, group_norm, batch_norm, softmax, attention, pool2d, upsample],
        *[residual, gate, reduction, joined, indexed, rearranged, written, statistics, einsum, view, view],
    )

    def run(self) -> list[torch.Tensor]:
        shapes = [(2, 32, 17, 12), (3, 50, 64), (120, 96)] if self.large else [(2, 8, 7, 6), (3, 5, 8), (6, 16)]
        self.tensors = [self.operand(*shape) for shape in shapes]
        for _ in range(self.rng.randint(4, 12)):
            t = self.rng.choice(self.tensors[-3:])  # mostly chains
            try:
                y = self.rng.choice(self.LAYERS)(self, t)
            except TooLargeError:
                continue
            if y is not None and 0 < y.numel() <= MOST and y.dim() > 0:
                self.tensors.append(y)
        return self.tensors


def pool_of(seed: int) -> torch.Tensor:
    return torch.randn(POOL, generator=torch.Generator().manual_seed(seed)) * 0.7


def off_by(got: torch.Tensor, exact: torch.Tensor) -> float:
    assert got.shape == exact.shape
    return (got.detach().cpu().double() - exact.detach()).abs().max().item()


def expect_close(what: str, got: torch.Tensor, on_cpu: torch.Tensor, exact: torch.Tensor) -> None:
    """Not much worse than ATen's kernels on the CPU in the same dtype: a softmax of large values makes much of small errors."""
    tolerance = (2e-5 if got.dtype == torch.float else 0.02) * (1 + exact.detach().abs().max().item())
    worst = off_by(got, exact)
    assert worst <= tolerance + 2 * off_by(on_cpu, exact), f"{what}: off by {worst}"


@pytest.mark.parametrize("dtype", [torch.float, torch.bfloat16])
@pytest.mark.parametrize("way", ["compiled", "verified", "eager", "replay"])
def test_values(way: str, dtype: torch.dtype) -> None:
    for seed in range(SEEDS):
        pool = pool_of(seed).to(dtype)
        device = pool.to("hpu")
        program = Program(seed, device)
        if way == "eager":
            with torch.hpu.eager_mode():
                got = program.run()
        elif way == "replay":
            graph = torch.hpu.HPUGraph()
            with torch.hpu.graph(graph):
                got = program.run()
            for _ in range(3):  # the second packs weights, the third finds them changed
                pool.mul_(-0.9)
                device.copy_(pool)
                graph.replay()
        else:
            with debug.option("tier", "compiled"), debug.option("verify", way == "verified"):
                got = program.run()
                torch.hpu.synchronize()
        for i, values in enumerate(zip(got, Program(seed, pool).run(), Program(seed, pool.double()).run(), strict=True)):
            expect_close(f"seed {seed}, tensor {i}", *values)


def test_gradients() -> None:
    with debug.option("tier", "compiled"):
        for seed in range(SEEDS):
            gradients = []
            for pool in (pool_of(seed).to("hpu"), pool_of(seed), pool_of(seed).double()):
                pool.requires_grad_()
                sum((t.square().mean() for t in Program(seed, pool, smooth=True).run()), torch.zeros((), device=pool.device)).backward()
                gradients.append(pool.grad)
            expect_close(f"seed {seed}", *gradients)
