"""The harness of the op tests: rows, layouts, and calls on both devices that are recorded now and compared later.

A row's function is called with CPU tensors and with their copies on the device, whose graph is compiled. Shape, strides, dtype and
values must agree; in half precisions the reference is computed in float, because a fused kernel rounds once. A lowered op must also
run as generated kernels: not one extern call. The tables stand in test_ops_*.py, one file per
family; test_ops_complete.py sees to it that every lowered op has a row.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from torch_hpu import metrics

FLOATS = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
SINGLE = (torch.float32,)
TRAINED = (torch.float32, torch.bfloat16)
INTEGERS = (torch.int32, torch.int64, torch.uint8)
NUMBERS = (*FLOATS, *INTEGERS)
ANY = (*NUMBERS, torch.bool)
WHOLE = (*INTEGERS, torch.int8, torch.int16)
TOLERANCE = {torch.float32: (1e-5, 1e-5), torch.float64: (1e-9, 1e-9), torch.bfloat16: (1.6e-2, 1e-2), torch.float16: (2e-3, 1e-3)}


@dataclasses.dataclass
class Row:
    name: str
    function: Callable[..., Any]
    inputs: int = 1
    dtypes: tuple[torch.dtype, ...] = FLOATS
    grad: bool = True
    low: float = -3.0  # range of the values
    high: float = 3.0
    extern: bool = False  # the op may run as an ATen kernel
    scale: float = 1.0  # of the tolerance


def unary(name: str, function: Callable[..., Any] | None = None, **more: Any) -> Row:
    return Row(name, function or getattr(torch, name), **more)


def binary(name: str, function: Callable[..., Any] | None = None, **more: Any) -> Row:
    return Row(name, function or getattr(torch, name), inputs=2, **more)


def values(shape: tuple[int, ...], dtype: torch.dtype, low: float, high: float) -> torch.Tensor:
    if dtype == torch.bool:
        return torch.rand(shape) > 0.5
    if not dtype.is_floating_point:
        low = max(low, 0) if dtype == torch.uint8 else low
        return torch.randint(math.ceil(low), math.floor(high) + 1, shape).to(dtype)
    return (torch.rand(shape, dtype=torch.float64) * (high - low) + low).to(dtype)


# Every layout makes views of the given number of tensors.
LAYOUTS: dict[str, Callable[[Callable[[tuple[int, ...]], torch.Tensor], int], list[torch.Tensor]]] = {
    "contiguous": lambda make, n: [make((5, 37)) for _ in range(n)],
    "broadcast": lambda make, n: [make(((3, 1, 19), (4, 1), (19,))[i]) for i in range(n)],
    "transposed": lambda make, n: [make((7, 6)).t() if i == 0 else make((6, 7)) for i in range(n)],
    "strided": lambda make, n: [make((6, 40))[::2, 3:37:3] for _ in range(n)],
    "expanded": lambda make, n: [make((4, 1)).expand(4, 9) for _ in range(n)],
    "0-d": lambda make, n: [make(()) for _ in range(n)],
    "0-d and 1-d": lambda make, n: [make((11,) if i == n - 1 else ()) for i in range(n)],
    "one": lambda make, n: [make((1, 1)) for _ in range(n)],
    "empty": lambda make, n: [make((0, 3)) for _ in range(n)],
    "channels last": lambda make, n: [make((2, 3, 4, 5)).to(memory_format=torch.channels_last) for _ in range(n)],
}


def to_device(x: Any) -> Any:
    """A copy on the device with the strides of x, views of one storage included."""
    if not isinstance(x, torch.Tensor):
        return x
    storage = torch.empty(x.untyped_storage().nbytes() // x.element_size(), dtype=x.dtype)
    storage.copy_(torch.as_strided(x, storage.shape, (1,), 0))
    return torch.as_strided(storage.to("hpu"), x.shape, x.stride(), x.storage_offset())


def tensors_of(result: Any) -> list[torch.Tensor]:
    if isinstance(result, torch.Tensor):
        return [result]
    return [t for t in result if isinstance(t, torch.Tensor)]


def widen(x: Any) -> Any:
    return x.float() if isinstance(x, torch.Tensor) and x.dtype in (torch.bfloat16, torch.float16) else x


def compare(actual: torch.Tensor, expected: torch.Tensor, dtype: torch.dtype, scale: float, what: str) -> None:
    """`dtype`: the precision of the computation."""
    actual = actual.cpu()
    assert actual.shape == expected.shape, f"{what}: shape {tuple(actual.shape)}, expected {tuple(expected.shape)}"
    if not actual.dtype.is_floating_point:
        torch.testing.assert_close(actual, expected, rtol=0, atol=0, msg=lambda m: f"{what}: {m}")
        return
    half = torch.bfloat16 if torch.bfloat16 in (dtype, actual.dtype) else torch.float16
    rtol, atol = TOLERANCE[half if torch.float16 in (dtype, actual.dtype) or half == torch.bfloat16 else actual.dtype]
    torch.testing.assert_close(
        actual.double(), expected.double(), rtol=rtol * scale, atol=atol * scale, equal_nan=True, msg=lambda m: f"{what}: {m}"
    )


def layout_of(result: torch.Tensor) -> tuple[Any, ...]:
    return (tuple(result.shape), result.stride() if result.numel() else None, result.dtype)


class Case:
    """One call on both devices, recorded now and compared later, so that many cases share a graph."""

    def __init__(self, function: Callable[..., Any], args: list[Any], dtype: torch.dtype, what: str, wanted: list[int], scale: float):
        """`wanted`: the arguments by which to differentiate."""
        self.dtype, self.what, self.scale, self.wanted, self.grads = dtype, what, scale, wanted, []
        half = dtype in (torch.bfloat16, torch.float16)
        torch.manual_seed(1)
        native = tensors_of(function(*args))
        self.expected = native
        if half:
            torch.manual_seed(1)
            self.expected = [
                e if not n.dtype.is_floating_point else e.to(n.dtype) for e, n in zip(tensors_of(function(*map(widen, args))), native)
            ]
        device_args = [to_device(a) for a in args]
        device_args = [a.detach().requires_grad_() if i in wanted else a for i, a in enumerate(device_args)]
        self.actual = tensors_of(function(*device_args))
        assert len(self.actual) == len(self.expected), what
        for actual, reference in zip(self.actual, native):
            assert actual.device.type == "hpu", f"{what}: {actual.device}"
            assert layout_of(actual) == layout_of(reference), (
                f"{what}: (shape, strides, dtype) {layout_of(actual)}, expected {layout_of(reference)}"
            )
        if wanted:
            self.record_gradient(function, args, device_args)

    def record_gradient(self, function: Callable[..., Any], args: list[Any], device_args: list[Any]) -> None:
        leaves = [widen(a).detach().requires_grad_() if i in self.wanted else widen(a) for i, a in enumerate(args)]
        torch.manual_seed(1)
        outputs = [o for o in tensors_of(function(*leaves)) if o.requires_grad]
        ours = [o for o in self.actual if o.requires_grad]
        weights = [torch.rand(o.shape, dtype=torch.float64) for o in outputs]
        if not outputs:
            return
        reference = torch.autograd.grad(
            outputs, [leaves[i] for i in self.wanted], [w.to(o.dtype) for w, o in zip(weights, outputs)], allow_unused=True
        )
        gradients = torch.autograd.grad(
            ours, [device_args[i] for i in self.wanted], [w.to(o.dtype).to("hpu") for w, o in zip(weights, ours)], allow_unused=True
        )
        for i, g, r in zip(self.wanted, gradients, reference):
            assert (g is None) == (r is None), f"{self.what}: gradient of argument {i}"
            if g is not None:
                self.grads.append((i, g, r))

    def check(self) -> None:
        for k, (actual, expected) in enumerate(zip(self.actual, self.expected)):
            compare(actual.detach(), expected.detach(), self.dtype, self.scale, f"{self.what}, result {k}")
        for i, gradient, reference in self.grads:
            compare(gradient, reference, self.dtype, 2 * self.scale, f"{self.what}, gradient of argument {i}")


def fallbacks() -> dict[str, int]:
    """Ops so far that ran otherwise than as generated kernels or library primitives, by name."""
    total: dict[str, int] = {}
    for counter in ("extern_calls", "infer_calls", "breaking_calls"):
        for name, n in metrics.details(counter).items():
            total[name] = total.get(name, 0) + n
    return total


def run(cases: list[tuple[Callable[..., Any], list[Any], list[int], str]], dtype: torch.dtype, scale: float, extern: bool) -> None:
    before = fallbacks()
    recorded = [Case(function, args, dtype, what, wanted, scale) for function, args, wanted, what in cases]
    torch.hpu.synchronize()
    externs = {name for name, n in fallbacks().items() if n != before.get(name, 0)}
    for case in recorded:
        case.check()
    assert extern or not externs, f"not lowered: {sorted(externs)}"


@dataclasses.dataclass
class Shaped:
    """A row with arguments of its own: a shape (as a list: of a transposed tensor), differentiated by, or a tensor as it is."""

    name: str
    function: Callable[..., Any]
    args: tuple[Any, ...] = ((5, 37),)
    dtypes: tuple[torch.dtype, ...] = TRAINED
    grad: bool = True
    low: float = -3.0
    high: float = 3.0
    extern: bool = False
    scale: float = 4.0


def index(shape: tuple[int, ...], size: int, low: int = 0) -> torch.Tensor:
    return torch.randint(low, size, shape, generator=torch.Generator().manual_seed(5))


def over_dims(name: str, function: Callable[..., Any], dims: tuple[Any, ...], **more: Any) -> list[Shaped]:
    """Over several dims and layouts, with and without the reduced dims."""
    return [
        Shaped(f"{name}-{dim}{'-keep' if keep else ''}", lambda x, d=dim, k=keep: function(x, d, k), (shape,), **more)
        for dim, keep, shape in [(d, k, s) for d, k in zip(dims, (False, True) * len(dims)) for s in ((4, 9, 17), [3, 5, 7])]
    ]


DIMS: tuple[Any, ...] = (0, -1, 1, (0, 1), (0, 2), (1, 2), (0, 1, 2), ())
ONE_DIM: tuple[Any, ...] = (0, 1, -1)
REDUCED = (torch.float32, torch.float64, torch.bfloat16)


def argument(value: Any, dtype: torch.dtype, row: Shaped) -> Any:
    if isinstance(value, tuple):
        return values(value, dtype, row.low, row.high)
    if isinstance(value, list):
        n = len(value)
        return values(tuple(value[::-1]), dtype, row.low, row.high).permute(*range(n - 1, -1, -1))
    return value


def run_row(row: Row, dtype: torch.dtype) -> None:
    """A pointwise row in every layout."""
    cases = []
    for layout, views in LAYOUTS.items():
        args = views(lambda shape: values(shape, dtype, row.low, row.high), row.inputs)
        cases.append((row.function, args, list(range(row.inputs)) if row.grad and dtype.is_floating_point else [], f"{row.name} {layout}"))
    run(cases, dtype, row.scale, row.extern)


def pointwise(rows: list[Row]) -> Any:
    return pytest.mark.parametrize("row,dtype", [pytest.param(r, t, id=f"{r.name}-{str(t)[6:]}") for r in rows for t in r.dtypes])


def shaped(rows: list[Shaped]) -> Any:
    by_name: dict[str, list[Shaped]] = {}
    for row in rows:
        by_name.setdefault(row.name, []).append(row)
    return pytest.mark.parametrize(
        "rows,dtype", [pytest.param(r, t, id=f"{name}-{str(t)[6:]}") for name, r in by_name.items() for t in r[0].dtypes]
    )


def run_shaped(rows: list[Shaped], dtype: torch.dtype) -> None:
    cases = []
    for row in rows:
        made = [i for i, a in enumerate(row.args) if not isinstance(a, torch.Tensor)]
        wanted = made if row.grad and dtype.is_floating_point else []
        cases.append((row.function, [argument(a, dtype, row) for a in row.args], wanted, f"{row.name} {row.args[0]}"))
    run(cases, dtype, rows[0].scale, rows[0].extern)
