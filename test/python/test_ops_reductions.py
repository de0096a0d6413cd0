"""Reductions and scans."""

from __future__ import annotations

import math

import torch
from op_rows import DIMS, INTEGERS, ONE_DIM, REDUCED, SINGLE, Shaped, over_dims, run_shaped, shaped

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
    *over_dims("count_nonzero", lambda x, d, k: torch.count_nonzero(x.round(), d) if x.is_floating_point() else torch.count_nonzero(x, d), DIMS[:-1], grad=False, dtypes=(*REDUCED, torch.int64, torch.bool)),
    Shaped("count_nonzero_all", lambda x: torch.count_nonzero(x.round()), grad=False),
    *over_dims("nansum", lambda x, d, k: torch.nansum(torch.where(x > 2, math.nan, x), d, k), DIMS, dtypes=REDUCED),
    Shaped("nansum_whole", lambda x: torch.nansum(x, 1), dtypes=(torch.int64, torch.int32), grad=False),
    *over_dims("nanmean", lambda x, d, k: torch.nanmean(torch.where(x > 2, math.nan, x), d, k), DIMS[:-1], dtypes=REDUCED),
    *over_dims("aminmax", lambda x, d, k: torch.aminmax(x, dim=d, keepdim=k), ONE_DIM, dtypes=(torch.float32, torch.bfloat16, torch.int64), grad=False),
    Shaped("aminmax_old", lambda x: (*torch._aminmax(x), *torch._aminmax(x, 1)), grad=False),
    Shaped("aminmax_all", lambda x: torch.aminmax(x), grad=False),
    *over_dims("any_dims", lambda x, d, k: torch.any(x > 2.5, d, k), (*DIMS, None), grad=False, dtypes=(torch.float32, torch.int64)),
    *over_dims("all_dims", lambda x, d, k: torch.all(x > -2.5, d, k), (*DIMS, None), grad=False, dtypes=(torch.float32, torch.int64)),
    Shaped("any_byte", lambda x: (torch.any(x, 1), torch.all(x, (0, 1)), torch.any(x)), dtypes=(torch.uint8,), grad=False),
    *(Shaped(f"norm_{p}", lambda x, p=p: torch.linalg.vector_norm(x, p, 1), ((5, 37),), low=0.3, scale=8) for p in (0.5, 1.5, 3, 4, -1, -2.5)),
    *over_dims("norm_0", lambda x, d, k: torch.linalg.vector_norm(x.round(), 0, d, k), ONE_DIM, grad=False),
    Shaped("norm_dtype", lambda x: torch.linalg.vector_norm(x, 3, 1, dtype=torch.float64), dtypes=SINGLE, grad=False),
    *(Shaped(f"old_norm_{p}", lambda x, p=p: torch.norm(x, p, 1), ((5, 37),), low=0.3, scale=8) for p in (1, 2, 3, math.inf)),
    Shaped("old_norm_dtype", lambda x: torch.ops.aten.norm.ScalarOpt_dim_dtype(x, 3, [1], False, dtype=torch.float64), dtypes=SINGLE, grad=False),
    *(Shaped(f"renorm_{p}", lambda x, p=p: torch.renorm(x, p, 1, 5.0), ((4, 9, 17),), scale=8, extern=True) for p in (1, 2, 3)),
    Shaped("renorm_forward", lambda x: torch.renorm(x, 2, 0, 5.0), ((4, 9),), grad=False),
    *(Shaped(f"dist_{p}", lambda x, y, p=p: torch.dist(x, y, p), ((5, 37), (5, 37)), scale=8) for p in (1, 2, 3)),
    Shaped("sum_to_bool", lambda x: (x.sum(1, dtype=torch.bool), x.prod(1, dtype=torch.bool)), dtypes=(torch.int64, torch.float32), grad=False),
    Shaped("sum_to_int32", lambda x: x.sum(1, dtype=torch.int32), dtypes=(torch.int64, torch.float32), grad=False),
    Shaped("var_0d", lambda x: torch.var(x), ((),), grad=False),
    Shaped("var_one", lambda x: torch.var(x, 1), ((4, 1),), grad=False),
    Shaped("var_empty", lambda x: (torch.var(x, 1), torch.std_mean(x, 1)), ((4, 0),), grad=False),
    Shaped("sum_few_long_rows", lambda x: (x.sum(1), x.amax(1), x.argmax(1), x.var(1)), ((2, 300001),), dtypes=REDUCED, grad=False),
    Shaped("logsumexp_whole", lambda x: torch.logsumexp(x, 1), dtypes=(torch.int64,), grad=False),
    Shaped("argmax_keep_all", lambda x: torch.argmax(x, None, True), grad=False),
    Shaped("norm_empty", lambda x: (torch.linalg.vector_norm(x, 2, 1), torch.linalg.vector_norm(x, 3)), ((3, 0),), grad=False),
    *(Shaped(f"{f.__name__}_all", lambda x, f=f: f(x), dtypes=(torch.float32, torch.bfloat16, torch.int64)) for f in (torch.sum, torch.max, torch.min)),
    *(Shaped(f"{f.__name__}_all", lambda x, f=f: f(x)) for f in (torch.mean, torch.var, torch.std, torch.norm)),
    *(Shaped(f"{f.__name__}_all", lambda x, f=f: f(x), dtypes=(torch.float32, torch.bool), grad=False) for f in (torch.any, torch.all)),
    *(Shaped(f"{f.__name__}_all", lambda x, f=f: f(x), grad=False) for f in (torch.argmax, torch.argmin)),
    Shaped("prod_all", torch.prod, dtypes=SINGLE, extern=True, low=0.8, high=1.25),
    Shaped("sum_0d", torch.sum, ((),)),
    Shaped("sum_0d_dim", lambda x: torch.sum(x, 0), ((),)),
    Shaped("max_0d", lambda x: torch.max(x, 0), ((),), grad=False),
    Shaped("sum_empty", lambda x: x.sum(0), ((0, 4),)),
    Shaped("sum_to_empty", lambda x: x.sum(1), ((0, 4),)),
    Shaped("mean_empty", lambda x: x.mean(), ((0, 4),)),
    Shaped("prod_empty", lambda x: x.prod(), ((0, 4),), grad=False),
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

SCANS = [
    *(Shaped(f"cumsum_{d}", lambda x, d=d: torch.cumsum(x, d), (s,), dtypes=(*REDUCED, torch.int64, torch.int32, torch.bool)) for d in ONE_DIM for s in ((4, 9, 17), [3, 5, 7])),
    *(Shaped(f"cumprod_{d}", lambda x, d=d: torch.cumprod(x, d), (s,), dtypes=(*REDUCED, torch.int64), low=0.5, high=1.6, grad=False) for d in ONE_DIM for s in ((4, 9, 17), [3, 5, 7])),
    *(Shaped(f"logcumsumexp_{d}", lambda x, d=d: torch.logcumsumexp(x, d), (s,), dtypes=REDUCED) for d in ONE_DIM for s in ((4, 9, 17), [3, 5, 7])),
    *(Shaped(f"cummax_{d}", lambda x, d=d: torch.cummax(x.round(), d), (s,), dtypes=REDUCED, grad=False) for d in ONE_DIM for s in ((4, 9, 17), [3, 5, 7])),
    *(Shaped(f"cummin_{d}", lambda x, d=d: torch.cummin(x, d), (s,), dtypes=(torch.int64, torch.bool, torch.uint8), grad=False) for d in ONE_DIM for s in ((4, 9, 17), [3, 5, 7])),
    Shaped("cummax_gradient", lambda x: torch.cummax(x, 1)[0], dtypes=SINGLE, extern=True),
    Shaped("cummin_gradient", lambda x: torch.cummin(x, 0)[0], dtypes=SINGLE, extern=True),
    # ATen's formula asks on the host whether the input has a zero
    Shaped("cumprod_gradient", lambda x: torch.cumprod(x, 1), dtypes=SINGLE, low=0.5, high=1.6, extern=True),
    Shaped("cumsum_0d", lambda x: (torch.cumsum(x, 0), torch.cummax(x, 0)), ((),), grad=False),
    Shaped("cumsum_empty", lambda x: (torch.cumsum(x, 1), torch.cummin(x, 1)), ((3, 0),), grad=False),
    Shaped("cumsum_dtype", lambda x: (torch.cumsum(x, 1, dtype=torch.float64), torch.cumprod(x, 1, dtype=torch.float32)), dtypes=(torch.int64, torch.float32), low=-1, high=1, grad=False),
    Shaped("cumsum_in_place", lambda x: (x * 1).cumsum_(1), dtypes=(torch.float32, torch.int32), grad=False),
    Shaped("cumsum_long", lambda x: (torch.cumsum(x, 1), torch.cumsum(x, 0)), ((3, 70001),), grad=False, dtypes=REDUCED, low=0),
    Shaped("cummax_long", lambda x: (torch.cummax(x, 0), torch.cummin(torch.where(x > 2.99995, math.nan, x), 0)), ((70001,),), grad=False, dtypes=(torch.float32, torch.float64)),
    Shaped("logcumsumexp_long", lambda x: torch.logcumsumexp(x, 0), ((70001,),), grad=False, dtypes=(torch.float32, torch.float64)),
    Shaped("cumulative_trapezoid", lambda x: torch.cumulative_trapezoid(x, dim=1)),
    Shaped("diff_cumsum", lambda x: torch.diff(torch.cumsum(x, 0), dim=0)),
]  # fmt: skip


@shaped(REDUCTIONS)
def test_reduction(rows: list[Shaped], dtype: torch.dtype) -> None:
    run_shaped(rows, dtype)


@shaped(SCANS)
def test_scan(rows: list[Shaped], dtype: torch.dtype) -> None:
    run_shaped(rows, dtype)
