"""NaN, infinities, signed zeros, denormals and the ends of every range, through every pointwise op and every reduction, as ATen.

As ATen means: of the same class (NaN, an infinity, zero, each with its sign; NaN has none) and close where finite. ATen itself has several answers:
its vector code and the scalar code that it uses for tails and strided tensors differ (a sum's -0.0, fmod of a huge quotient, casts of what
does not fit, functions of denormals), and half precisions round after every op where a fused kernel rounds once. A value that equals one of them is right.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from op_rows import TOLERANCE, Row, Shaped, argument, fallbacks, pointwise, shaped, tensors_of, to_device, widen
from test_ops_activations import ACTIVATIONS
from test_ops_functions import FUNCTIONS
from test_ops_norms import NORMS, SOFTMAXES
from test_ops_pointwise import POINTWISE
from test_ops_reductions import REDUCTIONS, SCANS

HALVES = (torch.bfloat16, torch.float16)


def extremes(dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Ten values of every kind that the dtype has."""
    if dtype == torch.bool:
        return {"bool": torch.tensor([False, True] * 5)}
    if not dtype.is_floating_point:
        low, high = torch.iinfo(dtype).min, torch.iinfo(dtype).max
        ends = [low, low + 1, low + 2, low // 2, high // 2, high - 2, high - 1, high, 0, 1]
        return {"integer": torch.tensor(ends, dtype=dtype)}
    info = torch.finfo(dtype)
    step = info.smallest_normal * info.eps  # the smallest denormal
    kinds = {
        "nan": [math.nan, -math.nan] * 5,
        "inf": [math.inf, -math.inf] * 5,
        "zero": [-0.0] * 8 + [0.0] * 2,
        "denormal": [s * m * step for s in (1, -1) for m in (1, 2, 3, 7)] + [info.smallest_normal - step, step - info.smallest_normal],
        "huge": [s * v for s in (1, -1) for v in (info.max, info.max / 2, info.max / 4, info.smallest_normal, info.max ** 0.5)],
        "plain": [1.0, -1.0, 0.5, -0.5, 1.5, -2.5, 3.0, -3.5, 10.0, -20.0],
    }  # fmt: skip
    return {name: torch.tensor(v, dtype=torch.float64).to(dtype) for name, v in kinds.items()}


def strided(x: Any) -> Any:
    """The same values where ATen cannot use its vector code."""
    if not isinstance(x, torch.Tensor) or x.dim() == 0:
        return x
    wide = torch.empty((*x.shape, 3), dtype=x.dtype)
    wide[..., 1] = x
    return wide[..., 1]


class Case:
    """One call, recorded now and compared later with each of ATen's answers."""

    def __init__(self, function: Callable[..., Any], args: list[Any], dtype: torch.dtype, what: str, scale: float, signs: bool) -> None:
        """`signs`: zeros of different sign are different."""
        self.what, self.signs = what, signs
        self.args = args
        native = tensors_of(function(*args))
        self.answers = [native, tensors_of(function(*map(strided, args)))]
        if dtype in HALVES:
            self.answers.append([w.to(n.dtype) for w, n in zip(tensors_of(function(*map(widen, args))), native)])
        coarse = dtype if dtype in HALVES or dtype == torch.float64 else torch.float32
        self.rtol, self.atol = (4 * scale * t for t in TOLERANCE[coarse])
        self.actual = tensors_of(function(*map(to_device, args)))

    def agree(self, actual: torch.Tensor, expected: torch.Tensor) -> torch.Tensor:
        if not actual.dtype.is_floating_point:
            return actual == expected
        a, e = actual.double(), expected.double()
        same = (a == e) & ((a != 0) | (a.signbit() == e.signbit()) | (not self.signs))
        close = a.isfinite() & e.isfinite() & ((a != 0) | (e != 0)) & ((a - e).abs() <= self.atol + self.rtol * e.abs())
        return same | close | (a.isnan() & e.isnan())

    def check(self) -> None:
        for k, actual in enumerate(t.cpu() for t in self.actual):
            expected = [answer[k] for answer in self.answers]
            wrong = ~torch.stack([self.agree(actual, e) for e in expected]).any(0)
            if not wrong.any():
                continue
            at = tuple(wrong.nonzero()[0].tolist())
            inputs = [a[at].item() if isinstance(a, torch.Tensor) and a.shape == actual.shape else "..." for a in self.args]
            raise AssertionError(
                f"{self.what}, result {k}: {int(wrong.sum())} of {wrong.numel()} differ, first {list(at)}: got {actual[at].item()},"
                f" expected {[e[at].item() for e in expected]}, arguments {inputs}"
            )


def run(cases: list[tuple[Callable[..., Any], list[Any], str]], dtype: torch.dtype, scale: float, extern: bool, signs: bool = True) -> None:
    before = fallbacks()
    recorded = [Case(function, args, dtype, what, scale, signs) for function, args, what in cases]
    torch.hpu.synchronize()
    assert extern or fallbacks() == before
    for case in recorded:
        case.check()


def sound(row: Row) -> bool:
    """Not so in ATen: lcm divides the smallest integer by -1, which kills the process; polynomials of NaN are an uninitialised value; and what x - tanh(x)
    leaves of small halves is noise."""
    return row.name not in ("lcm", "tanhshrink") and "polynomial" not in row.name


POINTWISE_ROWS = [r for r in [*POINTWISE, *FUNCTIONS, *ACTIVATIONS] if sound(r)]


@pointwise(POINTWISE_ROWS)
def test_pointwise(row: Row, dtype: torch.dtype) -> None:
    """Every value with every other; the length is no multiple of a vector's."""
    v = torch.cat(list(extremes(dtype).values()))
    if row.inputs == 1:
        args = [v]
    else:
        args = [v.repeat_interleave(len(v)), v.repeat(len(v)), v.flip(0).repeat(len(v))][: row.inputs]
    try:
        row.function(*args)
    except RuntimeError as error:
        assert "ZeroDivisionError" in str(error)  # the device says so when it gets there
        with pytest.raises(RuntimeError, match="ZeroDivisionError"):
            tensors_of(row.function(*map(to_device, args)))[0].cpu()
        return
    run([(row.function, args, row.name)], dtype, row.scale, row.extern)


def with_ten(x: torch.Tensor, ten: torch.Tensor) -> torch.Tensor:
    """x with ten of its elements, here and there, replaced."""
    flat = x.flatten().clone()
    n = min(len(ten), flat.numel())
    flat[torch.randperm(flat.numel(), generator=torch.Generator().manual_seed(7))[:n]] = ten[:n]
    return flat.view(x.shape)


def calls(rows: list[Shaped], dtype: torch.dtype) -> Iterator[tuple[Callable[..., Any], list[Any], str]]:
    for row in rows:
        args = [argument(a, dtype, row) for a in row.args]
        for kind, ten in extremes(dtype).items():
            if kind == "huge":  # whether a sum of such values overflows depends on its order
                continue
            if kind == "inf" and row.name.startswith(
                ("var_mean", "std_mean")
            ):  # the mean is infinite; ATen's, updated step by step, is NaN
                continue
            yield row.function, [with_ten(args[0], ten), *args[1:]], f"{row.name} {row.args[0]} {kind}"


# Which of two zeros is the extreme depends on the order; and evaluated batch norm is x * scale + shift in ATen, where a shift of 0 takes the sign of -0.
ORDERED = ("max", "min", "amax", "amin", "aminmax", "batch_norm")


@shaped([*REDUCTIONS, *SCANS, *SOFTMAXES, *NORMS])
def test_reduction(rows: list[Shaped], dtype: torch.dtype) -> None:
    """Ordinary values with ten of a kind among them."""
    signs = not rows[0].name.startswith(ORDERED)
    run(list(calls(rows, dtype)), dtype, rows[0].scale, rows[0].extern, signs)


def test_tails() -> None:
    """Vector code and its tail agree: the same values at every place of a run."""
    v = torch.cat(list(extremes(torch.float32).values()))
    whole = torch.exp(v.to("hpu")).cpu()
    for n in range(1, 40):
        assert torch.equal(torch.exp(v[:n].to("hpu")).cpu().nan_to_num(7), whole[:n].nan_to_num(7))
