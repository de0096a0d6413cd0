"""Every _foreach op of torch: it decomposes into lowered ops, and what is recorded side by side becomes few kernels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from op_rows import fallbacks

SHAPES = ((3, 4), (5,), (2, 3, 2))
SCALARS = (1.5, 0.5, 2.0)
# Ops whose arguments are not lists of tensors and numbers alike.
OTHERWISE = ("_foreach_mm", "_foreach_copy")


def overloads() -> Iterator[Any]:
    for name in sorted(n for n in torch._C._dispatch_get_all_op_names() if n.startswith("aten::_foreach_")):
        base, _, overload = name.removeprefix("aten::").partition(".")
        op = getattr(getattr(torch.ops.aten, base), overload or "default")
        outputs = any(a.is_out for a in op._schema.arguments)
        if not outputs and not base.startswith(OTHERWISE):
            yield op


def arguments(op: Any, device: str) -> list[Any]:
    torch.manual_seed(0)

    def tensors() -> list[torch.Tensor]:
        return [(torch.rand(s) + 0.25).clamp(max=0.9).to(device) for s in SHAPES]

    args: list[Any] = []
    for a in op._schema.arguments:
        kind = str(a.type)
        if kind == "List[Tensor]":
            args.append(tensors())
        elif kind == "Tensor":
            scalars = torch.tensor(SCALARS) if a.name == "scalars" else torch.tensor(1.5)
            args.append(scalars if a.name == "scalars" else scalars.to(device))
        elif kind == "List[number]":
            args.append(list(SCALARS))
        elif kind == "number" and not a.has_default_value():
            args.append(2.0 if a.name == "ord" else 1.5)
        else:
            break
    return args


@pytest.mark.parametrize("op", overloads(), ids=lambda op: op.name().removeprefix("aten::"))
def test_foreach(op: Any) -> None:
    expected, ours = arguments(op, "cpu"), arguments(op, "hpu")
    before = fallbacks()
    native, results = op(*expected), op(*ours)
    if native is None:
        native, results = expected[0], ours[0]
    torch.hpu.synchronize()
    assert fallbacks() == before
    for r, n in zip(results, native, strict=True):
        torch.testing.assert_close(r.cpu(), n, rtol=1e-5, atol=1e-5)


def test_foreach_is_one_kernel(counters) -> None:
    xs = [torch.rand(n, device="hpu") for n in range(1, 101)]
    torch.hpu.synchronize()
    counters()
    torch._foreach_add_(xs, 1.0)
    torch._foreach_mul_(xs, 2.0)
    torch._foreach_sqrt_(xs)
    moved = counters()
    assert moved["kernels"] == 1 and moved["extern_calls"] == 0
