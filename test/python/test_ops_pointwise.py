"""Arithmetic, comparison, logic, bits, rounding, copies; type promotion; writes in place."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from op_rows import ANY, FLOATS, INTEGERS, NUMBERS, WHOLE, Row, binary, compare, fallbacks, pointwise, run_row, to_device, unary, values


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
    unary("remainder_of_number", lambda x: torch.remainder(7, x.abs() + 1), dtypes=(torch.float32, torch.float64, *INTEGERS), grad=False),
    unary("div_mode_number", lambda x: torch.div(x, 2, rounding_mode="floor"), dtypes=(torch.float32, torch.float64, *INTEGERS), grad=False),
    binary("heaviside", dtypes=(*FLOATS, torch.int64), grad=False),
    binary("float_power", lambda x, y: torch.float_power(x.abs() + 0.1, y), dtypes=(torch.float32, torch.float64), scale=8, grad=False),
    binary("maximum", dtypes=ANY),
    binary("minimum", dtypes=ANY),
    binary("fmax", dtypes=ANY),
    binary("fmin", dtypes=ANY),
    binary("copysign", grad=False),
    binary("nextafter", dtypes=(torch.float32, torch.float64), grad=False),
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
    binary("clamp_max_of_two", torch.clamp_max, grad=False),
    binary("clamp_min_of_two", torch.clamp_min, grad=False),
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
    binary("gcd", dtypes=WHOLE, grad=False, low=-40, high=40),
    binary("lcm", dtypes=WHOLE, grad=False, low=-10, high=10),
    binary("shift_left_tensor", lambda x, y: torch.bitwise_left_shift(x, y.abs()), dtypes=WHOLE, grad=False),
    binary("shift_right_tensor", lambda x, y: torch.bitwise_right_shift(x, y.abs()), dtypes=WHOLE, grad=False),
    unary("shift_left_of_number", lambda x: torch.bitwise_left_shift(5, x.abs()), dtypes=WHOLE, grad=False),
    unary("shift_right_of_number", lambda x: torch.bitwise_right_shift(500, x.abs()), dtypes=(torch.int64, torch.int32, torch.int16), grad=False),
    binary("lshift_tensor", lambda x, y: x.__lshift__(y.abs()), dtypes=WHOLE, grad=False),
    binary("rshift_tensor", lambda x, y: x.__rshift__(y.abs()), dtypes=WHOLE, grad=False),
    unary("isposinf", lambda x: torch.isposinf(1 / (x - x)), dtypes=(*FLOATS,), grad=False),
    unary("isneginf", lambda x: torch.isneginf(-1 / (x - x).abs()), dtypes=(*FLOATS,), grad=False),
    unary("isposinf_whole", torch.isposinf, dtypes=(torch.int64, torch.bool), grad=False),
    unary("isneginf_whole", torch.isneginf, dtypes=(torch.int64, torch.bool), grad=False),
    unary("isreal", torch.isreal, dtypes=ANY, grad=False),
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
    # copies and fills
    unary("clone", torch.clone, dtypes=ANY),
    unary("contiguous", lambda x: x.contiguous(), dtypes=ANY),
    unary("fill", lambda x: torch.clone(x).fill_(2), dtypes=ANY, grad=False),
    unary("fill_tensor", lambda x: torch.clone(x).fill_(torch.ones((), dtype=x.dtype, device=x.device)), dtypes=ANY, grad=False),
    unary("zero", lambda x: torch.clone(x).zero_(), dtypes=ANY, grad=False),
    unary("zeros_like", torch.zeros_like, dtypes=ANY, grad=False),
    unary("full_like", lambda x: torch.full_like(x, 3), dtypes=ANY, grad=False),
    *(unary("to_" + str(t)[6:], lambda x, t=t: x.to(t), dtypes=ANY, grad=False) for t in (torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.int64, torch.int32, torch.bool)),
    unary("to_uint8", lambda x: x.to(torch.uint8), dtypes=(*FLOATS, torch.int64), low=0, grad=False),
]  # fmt: skip


@pointwise(POINTWISE)
def test_pointwise(row: Row, dtype: torch.dtype) -> None:
    run_row(row, dtype)


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
