"""Matrix products."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from op_rows import SINGLE, Shaped, run_shaped, shaped

WIDE = (torch.float32, torch.float64)

PRODUCTS = [
    Shaped("mm", torch.mm, ((5, 7), (7, 9)), dtypes=WIDE),
    Shaped("mm_transposed", torch.mm, ([5, 7], [7, 9]), dtypes=WIDE),
    Shaped("mm_empty", torch.mm, ((5, 0), (0, 9)), dtypes=WIDE),
    Shaped("bmm", torch.bmm, ((3, 5, 7), (3, 7, 9)), dtypes=WIDE),
    Shaped("addmm", lambda b, x, y: torch.addmm(b, x, y, beta=0.5, alpha=2), ((9,), (5, 7), (7, 9)), dtypes=WIDE),
    Shaped("addmv", lambda b, x, y: torch.addmv(b, x, y, beta=0.5, alpha=2), ((5,), (5, 7), (7,)), dtypes=WIDE),
    Shaped("addmv_one_bias", lambda b, x, y: torch.addmv(b, x, y), ((), (5, 7), (7,)), dtypes=WIDE),
    Shaped("addbmm", lambda b, x, y: torch.addbmm(b, x, y, beta=0.5, alpha=2), ((5, 9), (3, 5, 7), (3, 7, 9)), dtypes=WIDE),
    Shaped("addbmm_", lambda b, x, y: b.clone().addbmm_(x, y), ((5, 9), (3, 5, 7), (3, 7, 9)), dtypes=WIDE),
    Shaped("baddbmm", lambda b, x, y: torch.baddbmm(b, x, y, beta=0.5, alpha=2), ((3, 5, 9), (3, 5, 7), (3, 7, 9)), dtypes=WIDE),
    Shaped("mv", torch.mv, ((5, 7), (7,)), dtypes=WIDE),
    Shaped("dot", torch.dot, ((37,), (37,)), dtypes=WIDE),
    Shaped("matmul_broadcast", torch.matmul, ((2, 1, 5, 7), (3, 7, 9)), dtypes=SINGLE),
    Shaped("linear", F.linear, ((2, 5, 7), (9, 7), (9,)), dtypes=WIDE),
    Shaped("bilinear", F.bilinear, ((5, 3), (5, 4), (6, 3, 4), (6,)), dtypes=SINGLE, extern=True),
    Shaped("einsum", lambda x, y: torch.einsum("bij,bkj->bik", x, y), ((2, 5, 7), (2, 9, 7)), dtypes=SINGLE),
    Shaped("outer", torch.outer, ((5,), (7,)), dtypes=SINGLE),
]


@shaped(PRODUCTS)
def test_product(rows: list[Shaped], dtype: torch.dtype) -> None:
    run_shaped(rows, dtype)
