"""Ops that move elements, and factories."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from op_rows import SINGLE, Shaped, index, run_shaped, shaped

INDEXING = [
    Shaped("embedding", lambda w, i: F.embedding(i, w), ((11, 6), index((4, 5), 11))),
    Shaped("embedding_int32", lambda w, i: F.embedding(i.int(), w), ((11, 6), index((7,), 11)), dtypes=SINGLE),
    Shaped("embedding_padding", lambda w, i: F.embedding(i, w, padding_idx=3), ((11, 6), index((4, 5), 11)), dtypes=SINGLE),
    Shaped("embedding_transposed", lambda w, i: F.embedding(i, w), ([11, 6], index((4, 5), 11)), dtypes=SINGLE),
    *(Shaped(f"index_select_{d}", lambda x, i, d=d: torch.index_select(x, d, i), ((7, 8, 9), index((5,), 7))) for d in (0, 1, -1)),
    *(Shaped(f"gather_{d}", lambda x, i, d=d: torch.gather(x, d, i), ((7, 8), index((7, 8), 7))) for d in (0, 1)),
    Shaped("gather_smaller", lambda x, i: torch.gather(x, 1, i), ([7, 8], index((5, 3), 8)), grad=False),
    Shaped("gather_int", lambda x, i: torch.gather(x, 1, i), ((7, 8), index((7, 3), 8)), dtypes=(torch.int64, torch.bool), grad=False),
    Shaped("cat_0", lambda x, y: torch.cat([x, y], 0), ((2, 5), (3, 5))),
    Shaped("cat_1", lambda x, y: torch.cat([x, y, x], -1), ((4, 5), [4, 3])),
    Shaped("cat_empty", lambda x, y: torch.cat([x, y], 1), ((4, 5), (4, 0))),
    Shaped("cat_legacy", lambda x: torch.cat([x, torch.empty(0, device=x.device, dtype=x.dtype)]), ((4, 5),)),
    Shaped("cat_types", lambda x: torch.cat([x, x.int()], 1), ((4, 5),), grad=False),
    Shaped("stack", lambda x, y: torch.stack([x, y], 1), ((4, 5), (4, 5))),
    Shaped("index_1", lambda x, i: x[i], ((7, 8), index((5,), 7, -7))),
    Shaped("index_2", lambda x, i, j: x[i, j], ((7, 8), index((5,), 7), index((5,), 8))),
    Shaped("index_broadcast", lambda x, i, j: x[i, j], ((7, 8, 3), index((5, 1), 7), index((4,), 8))),
    Shaped("index_middle", lambda x, i: x[:, i], ((7, 8, 3), index((5,), 8))),
    Shaped("index_apart", lambda x, i, j: x[i, :, j], ((7, 8, 3), index((5,), 7), index((5,), 3))),
    Shaped("index_forward", lambda x, i: x[i], ((7, 8), index((5,), 7, -7)), grad=False),
    Shaped("index_two", lambda x, i, j: x[i, j], ((7, 8, 3), index((5, 1), 7), index((4,), 8)), grad=False, dtypes=(torch.float32, torch.int64, torch.bool)),
    Shaped("index_int32", lambda x, i: x[:, i.int()], ([7, 8, 3], index((5,), 8)), grad=False),
    Shaped("index_split", lambda x, i, j: x[i, :, j], ([7, 8, 3], index((5,), 7), index((2, 5), 3)), grad=False),
    Shaped("index_0d", lambda x, i: x[i], ((7, 8), index((), 7)), grad=False),
    Shaped("index_transposed", lambda x, i: x[:, :, i.t()], ([7, 8, 9], index((5, 2), 9)), grad=False),
    Shaped("index_mask", lambda x: x[x > 0], ((7, 8),), grad=False, extern=True),
    Shaped("index_mask_and", lambda x, i: x[i > 2, :, i[i > 2]], ((7, 8, 9), index((7,), 7)), grad=False, extern=True),
    Shaped("index_put", lambda x, i: x.clone().index_put_((i,), x.new_zeros(())), ((7, 8), index((3,), 7)), grad=False),
    Shaped("slice_write", lambda x, y: torch.clone(x).index_copy(0, torch.tensor([2, 0], device=x.device), y), ((4, 5), (2, 5))),
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
    Shaped("roll_flat", lambda x: torch.roll(x, 3), ((4, 5),)),
    *(Shaped(f"tril_{k}", lambda x, k=k: torch.tril(x, k), ((3, 6, 5),), dtypes=(torch.float32, torch.bool)) for k in (0, 1, -2)),
    *(Shaped(f"triu_{k}", lambda x, k=k: torch.triu(x, k), ((3, 6, 5),), dtypes=(torch.float32, torch.int64)) for k in (0, 1, -2)),
    Shaped("repeat", lambda x: x.repeat(2, 1, 3), ((4, 5),)),
    Shaped("repeat_interleave", lambda x: x.repeat_interleave(3, 0), ((4, 5),)),
    Shaped("pad", lambda x: F.pad(x, (1, 2, 0, 3), value=0.5), ((4, 5),)),
    Shaped("pad_negative", lambda x: F.pad(x, (-1, 2)), ((4, 5),)),
    Shaped("one_hot", lambda i: F.one_hot(i, 7), (index((4, 5), 7),), grad=False),
    Shaped("scatter_value", lambda x, i: x.scatter(1, i, 1.5), ((4, 6), index((4, 1), 6))),
    Shaped("scatter_add", lambda x, i, y: x.scatter_add(1, i, y), ((4, 6), index((4, 9), 6), (4, 9))),
    Shaped("index_fill", lambda x, i: x.index_fill(1, i, 2.0), ((4, 6), index((2,), 6))),
    Shaped("index_add", lambda x, i, y: x.index_add(0, i, y), ((4, 6), index((5,), 4), (5, 6))),
    Shaped("nearest", lambda x: F.interpolate(x, scale_factor=2), ((2, 3, 4, 5),)),
    Shaped("nearest_3", lambda x: F.interpolate(x, size=(12, 5)), ((2, 3, 4, 5),)),
    Shaped("nearest_channels_last", lambda x: F.interpolate(x.to(memory_format=torch.channels_last), scale_factor=2), ((2, 3, 4, 5),)),
    Shaped("nearest_size", lambda x: F.interpolate(x, size=(7, 3)), ((2, 3, 4, 5),)),
    Shaped("pixel_shuffle", lambda x: F.pixel_shuffle(x, 2), ((2, 8, 4, 5),)),
    Shaped("pixel_shuffle_3d", lambda x: F.pixel_shuffle(x, 3), ((9, 4, 5),)),
    Shaped("pixel_shuffle_channels_last", lambda x: F.pixel_shuffle(x.to(memory_format=torch.channels_last), 2), ((2, 8, 4, 5),)),
    Shaped("pixel_unshuffle", lambda x: F.pixel_unshuffle(x, 2), ((2, 3, 4, 6),)),
    Shaped("slice_scatter", lambda x, y: torch.slice_scatter(x, y, 0, 1, 3), ((4, 5), (2, 5))),
    Shaped("select_scatter", lambda x, y: torch.select_scatter(x, y, 0, 1), ((4, 5), (5,))),
    Shaped("diagonal", lambda x: torch.diagonal(x) * 2, ((4, 5),)),
    Shaped("unfold", lambda x: x.unfold(1, 3, 2) * 2, ((4, 9),)),
    Shaped("expand_sum", lambda x: x.expand(3, 4, 5).sum(0) * x, ((4, 1),)),
]  # fmt: skip

FACTORIES = [
    Shaped("arange", lambda x: x + torch.arange(5, device=x.device), ((4, 5),)),
    Shaped("arange_float", lambda x: x + torch.arange(1, 3.5, 0.5, device=x.device), ((4, 5),)),
    Shaped("zeros", lambda x: x + torch.zeros(5, device=x.device), ((4, 5),)),
    Shaped("ones", lambda x: x * torch.ones(4, 1, device=x.device), ((4, 5),)),
    Shaped("full", lambda x: x * torch.full((5,), 2.5, device=x.device, dtype=x.dtype), ((4, 5),)),
    Shaped("eye", lambda x: x * torch.eye(4, 5, device=x.device, dtype=x.dtype), ((4, 5),)),
    Shaped("linspace", lambda x: x * torch.linspace(0, 1, 5, device=x.device, dtype=x.dtype), ((4, 5),)),
    Shaped("tensor", lambda x: x * torch.tensor(2.5, device=x.device), ((4, 5),)),
]  # fmt: skip


@shaped(INDEXING)
def test_indexing(rows: list[Shaped], dtype: torch.dtype) -> None:
    run_shaped(rows, dtype)


@shaped(FACTORIES)
def test_factory(rows: list[Shaped], dtype: torch.dtype) -> None:
    run_shaped(rows, dtype)
