"""Ops on the device against ATen's CPU kernels: a table of ops x dtypes x layouts, forward and gradient.

A row's function is called with CPU tensors and with their copies on the device, whose graph is compiled. Shape, strides, dtype and
values must agree; in half precisions the reference is computed in float, because a fused kernel rounds once. A lowered op must also
run as generated kernels: not one extern call.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from torch_hpu import debug, metrics

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


def comparison(name: str) -> list[Row]:
    function = getattr(torch, name)
    return [
        binary(name, dtypes=ANY, grad=False),
        unary(name + "_scalar", lambda x: function(x, 1), dtypes=ANY, grad=False),
        unary(name + "_fraction", lambda x: function(x, 0.5), dtypes=ANY, grad=False),
    ]


POINTWISE = [
    # arithmetic
    binary("add", dtypes=ANY),
    binary("add_alpha", lambda x, y: torch.add(x, y, alpha=2), dtypes=NUMBERS),
    unary("add_int", lambda x: x + 2, dtypes=ANY),
    unary("add_float", lambda x: x + 0.7, dtypes=ANY),
    unary("add_number", lambda x: torch.add(x, torch.tensor(3)), dtypes=ANY),
    binary("sub", dtypes=NUMBERS),
    unary("rsub", lambda x: 3 - x, dtypes=NUMBERS),
    binary("rsub_alpha", lambda x, y: torch.rsub(x, y, alpha=2), dtypes=NUMBERS),
    binary("mul", dtypes=ANY),
    unary("mul_float", lambda x: x * 1.5, dtypes=ANY),
    binary("div", lambda x, y: x / (y.abs() + 1), dtypes=NUMBERS),
    unary("div_float", lambda x: x / 1.5, dtypes=ANY),
    unary("div_int", lambda x: x / 3, dtypes=ANY),
    binary("div_floor", lambda x, y: torch.div(x, y.abs() + 1, rounding_mode="floor"), dtypes=(torch.float32, torch.float64, *INTEGERS), grad=False),
    binary("div_trunc", lambda x, y: torch.div(x, y.abs() + 1, rounding_mode="trunc"), dtypes=(torch.float32, torch.float64, *INTEGERS), grad=False),
    unary("floor_divide", lambda x: x // 2, dtypes=(torch.float32, torch.float64, *INTEGERS), grad=False),
    binary("remainder", lambda x, y: torch.remainder(x, y.abs() + 1), dtypes=(torch.float32, torch.float64, *INTEGERS), grad=False),
    unary("remainder_scalar", lambda x: x % 2, dtypes=(torch.float32, torch.float64, *INTEGERS), grad=False),
    unary("remainder_negative", lambda x: x % -3, dtypes=(torch.float32, torch.float64, torch.int32, torch.int64), grad=False),
    binary("fmod", lambda x, y: torch.fmod(x, y.abs() + 1), dtypes=(torch.float32, torch.float64, *INTEGERS), grad=False),
    unary("fmod_scalar", lambda x: torch.fmod(x, 2), dtypes=(torch.float32, torch.float64, *INTEGERS), grad=False),
    binary("maximum", dtypes=ANY),
    binary("minimum", dtypes=ANY),
    binary("fmax", dtypes=ANY),
    binary("fmin", dtypes=ANY),
    binary("atan2", scale=4),
    binary("hypot", scale=4),
    binary("copysign", grad=False),
    binary("nextafter", dtypes=(torch.float32, torch.float64), grad=False),
    binary("logaddexp", scale=4),
    binary("logaddexp2", scale=4),
    binary("xlogy", low=0.1, scale=4),
    unary("pow_2", lambda x: x**2, dtypes=NUMBERS),
    unary("pow_3", lambda x: x**3, dtypes=NUMBERS, scale=4),
    unary("pow_half", lambda x: x**0.5, low=0.1),
    unary("pow_minus_half", lambda x: x**-0.5, low=0.1),
    unary("pow_minus_1", lambda x: x**-1, low=0.1),
    unary("pow_minus_2", lambda x: x**-2, low=0.3),
    unary("pow_1.7", lambda x: x**1.7, low=0.1, scale=4),
    unary("pow_0", lambda x: x**0, dtypes=NUMBERS, grad=False),
    unary("pow_base", lambda x: 2.5**x, scale=8),
    unary("pow_base_int", lambda x: 2**x, dtypes=(torch.int32, torch.int64), low=0, grad=False),
    binary("pow", low=0.2, scale=8),
    binary("pow_int", lambda x, y: x ** y.abs(), dtypes=INTEGERS, low=0, grad=False),
    Row("addcmul", lambda x, y, z: torch.addcmul(x, y, z, value=0.5), inputs=3, scale=2),
    Row("addcmul_int", lambda x, y, z: torch.addcmul(x, y, z, value=2), inputs=3, dtypes=(torch.int32, torch.int64), grad=False),
    Row("addcdiv", lambda x, y, z: torch.addcdiv(x, y, z, value=0.5), inputs=3, low=0.5, scale=2),
    binary("lerp", lambda x, y: torch.lerp(x, y, 0.3), scale=2),
    binary("lerp_far", lambda x, y: torch.lerp(x, y, 0.8), scale=2),
    Row("lerp_tensor", torch.lerp, inputs=3, scale=8),
    unary("clamp", lambda x: x.clamp(-1, 2), dtypes=(*FLOATS, torch.int32, torch.int64)),
    unary("clamp_float", lambda x: x.clamp(0.25, 1.75), dtypes=(*FLOATS, torch.int64)),
    unary("clamp_min", lambda x: x.clamp(min=0.5), dtypes=FLOATS),
    unary("clamp_max", lambda x: torch.clamp_max(x, 1), dtypes=(*FLOATS, torch.int64)),
    Row("clamp_tensor", lambda x, y, z: torch.clamp(x, y, z), inputs=3, grad=False),
    binary("clamp_min_tensor", lambda x, y: torch.clamp(x, min=y)),
    binary("clamp_max_tensor", lambda x, y: torch.clamp(x, max=y)),
    Row("where", lambda x, y, z: torch.where(x > 0.5, y, z), inputs=3, dtypes=NUMBERS),
    unary("where_number", lambda x: torch.where(x > 0, x, 2.0), dtypes=FLOATS),
    unary("where_other", lambda x: torch.where(x > 0, 1, x), dtypes=FLOATS),
    binary("masked_fill", lambda x, y: x.masked_fill(y > 0, 2.5)),
    unary("masked_fill_inf", lambda x: x.masked_fill(x > 0, -math.inf), grad=False),
    unary("masked_fill_tensor", lambda x: x.masked_fill(x > 0, torch.tensor(1.5))),
    # comparison, logic, bits
    *(row for name in ("eq", "ne", "lt", "le", "gt", "ge") for row in comparison(name)),
    binary("logical_and", dtypes=ANY, grad=False),
    binary("logical_or", dtypes=ANY, grad=False),
    binary("logical_xor", dtypes=ANY, grad=False),
    unary("logical_not", dtypes=ANY, grad=False),
    binary("bitwise_and", dtypes=(*WHOLE, torch.bool), grad=False),
    binary("bitwise_or", dtypes=(*WHOLE, torch.bool), grad=False),
    binary("bitwise_xor", dtypes=(*WHOLE, torch.bool), grad=False),
    unary("bitwise_and_scalar", lambda x: x & 3, dtypes=WHOLE, grad=False),
    unary("bitwise_or_scalar", lambda x: x | 3, dtypes=WHOLE, grad=False),
    unary("bitwise_xor_scalar", lambda x: x ^ 3, dtypes=WHOLE, grad=False),
    unary("bitwise_not", dtypes=(*WHOLE, torch.bool), grad=False),
    unary("shift_left", lambda x: x << 2, dtypes=WHOLE, grad=False),
    unary("shift_right", lambda x: x >> 1, dtypes=WHOLE, grad=False),
    unary("isnan", lambda x: torch.isnan(x / x), grad=False, low=0),
    unary("isinf", lambda x: torch.isinf(1 / (x - x)), grad=False),
    unary("isfinite", lambda x: torch.isfinite(1 / x), grad=False),
    unary("nan_to_num", lambda x: torch.nan_to_num(x / (x > 0)), low=-1, grad=False, dtypes=(torch.float32, torch.float64)),
    unary("signbit", dtypes=(*FLOATS, torch.int32), grad=False),
    # unary
    unary("neg", dtypes=NUMBERS),
    unary("abs", dtypes=NUMBERS),
    unary("sign", dtypes=ANY, grad=False),
    unary("sgn", dtypes=(torch.float32, torch.int64), grad=False),
    unary("square", dtypes=NUMBERS),
    *(unary(name, dtypes=NUMBERS, grad=False) for name in ("floor", "ceil", "trunc", "round")),
    unary("round_decimals", lambda x: torch.round(x, decimals=1), dtypes=(torch.float32, torch.float64), grad=False),
    unary("frac", scale=4),
    *(unary(name, dtypes=(*FLOATS, torch.int64, torch.bool), scale=4) for name in ("exp", "exp2", "expm1", "sin", "cos", "atan", "sinh", "cosh", "tanh")),
    *(unary(name, dtypes=(*FLOATS, torch.int64), scale=4) for name in ("asinh", "erf", "erfc", "sigmoid")),
    *(unary(name, low=0.2, scale=4) for name in ("log", "log2", "log10", "log1p", "sqrt", "rsqrt", "reciprocal", "lgamma")),
    unary("digamma", low=0.2, scale=4, grad=False),
    *(unary(name, low=-0.9, high=0.9, scale=8) for name in ("asin", "acos", "atanh", "erfinv", "tan")),
    unary("acosh", low=1.2, scale=8),
    unary("log_int", lambda x: torch.log(x + 1), dtypes=(*INTEGERS, torch.bool), low=0, grad=False),
    unary("sqrt_int", torch.sqrt, dtypes=(*INTEGERS, torch.bool), low=0, grad=False),
    unary("reciprocal_int", lambda x: torch.reciprocal(x + 1), dtypes=INTEGERS, low=0, grad=False),
    unary("sinc", scale=8, grad=False, extern=True),
    unary("log_negative", lambda x: torch.log(x), grad=False),
    unary("logit", lambda x: torch.logit(x, eps=1e-3), low=0.0, high=1.0, scale=16),
    unary("deg2rad", scale=4),
    # activations
    unary("relu", dtypes=(*FLOATS, torch.int64)),
    unary("relu6", F.relu6),
    unary("gelu", F.gelu, scale=4),
    unary("gelu_tanh", lambda x: F.gelu(x, approximate="tanh"), scale=4),
    unary("silu", F.silu, scale=4),
    unary("mish", F.mish, scale=4),
    unary("hardtanh", lambda x: F.hardtanh(x, -1, 2)),
    unary("hardswish", F.hardswish, scale=2),
    unary("hardsigmoid", F.hardsigmoid, scale=20),  # ATen's 1/6 is a float even for double
    unary("leaky_relu", lambda x: F.leaky_relu(x, 0.1)),
    unary("elu", lambda x: F.elu(x, 0.7), scale=4),
    unary("selu", F.selu, scale=4),
    unary("celu", lambda x: F.celu(x, 0.7), scale=4),
    unary("softplus", lambda x: F.softplus(x, 1.3, 2.5), scale=4),
    unary("logsigmoid", F.logsigmoid, scale=4),
    unary("threshold", lambda x: F.threshold(x, 0.5, 1.5)),
    unary("hardshrink", lambda x: F.hardshrink(x, 0.5)),
    unary("softshrink", lambda x: F.softshrink(x, 0.5)),
    unary("softsign", F.softsign, scale=4),
    # copies and fills
    unary("clone", torch.clone, dtypes=ANY),
    unary("contiguous", lambda x: x.contiguous(), dtypes=ANY),
    unary("fill", lambda x: torch.clone(x).fill_(2), dtypes=ANY, grad=False),
    unary("zero", lambda x: torch.clone(x).zero_(), dtypes=ANY, grad=False),
    unary("zeros_like", torch.zeros_like, dtypes=ANY, grad=False),
    unary("full_like", lambda x: torch.full_like(x, 3), dtypes=ANY, grad=False),
    *(unary("to_" + str(t)[6:], lambda x, t=t: x.to(t), dtypes=ANY, grad=False) for t in (torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.int64, torch.int32, torch.bool)),
    unary("to_uint8", lambda x: x.to(torch.uint8), dtypes=(*FLOATS, torch.int64), low=0, grad=False),
]  # fmt: skip


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


@pytest.fixture(autouse=True)
def compiled():
    """The tier under test; and no op of these tables may have been learned by running it."""
    with debug.option("tier", "compiled"):
        torch.manual_seed(0)
        torch.hpu.synchronize()
        yield


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


@pytest.mark.parametrize("row,dtype", [pytest.param(r, t, id=f"{r.name}-{str(t)[6:]}") for r in POINTWISE for t in r.dtypes])
def test_pointwise(row: Row, dtype: torch.dtype) -> None:
    cases = []
    for layout, views in LAYOUTS.items():
        args = views(lambda shape: values(shape, dtype, row.low, row.high), row.inputs)
        cases.append((row.function, args, list(range(row.inputs)) if row.grad and dtype.is_floating_point else [], f"{row.name} {layout}"))
    run(cases, dtype, row.scale, row.extern)


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

REDUCTIONS = [
    *over_dims("sum", torch.sum, DIMS, dtypes=REDUCED),
    *over_dims("sum_whole", torch.sum, DIMS, dtypes=(*INTEGERS, torch.bool)),
    *over_dims("mean", torch.mean, DIMS, dtypes=REDUCED),
    *over_dims("amax", torch.amax, DIMS, dtypes=(torch.float32, torch.bfloat16, torch.int64)),
    *over_dims("amin", torch.amin, DIMS, dtypes=(torch.float32, torch.bfloat16, torch.int64, torch.uint8)),
    *over_dims("prod", torch.prod, ONE_DIM, dtypes=(torch.float32, torch.int64), low=0.7, high=1.4),
    *over_dims("max", torch.max, ONE_DIM, extern=True, dtypes=(torch.float32, torch.bfloat16, torch.int32)),
    *over_dims("min", torch.min, ONE_DIM, extern=True, dtypes=(torch.float32, torch.bfloat16, torch.int32)),
    *over_dims("max_forward", torch.max, ONE_DIM, dtypes=(torch.float32, torch.bfloat16, torch.int32), grad=False),
    *over_dims("min_forward", torch.min, ONE_DIM, dtypes=(torch.float32, torch.bfloat16, torch.int32), grad=False),
    *over_dims("argmax", torch.argmax, ONE_DIM, dtypes=(torch.float32, torch.int64), grad=False),
    *over_dims("argmin", torch.argmin, ONE_DIM, dtypes=(torch.float32, torch.int64), grad=False),
    *over_dims("any", torch.any, ONE_DIM, dtypes=(torch.bool, torch.float32, torch.int64), grad=False, low=-0.6, high=0.6),
    *over_dims("all", torch.all, ONE_DIM, dtypes=(torch.bool, torch.float32, torch.int64), grad=False),
    *over_dims("var", lambda x, d, k: torch.var(x, d, keepdim=k), DIMS, dtypes=REDUCED),
    *over_dims("var_biased", lambda x, d, k: torch.var(x, d, correction=0, keepdim=k), ONE_DIM),
    *over_dims("std", lambda x, d, k: torch.std(x, d, keepdim=k), ONE_DIM, dtypes=REDUCED),
    *over_dims("var_mean", lambda x, d, k: torch.var_mean(x, d, keepdim=k), ONE_DIM),
    *over_dims("std_mean", lambda x, d, k: torch.std_mean(x, d, keepdim=k), ONE_DIM),
    *over_dims("norm_2", lambda x, d, k: torch.linalg.vector_norm(x, 2, d, k), DIMS),
    *over_dims("norm_1", lambda x, d, k: torch.linalg.vector_norm(x, 1, d, k), ONE_DIM),
    *over_dims("norm_inf", lambda x, d, k: torch.linalg.vector_norm(x, math.inf, d, k), ONE_DIM),
    *over_dims("norm_-inf", lambda x, d, k: torch.linalg.vector_norm(x, -math.inf, d, k), ONE_DIM),
    *over_dims("logsumexp", torch.logsumexp, DIMS[:-1]),
    Shaped("logsumexp_infinite", lambda x: torch.logsumexp(x.masked_fill(x < 1, -math.inf)[:, :3], 1), ((9, 37),), grad=False, dtypes=SINGLE),
    *over_dims("count_nonzero", lambda x, d, k: torch.count_nonzero(x, d), DIMS[:-1], grad=False, extern=True),
    *over_dims("cumsum", lambda x, d, k: torch.cumsum(x, d), ONE_DIM, extern=True),
    *(Shaped(f"{f.__name__}_all", lambda x, f=f: f(x), dtypes=(torch.float32, torch.bfloat16, torch.int64)) for f in (torch.sum, torch.max, torch.min)),
    *(Shaped(f"{f.__name__}_all", lambda x, f=f: f(x)) for f in (torch.mean, torch.var, torch.std, torch.norm)),
    *(Shaped(f"{f.__name__}_all", lambda x, f=f: f(x), dtypes=(torch.float32, torch.bool), grad=False) for f in (torch.any, torch.all)),
    *(Shaped(f"{f.__name__}_all", lambda x, f=f: f(x), grad=False) for f in (torch.argmax, torch.argmin)),
    Shaped("prod_all", torch.prod, dtypes=SINGLE, extern=True, low=0.8, high=1.25),
    Shaped("sum_0d", torch.sum, ((),)),
    Shaped("sum_0d_dim", lambda x: torch.sum(x, 0), ((),)),
    Shaped("max_0d", lambda x: torch.max(x, 0), ((),), grad=False, extern=True),
    Shaped("sum_empty", lambda x: x.sum(0), ((0, 4),), extern=True),
    Shaped("sum_to_empty", lambda x: x.sum(1), ((0, 4),)),
    Shaped("mean_empty", lambda x: x.mean(), ((0, 4),), extern=True),
    Shaped("prod_empty", lambda x: x.prod(), ((0, 4),), grad=False, extern=True),
    Shaped("sum_to_double", lambda x: x.sum(1, dtype=torch.float64)),
    Shaped("sum_to_float", lambda x: x.sum(dtype=torch.float32), dtypes=(torch.bfloat16, torch.int64)),
    Shaped("mean_to_float", lambda x: x.mean(0, dtype=torch.float32), dtypes=(torch.bfloat16, torch.int64)),
    Shaped("sum_strided", lambda x: x[::2, 1:30:3].sum(1), ((6, 40),)),
    Shaped("sum_long_row", lambda x: x.sum(1), ((3, 10007),), low=0, dtypes=REDUCED),
    Shaped("sum_long_column", lambda x: x.sum(0), ((5003, 3),), low=0, dtypes=REDUCED),
    Shaped("mean_large", torch.mean, ((300, 301),), low=10, high=11),
    Shaped("var_offset", lambda x: torch.var(x + 1000, 1), ((7, 999),), dtypes=(torch.float32, torch.float64), scale=100, grad=False),
    Shaped("argmax_nan", lambda x: torch.argmax(torch.where(x > 2.9, math.nan, x), 1), grad=False, dtypes=SINGLE),
    Shaped("amax_nan", lambda x: torch.amax(torch.where(x > 2.9, math.nan, x), 1), grad=False),
    Shaped("argmax_ties", lambda x: torch.argmax(x.round(), 1), grad=False),
    Shaped("max_ties", lambda x: torch.max(x.round(), 0), grad=False),
    Shaped("argmax_inf", lambda x: torch.argmax(x.masked_fill(x < 9, -math.inf), 1), grad=False, dtypes=SINGLE),
]  # fmt: skip

SOFTMAXES = [
    *(Shaped(f"softmax_{d}", lambda x, d=d: torch.softmax(x, d), (s,), dtypes=FLOATS) for d in (0, 1, -1) for s in ((4, 9, 17), [3, 5, 7])),
    *(Shaped(f"log_softmax_{d}", lambda x, d=d: torch.log_softmax(x, d), (s,), dtypes=FLOATS) for d in (0, 1, -1) for s in ((4, 9, 17), [3, 5, 7])),
    Shaped("softmax_0d", lambda x: torch.softmax(x, 0), ((),), extern=True),
    Shaped("softmax_to_float", lambda x: torch.softmax(x, 1, dtype=torch.float32)),
    Shaped("softmax_masked", lambda x: torch.softmax(x.masked_fill(x > 0, -math.inf), 1)),
    Shaped("softmax_large", lambda x: torch.softmax(x * 1000, 1), dtypes=SINGLE, grad=False),
    Shaped("softmax_long", lambda x: torch.softmax(x, 1), ((2, 5003),)),
    Shaped("softmin", lambda x: F.softmin(x, 0)),
    Shaped("softmax_empty", lambda x: torch.softmax(x, 1), ((0, 3),)),
]  # fmt: skip

NORMS = [
    Shaped("layer_norm", lambda x, w, b: F.layer_norm(x, (17,), w, b), ((4, 9, 17), (17,), (17,)), dtypes=FLOATS),
    Shaped("layer_norm_2d", lambda x, w, b: F.layer_norm(x, (9, 17), w, b), ((4, 9, 17), (9, 17), (9, 17))),
    Shaped("layer_norm_plain", lambda x: F.layer_norm(x, (17,)), ((4, 9, 17),), dtypes=FLOATS),
    Shaped("layer_norm_weight", lambda x, w: F.layer_norm(x, (17,), w), ((4, 17), (17,)), dtypes=FLOATS),
    Shaped("layer_norm_transposed", lambda x, w, b: F.layer_norm(x, (9,), w, b), ([4, 9], (9,), (9,))),
    Shaped("layer_norm_whole", lambda x: F.layer_norm(x, (4, 9)), ((4, 9),)),
    Shaped("layer_norm_offset", lambda x: F.layer_norm(x + 100, (333,)), ((4, 333),), dtypes=SINGLE, scale=100),
    Shaped("rms_norm", lambda x, w: F.rms_norm(x, (17,), w, 1e-6), ((4, 9, 17), (17,)), dtypes=FLOATS, extern=True),
    Shaped("group_norm", lambda x, w, b: F.group_norm(x, 3, w, b), ((2, 6, 5, 4), (6,), (6,)), dtypes=FLOATS),
    Shaped("group_norm_plain", lambda x: F.group_norm(x, 2), ((3, 4, 7),)),
    Shaped("group_norm_1", lambda x, w, b: F.group_norm(x, 1, w, b), ((2, 6, 5), (6,), (6,))),
    Shaped("group_norm_flat", lambda x, w, b: F.group_norm(x, 3, w, b), ((5, 6), (6,), (6,))),
    Shaped("instance_norm", lambda x: F.instance_norm(x), ((2, 3, 5, 4),), dtypes=SINGLE),
    Shaped("batch_norm", lambda x, w, b, m, v: (F.batch_norm(x, m := m.clone(), v := v.clone(), w, b, True, 0.2), m, v), ((4, 3, 5, 6), (3,), (3,), torch.tensor([0.5, -0.2, 0.0]), torch.tensor([1.0, 2.0, 0.5])), dtypes=SINGLE),
    Shaped("batch_norm_flat", lambda x, w, b: F.batch_norm(x, None, None, w, b, True), ((9, 5), (5,), (5,)), dtypes=(torch.float32, torch.float64)),
    Shaped("batch_norm_plain", lambda x: F.batch_norm(x, None, None, training=True), ((4, 3, 5),), dtypes=SINGLE),
    Shaped("batch_norm_evaluation", lambda x, w, b, m, v: F.batch_norm(x, m, v, w, b, False), ((4, 3, 5, 6), (3,), (3,), torch.tensor([0.5, -0.2, 0.0]), torch.tensor([1.0, 2.0, 0.5])), dtypes=SINGLE),
    Shaped("batch_norm_channels_last", lambda x, w, b: F.batch_norm(x.to(memory_format=torch.channels_last), None, None, w, b, True), ((4, 3, 5, 6), (3,), (3,)), dtypes=SINGLE),
]  # fmt: skip

LOSSES = [
    *(Shaped(f"mse_loss_{r}", lambda x, y, r=r: F.mse_loss(x, y, reduction=r), ((5, 37), (5, 37))) for r in ("none", "mean", "sum")),
    Shaped("mse_loss_transposed", F.mse_loss, ([6, 7], (6, 7))),
    *(Shaped(f"l1_loss_{r}", lambda x, y, r=r: F.l1_loss(x, y, reduction=r), ((5, 37), (5, 37))) for r in ("none", "mean", "sum")),
    *(Shaped(f"smooth_l1_{r}", lambda x, y, r=r: F.smooth_l1_loss(x, y, reduction=r, beta=0.7), ((5, 37), (5, 37))) for r in ("none", "mean", "sum")),
    *(Shaped(f"huber_{r}", lambda x, y, r=r: F.huber_loss(x, y, reduction=r, delta=0.7), ((5, 37), (5, 37))) for r in ("none", "mean", "sum")),
    *(Shaped(f"bce_{r}", lambda x, y, r=r: F.binary_cross_entropy(x, y, reduction=r), ((5, 37), torch.rand(5, 37)), low=0.01, high=0.99, dtypes=SINGLE) for r in ("none", "mean", "sum")),
    Shaped("bce_weight", lambda x, y, w: F.binary_cross_entropy(x, y, w), ((5, 37), torch.rand(5, 37), torch.rand(37)), low=0.01, high=0.99, dtypes=SINGLE),
    Shaped("bce_edges", lambda x: F.binary_cross_entropy(x.round(), x.detach()), low=0, high=1, dtypes=SINGLE),
    *(Shaped(f"bce_logits_{r}", lambda x, y, r=r: F.binary_cross_entropy_with_logits(x, y, reduction=r), ((5, 37), torch.rand(5, 37)), dtypes=SINGLE) for r in ("none", "mean", "sum")),
    Shaped("kl_div", lambda x, y: F.kl_div(torch.log_softmax(x, 1), torch.softmax(y, 1), reduction="batchmean"), ((5, 37), (5, 37)), dtypes=SINGLE),
    Shaped("soft_margin", lambda x, y: F.soft_margin_loss(x, y.sign()), ((5, 37), torch.randn(5, 37)), dtypes=SINGLE),
    *(Shaped(f"nll_{r}", lambda x, y, r=r: F.nll_loss(x, y, reduction=r), ((8, 5), index((8,), 5))) for r in ("none", "mean", "sum")),
    *(Shaped(f"nll_weight_{r}", lambda x, y, w, r=r: F.nll_loss(x, y, w, ignore_index=2, reduction=r), ((8, 5), index((8,), 5), torch.rand(5)), dtypes=SINGLE) for r in ("none", "mean", "sum")),
    *(Shaped(f"cross_entropy_{r}", lambda x, y, r=r: F.cross_entropy(x, y, ignore_index=1, reduction=r), ((8, 5), index((8,), 5))) for r in ("none", "mean", "sum")),
    Shaped("cross_entropy_smooth", lambda x, y: F.cross_entropy(x, y, label_smoothing=0.1), ((8, 5), index((8,), 5)), dtypes=SINGLE),
    Shaped("cross_entropy_probabilities", lambda x, y: F.cross_entropy(x, y.softmax(1)), ((8, 5), (8, 5)), dtypes=SINGLE),
    *(Shaped(f"cross_entropy_2d_{r}", lambda x, y, r=r: F.cross_entropy(x, y, ignore_index=1, reduction=r), ((3, 5, 4, 6), index((3, 4, 6), 5))) for r in ("none", "mean", "sum")),
    Shaped("cross_entropy_2d_weight", lambda x, y, w: F.cross_entropy(x, y, w), ((3, 5, 4, 6), index((3, 4, 6), 5), torch.rand(5)), dtypes=SINGLE),
    Shaped("cross_entropy_ignored", lambda x, y: F.cross_entropy(x, y, ignore_index=0), ((3, 5), torch.zeros(3, dtype=torch.int64)), dtypes=SINGLE),
    Shaped("cosine_similarity", lambda x, y: F.cosine_similarity(x, y), ((5, 37), (5, 37)), dtypes=SINGLE),
    Shaped("triplet", lambda x, y, z: F.triplet_margin_loss(x, y, z), ((5, 37), (5, 37), (5, 37)), dtypes=SINGLE, extern=True),
]  # fmt: skip

INDEXING = [
    Shaped("embedding", lambda w, i: F.embedding(i, w), ((11, 6), index((4, 5), 11)), extern=True),
    Shaped("embedding_int32", lambda w, i: F.embedding(i.int(), w), ((11, 6), index((7,), 11)), dtypes=SINGLE, extern=True),
    Shaped("embedding_padding", lambda w, i: F.embedding(i, w, padding_idx=3), ((11, 6), index((4, 5), 11)), dtypes=SINGLE, extern=True),
    Shaped("embedding_transposed", lambda w, i: F.embedding(i, w), ([11, 6], index((4, 5), 11)), dtypes=SINGLE, extern=True),
    *(Shaped(f"index_select_{d}", lambda x, i, d=d: torch.index_select(x, d, i), ((7, 8, 9), index((5,), 7)), extern=True) for d in (0, 1, -1)),
    *(Shaped(f"gather_{d}", lambda x, i, d=d: torch.gather(x, d, i), ((7, 8), index((7, 8), 7)), extern=True) for d in (0, 1)),
    Shaped("gather_smaller", lambda x, i: torch.gather(x, 1, i), ([7, 8], index((5, 3), 8)), grad=False),
    Shaped("gather_int", lambda x, i: torch.gather(x, 1, i), ((7, 8), index((7, 3), 8)), dtypes=(torch.int64, torch.bool), grad=False),
    Shaped("cat_0", lambda x, y: torch.cat([x, y], 0), ((2, 5), (3, 5))),
    Shaped("cat_1", lambda x, y: torch.cat([x, y, x], -1), ((4, 5), [4, 3])),
    Shaped("cat_empty", lambda x, y: torch.cat([x, y], 1), ((4, 5), (4, 0))),
    Shaped("cat_legacy", lambda x: torch.cat([x, torch.empty(0, device=x.device, dtype=x.dtype)]), ((4, 5),)),
    Shaped("cat_types", lambda x: torch.cat([x, x.int()], 1), ((4, 5),), grad=False),
    Shaped("stack", lambda x, y: torch.stack([x, y], 1), ((4, 5), (4, 5))),
    Shaped("index_1", lambda x, i: x[i], ((7, 8), index((5,), 7, -7)), extern=True),
    Shaped("index_2", lambda x, i, j: x[i, j], ((7, 8), index((5,), 7), index((5,), 8)), extern=True),
    Shaped("index_broadcast", lambda x, i, j: x[i, j], ((7, 8, 3), index((5, 1), 7), index((4,), 8)), extern=True),
    Shaped("index_middle", lambda x, i: x[:, i], ((7, 8, 3), index((5,), 8)), extern=True),
    Shaped("index_apart", lambda x, i, j: x[i, :, j], ((7, 8, 3), index((5,), 7), index((5,), 3)), extern=True),
    Shaped("index_forward", lambda x, i: x[i], ((7, 8), index((5,), 7, -7)), grad=False),
    Shaped("index_two", lambda x, i, j: x[i, j], ((7, 8, 3), index((5, 1), 7), index((4,), 8)), grad=False, dtypes=(torch.float32, torch.int64, torch.bool)),
    Shaped("index_int32", lambda x, i: x[:, i.int()], ([7, 8, 3], index((5,), 8)), grad=False),
    Shaped("index_split", lambda x, i, j: x[i, :, j], ([7, 8, 3], index((5,), 7), index((2, 5), 3)), grad=False),
    Shaped("index_0d", lambda x, i: x[i], ((7, 8), index((), 7)), grad=False),
    Shaped("index_transposed", lambda x, i: x[:, :, i.t()], ([7, 8, 9], index((5, 2), 9)), grad=False),
    Shaped("index_mask", lambda x: x[x > 0], ((7, 8),), grad=False, extern=True),
    Shaped("index_mask_and", lambda x, i: x[i > 2, :, i[i > 2]], ((7, 8, 9), index((7,), 7)), grad=False, extern=True),
    Shaped("index_put", lambda x, i: x.clone().index_put_((i,), x.new_zeros(())), ((7, 8), index((3,), 7)), grad=False, extern=True),
    Shaped("slice_write", lambda x, y: torch.clone(x).index_copy(0, torch.tensor([2, 0], device=x.device), y), ((4, 5), (2, 5)), extern=True),
    Shaped("slice_assign", lambda x, y: (z := x * 1, z[1:3].copy_(y), z)[2], ((4, 5), (2, 5))),
    Shaped("slice_backward", lambda x: x[1:3, ::2] * 2, ((4, 5),)),
    Shaped("select_backward", lambda x: x[:, 2] * 2, ((4, 5),)),
    Shaped("split", lambda x: [a * 2 for a in x.split([2, 3], 1)], ((4, 5),)),
    Shaped("chunk_gate", lambda x: x.chunk(2, -1)[0] * torch.sigmoid(x.chunk(2, -1)[1]), ((4, 10),)),
    Shaped("glu", lambda x: F.glu(x, 1), ((4, 10),)),
    Shaped("glu_transposed", lambda x: F.glu(x, 0), ([4, 10],)),
    Shaped("embedding_forward", lambda w, i: F.embedding(i, w), ((11, 6), index((4, 5), 11)), grad=False),
    Shaped("index_select_forward", lambda x, i: torch.index_select(x, 1, i), ((7, 8, 9), index((5,), 8)), grad=False),
    Shaped("gather_forward", lambda x, i: torch.gather(x, 0, i), ((7, 8), index((7, 8), 7)), grad=False),
    Shaped("nearest_forward", lambda x: F.interpolate(x, scale_factor=2), ((2, 3, 4, 5),), grad=False),
    Shaped("nearest_down", lambda x: F.interpolate(x, size=(7, 3)), ((2, 3, 4, 5),), grad=False),
    Shaped("nearest_fraction", lambda x: F.interpolate(x, scale_factor=1.7), ((2, 3, 4, 5),), grad=False),
    Shaped("prelu", F.prelu, ((4, 3, 5), (3,))),
    *(Shaped(f"flip_{d}", lambda x, d=d: torch.flip(x, d), ((4, 5, 6),), dtypes=(torch.float32, torch.int64)) for d in ((0,), (0, 2))),
    Shaped("roll", lambda x: torch.roll(x, (1, -2), (0, 1)), ((4, 5),)),
    Shaped("roll_flat", lambda x: torch.roll(x, 3), ((4, 5),), extern=True),
    *(Shaped(f"tril_{k}", lambda x, k=k: torch.tril(x, k), ((3, 6, 5),), dtypes=(torch.float32, torch.bool)) for k in (0, 1, -2)),
    *(Shaped(f"triu_{k}", lambda x, k=k: torch.triu(x, k), ((3, 6, 5),), dtypes=(torch.float32, torch.int64)) for k in (0, 1, -2)),
    Shaped("repeat", lambda x: x.repeat(2, 1, 3), ((4, 5),)),
    Shaped("repeat_interleave", lambda x: x.repeat_interleave(3, 0), ((4, 5),), extern=True),
    Shaped("pad", lambda x: F.pad(x, (1, 2, 0, 3), value=0.5), ((4, 5),)),
    Shaped("pad_negative", lambda x: F.pad(x, (-1, 2)), ((4, 5),)),
    Shaped("one_hot", lambda i: F.one_hot(i, 7), (index((4, 5), 7),), grad=False, extern=True),
    Shaped("scatter_value", lambda x, i: x.scatter(1, i, 1.5), ((4, 6), index((4, 1), 6)), extern=True),
    Shaped("scatter_add", lambda x, i, y: x.scatter_add(1, i, y), ((4, 6), index((4, 9), 6), (4, 9)), extern=True),
    Shaped("index_fill", lambda x, i: x.index_fill(1, i, 2.0), ((4, 6), index((2,), 6)), extern=True),
    Shaped("index_add", lambda x, i, y: x.index_add(0, i, y), ((4, 6), index((5,), 4), (5, 6)), extern=True),
    Shaped("nearest", lambda x: F.interpolate(x, scale_factor=2), ((2, 3, 4, 5),)),
    Shaped("nearest_3", lambda x: F.interpolate(x, size=(12, 5)), ((2, 3, 4, 5),)),
    Shaped("nearest_channels_last", lambda x: F.interpolate(x.to(memory_format=torch.channels_last), scale_factor=2), ((2, 3, 4, 5),)),
    Shaped("nearest_size", lambda x: F.interpolate(x, size=(7, 3)), ((2, 3, 4, 5),), extern=True),
    Shaped("pixel_shuffle", lambda x: F.pixel_shuffle(x, 2), ((2, 8, 4, 5),)),
    Shaped("pixel_shuffle_3d", lambda x: F.pixel_shuffle(x, 3), ((9, 4, 5),)),
    Shaped("pixel_shuffle_channels_last", lambda x: F.pixel_shuffle(x.to(memory_format=torch.channels_last), 2), ((2, 8, 4, 5),)),
    Shaped("pixel_unshuffle", lambda x: F.pixel_unshuffle(x, 2), ((2, 3, 4, 6),)),
    Shaped("slice_scatter", lambda x, y: torch.slice_scatter(x, y, 0, 1, 3), ((4, 5), (2, 5))),
    Shaped("select_scatter", lambda x, y: torch.select_scatter(x, y, 0, 1), ((4, 5), (5,))),
    Shaped("diagonal", lambda x: torch.diagonal(x) * 2, ((4, 5),)),
    Shaped("unfold", lambda x: x.unfold(1, 3, 2) * 2, ((4, 9),), extern=True),
    Shaped("expand_sum", lambda x: x.expand(3, 4, 5).sum(0) * x, ((4, 1),)),
]  # fmt: skip

FACTORIES = [
    Shaped("arange", lambda x: x + torch.arange(5, device=x.device), ((4, 5),), extern=True),
    Shaped("arange_float", lambda x: x + torch.arange(1, 3.5, 0.5, device=x.device), ((4, 5),), extern=True),
    Shaped("zeros", lambda x: x + torch.zeros(5, device=x.device), ((4, 5),)),
    Shaped("ones", lambda x: x * torch.ones(4, 1, device=x.device), ((4, 5),)),
    Shaped("full", lambda x: x * torch.full((5,), 2.5, device=x.device, dtype=x.dtype), ((4, 5),)),
    Shaped("eye", lambda x: x * torch.eye(4, 5, device=x.device, dtype=x.dtype), ((4, 5),), extern=True),
    Shaped("linspace", lambda x: x * torch.linspace(0, 1, 5, device=x.device, dtype=x.dtype), ((4, 5),), extern=True),
    Shaped("tensor", lambda x: x * torch.tensor(2.5, device=x.device), ((4, 5),)),
]  # fmt: skip


def argument(value: Any, dtype: torch.dtype, row: Shaped) -> Any:
    if isinstance(value, tuple):
        return values(value, dtype, row.low, row.high)
    if isinstance(value, list):
        n = len(value)
        return values(tuple(value[::-1]), dtype, row.low, row.high).permute(*range(n - 1, -1, -1))
    return value


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


@shaped(REDUCTIONS)
def test_reduction(rows: list[Shaped], dtype: torch.dtype) -> None:
    run_shaped(rows, dtype)


@shaped(SOFTMAXES)
def test_softmax(rows: list[Shaped], dtype: torch.dtype) -> None:
    run_shaped(rows, dtype)


@shaped(NORMS)
def test_norm(rows: list[Shaped], dtype: torch.dtype) -> None:
    run_shaped(rows, dtype)


@shaped(LOSSES)
def test_loss(rows: list[Shaped], dtype: torch.dtype) -> None:
    run_shaped(rows, dtype)


@shaped(INDEXING)
def test_indexing(rows: list[Shaped], dtype: torch.dtype) -> None:
    run_shaped(rows, dtype)


@shaped(FACTORIES)
def test_factory(rows: list[Shaped], dtype: torch.dtype) -> None:
    run_shaped(rows, dtype)


MIXED = (torch.bool, torch.uint8, torch.int32, torch.int64, torch.float16, torch.bfloat16, torch.float32, torch.float64)
MIXED_OPS: dict[str, Callable[[Any, Any], torch.Tensor]] = {
    "add": torch.add,
    "mul": torch.mul,
    "div": lambda x, y: x / (y + 1),
    "maximum": torch.maximum,
    "less": torch.lt,
    "where": lambda x, y: torch.where(x > y, x, y),
    "power": lambda x, y: torch.pow(x + 1, y),
    "atan2": torch.atan2,
}


@pytest.mark.parametrize("name", MIXED_OPS)
@pytest.mark.parametrize("layout", ["both", "left 0-d", "right 0-d", "host 0-d"])
def test_promotion(name: str, layout: str) -> None:
    """Every pair of dtypes, as tensors with dims, as 0-dim tensors and as 0-dim tensors of the host."""
    cases = []
    for left in MIXED:
        for right in MIXED:
            x = values(() if layout == "left 0-d" else (3, 5), left, 0, 3)
            y = values((3, 5) if layout in ("both", "left 0-d") else (), right, 0, 3)
            coarse = next((t for t in (torch.bfloat16, torch.float16) if t in (left, right)), torch.float32)
            if layout == "host 0-d":
                cases.append((lambda a, y=y: MIXED_OPS[name](a, y), [x], coarse, left, right))
            else:
                cases.append((MIXED_OPS[name], [x, y], coarse, left, right))
    before = fallbacks()
    recorded = []
    for function, args, coarse, left, right in cases:
        native, ours = function(*args), function(*map(to_device, args))
        assert ours.dtype == native.dtype, f"{name} {left} {right}: {ours.dtype}, expected {native.dtype}"
        recorded.append((ours, native, coarse, f"{name} {left} {right}"))
    torch.hpu.synchronize()
    assert fallbacks() == before
    for ours, native, coarse, what in recorded:
        compare(ours, native, coarse, 4, what)


SPECIAL = (math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0, -1.0, 1e-38, 3e38, -3e38, 0.5, -2.5, 88.8, -104.0)
SPECIAL_UNARY: list[Callable[..., Any]] = [
    *(getattr(torch, n) for n in ["abs", "neg", "sign", "floor", "ceil", "trunc", "round", "exp", "expm1", "log", "log1p", "log2", "sqrt", "rsqrt", "reciprocal", "sin", "cos", "tanh", "sigmoid", "erf", "atan", "relu", "signbit"]),
    lambda x: F.gelu(x, approximate="tanh"),
    *(getattr(F, n) for n in ["silu", "softplus", "hardtanh", "hardswish", "hardsigmoid", "leaky_relu", "elu", "logsigmoid", "hardshrink", "softsign"]),
    lambda x: x.clamp(-1, 1),
    lambda x: x**2,
    lambda x: x**0.5,
    lambda x: torch.nan_to_num(x),
    lambda x: (torch.eq(x, x), x > 0, x <= 0, torch.isinf(x), torch.isfinite(x), torch.logical_not(x)),
    lambda x: F.threshold(x, 0, 0),
]  # fmt: skip
SPECIAL_BINARY: list[Callable[..., Any]] = [
    *(getattr(torch, n) for n in ["add", "sub", "mul", "div", "maximum", "minimum", "fmax", "fmin", "atan2", "pow", "copysign", "logaddexp", "hypot", "xlogy", "eq", "ne", "lt", "ge"]),
]  # fmt: skip


SPECIAL_DIVISION: list[Callable[..., Any]] = [torch.remainder, torch.fmod, torch.floor_divide]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_special_values(dtype: torch.dtype) -> None:
    """NaN, infinities, signed zeros and numbers at the ends of the range."""
    x = torch.tensor(SPECIAL, dtype=dtype)
    moderate = x[(x == 0) | ~(x.abs() < 1e-30) & ~(x.abs() == x[8])]  # ATen's vectorised fmod is NaN where the quotient overflows
    cases = [(f, [x], [], f"{getattr(f, '__name__', f)}") for f in SPECIAL_UNARY]
    for functions, v in ((SPECIAL_BINARY, x), (SPECIAL_DIVISION, moderate)):
        cases += [(f, [v.repeat_interleave(len(v)), v.repeat(len(v))], [], f.__name__) for f in functions]
    run(cases, dtype, 1.0, False)


IN_PLACE: list[Callable[[torch.Tensor], Any]] = [
    lambda x: x.add_(2),
    lambda x: x.mul_(x),
    lambda x: x[1:3].mul_(3),
    lambda x: x.t().add_(1),
    lambda x: x[:, ::2].copy_(x[:, 1::2]),
    lambda x: x[0].copy_(x[1]),
    lambda x: x.fill_(1.5),
    lambda x: x[2].zero_(),
    lambda x: x.clamp_(-1, 1).relu_(),
    lambda x: x.masked_fill_(x > 0, 3),
    lambda x: x.lerp_(x.flip(0), 0.5),
    lambda x: x.addcmul_(x, x, value=0.5).addcdiv_(x, x.abs() + 1),
    lambda x: torch.add(x, 1, out=x),
    lambda x: torch.exp(x, out=x[:]),
    lambda x: x.sub_(x.mean(1, keepdim=True)).div_(x.std(1, keepdim=True)),
    lambda x: x.index_fill_(0, torch.tensor([1], device=x.device), 2.0),
    lambda x: x.uniform_(2, 2),
    lambda x: x.tril_(),
    lambda x: x.copy_(x.t().reshape(4, 6)),
]


@pytest.mark.parametrize("which", range(len(IN_PLACE)))
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_in_place(which: int, dtype: torch.dtype) -> None:
    """Writes through views and through overlapping ones; what is around them stays."""
    base = values((6, 8), dtype, -2, 2)
    ours = to_device(base)
    view = (slice(1, 5), slice(1, 7))
    IN_PLACE[which](base[view])
    IN_PLACE[which](ours[view])
    compare(ours, base, dtype, 4, f"in place {which}")


@pytest.mark.parametrize("settings", [
    ("SGD", {"lr": 0.1}), ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}), ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "maximize": True}),
    ("Adam", {"lr": 0.02}), ("Adam", {"lr": 0.02, "weight_decay": 0.01, "amsgrad": True}), ("AdamW", {"lr": 0.02, "weight_decay": 0.1}),
    ("AdamW", {"lr": 0.02, "maximize": True, "amsgrad": True}),
], ids=lambda s: s[0] + "-" + "-".join(s[1]))  # fmt: skip
@pytest.mark.parametrize("variant", [{"fused": True}, {"foreach": True}, {"foreach": False}], ids=lambda v: str(v))
def test_optimizer(settings: tuple[str, dict[str, Any]], variant: dict[str, bool]) -> None:
    name, options = settings
    results = []
    for device in ("cpu", "hpu"):
        torch.manual_seed(3)
        start = [torch.randn(5, 7), torch.randn(3), torch.randn(2, 3, 4).permute(2, 0, 1)]
        parameters = [torch.nn.Parameter(p.clone().to(device)) for p in start]
        optimizer = getattr(torch.optim, name)(parameters, **options, **variant)
        for step in range(4):
            for p, s in zip(parameters, start):
                p.grad = (s * (step + 1)).to(device)
            optimizer.step()
        results.append([p.detach().cpu() for p in parameters])
    for ours, native in zip(results[1], results[0]):
        torch.testing.assert_close(ours, native, rtol=2e-5, atol=1e-5)


RANDOM: dict[str, tuple[Callable[[torch.Tensor], torch.Tensor], float, float]] = {
    # name: function, mean, standard deviation
    "rand": (torch.rand_like, 0.5, 12**-0.5),
    "uniform_": (lambda x: x.uniform_(-1, 3), 1.0, 4 * 12**-0.5),
    "randn": (torch.randn_like, 0.0, 1.0),
    "normal_": (lambda x: x.normal_(2, 3), 2.0, 3.0),
    "bernoulli_": (lambda x: x.bernoulli_(0.3), 0.3, 0.21**0.5),
    "bernoulli": (lambda x: torch.bernoulli(torch.full_like(x, 0.3)), 0.3, 0.21**0.5),
    "dropout": (lambda x: F.dropout(torch.ones_like(x), 0.2), 1.0, 0.25**0.5),
    "exponential_": (lambda x: x.exponential_(2.0), 0.5, 0.5),
    "randint": (lambda x: torch.randint(0, 10, x.shape, device=x.device).to(x.dtype), 4.5, 8.25**0.5),
}


@pytest.mark.parametrize("name", RANDOM)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_random(name: str, dtype: torch.dtype) -> None:
    """Moments; the same numbers after the same seed, other ones on the next call."""
    function, mean, deviation = RANDOM[name]

    def draw() -> torch.Tensor:
        return function(torch.zeros(200, 250, dtype=dtype, device="hpu")).cpu()

    torch.manual_seed(11)
    first, second = draw(), draw()
    torch.manual_seed(11)
    assert torch.equal(first, draw())
    assert not torch.equal(first, second)
    for sample in (first, second):
        assert sample.dtype == dtype
        assert abs(sample.double().mean().item() - mean) < 5 * deviation / 50000**0.5
        assert abs(sample.double().std().item() / deviation - 1) < 0.03
    rows = (first - first.double().mean()).double()
    assert (rows[:-1] * rows[1:]).mean().abs().item() < 0.03 * deviation**2, "neighbouring rows are correlated"


def test_dropout_gradient_uses_its_mask() -> None:
    x = torch.ones(64, 64, device="hpu", requires_grad=True)
    y = F.dropout(x, 0.4)
    y.sum().backward()
    assert torch.equal(y.detach().cpu(), x.grad.cpu())
    for p in (0.0, 1.0):
        assert torch.equal(F.dropout(x, p).detach().cpu(), torch.full((64, 64), 1.0 - p))
    assert F.dropout(x, 0.5, training=False) is x or torch.equal(F.dropout(x, 0.5, training=False).cpu(), x.cpu())
