"""Searches in sorted lines and in sets."""

from __future__ import annotations

import math

import torch
from op_rows import Shaped, run_shaped, shaped

SORTED = torch.tensor([-2.0, -1.0, -1.0, 0.0, 0.5, 2.0, 2.5])

SEARCHES = [
    *(Shaped(f"bucketize_{r}", lambda x, b, r=r: torch.bucketize(x, b.to(x.dtype), right=r), ((5, 37), SORTED), grad=False, dtypes=(torch.float32, torch.float64, torch.int64, torch.bfloat16)) for r in (False, True)),
    Shaped("bucketize_int32", lambda x, b: torch.bucketize(x, b, out_int32=True), ((5, 37), SORTED), grad=False, dtypes=(torch.float32,)),
    Shaped("bucketize_number", lambda b: torch.bucketize(0.5, b.sort()[0]), ((37,),), grad=False, extern=True, dtypes=(torch.float32,)),
    Shaped("bucketize_nan", lambda x, b: torch.bucketize(torch.where(x > 2, math.nan, x), b), ((5, 37), SORTED), grad=False, dtypes=(torch.float32,)),
    Shaped("bucketize_one", lambda x, b: torch.bucketize(x, b[:1]), ((5, 37), SORTED), grad=False, dtypes=(torch.float32,)),
    Shaped("bucketize_strided", lambda x, b: torch.bucketize(x, b[::2]), ([5, 37], SORTED), grad=False, dtypes=(torch.float32,)),
    *(Shaped(f"searchsorted_{side}", lambda x, b, side=side: torch.searchsorted(b, x, side=side), ((5, 37), SORTED), grad=False, dtypes=(torch.float32,)) for side in ("left", "right")),
    Shaped("searchsorted_lines", lambda x, b: torch.searchsorted(b, x), ((3, 2, 9), torch.randn(3, 2, 33, generator=torch.Generator().manual_seed(1)).sort()[0]), grad=False, dtypes=(torch.float32,)),
    Shaped("searchsorted_sorter", lambda x, b, s: torch.searchsorted(b, x, sorter=s), ((5, 37), SORTED.flip(0), torch.arange(6, -1, -1)), grad=False, dtypes=(torch.float32,)),
    Shaped("searchsorted_number", lambda b: torch.searchsorted(b, 0.5), (SORTED,), grad=False, dtypes=(torch.float32,)),
    Shaped("isin", lambda x, t: torch.isin(x, t.to(x.dtype)), ((5, 37), torch.tensor([1, 2, -3])), grad=False, dtypes=(torch.int64, torch.int32, torch.float32)),
    Shaped("isin_invert", lambda x, t: torch.isin(x, t, invert=True), ((5, 37), torch.tensor([[1, 2], [-3, 0]])), grad=False, dtypes=(torch.int64,)),
    Shaped("isin_number", lambda x: (torch.isin(x, 2), torch.isin(x, 2, invert=True), torch.isin(2, x)), ((5, 37),), grad=False, dtypes=(torch.int64, torch.float32)),
    Shaped("isin_nothing", lambda x: torch.isin(x, x[:0]), ((7,),), grad=False, dtypes=(torch.int64,)),
    Shaped("isin_many", lambda x, t: torch.isin(x, t), ((5, 37), torch.arange(3000)), grad=False, dtypes=(torch.int64,), extern=True),
]  # fmt: skip


@shaped(SEARCHES)
def test_search(rows: list[Shaped], dtype: torch.dtype) -> None:
    run_shaped(rows, dtype)
