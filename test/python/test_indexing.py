"""Ops that move elements: by index, by region, by coordinate; pads. See op_rows.py for what a row means."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from op_rows import SINGLE, TRAINED, Shaped, index, run_shaped, shaped

from torch_hpu import metrics

MOVED = (torch.float32, torch.bfloat16, torch.float64, torch.int64, torch.int32, torch.uint8, torch.bool)
SUMMED = (torch.float32, torch.bfloat16, torch.float64, torch.int64)


def permutation(rows: int, n: int, dim: int) -> torch.Tensor:
    """[rows, n], or its transpose, with every line along `dim` a permutation: no two sources name one place."""
    lines = torch.stack([torch.randperm(n, generator=torch.Generator().manual_seed(k)) for k in range(rows)])
    return lines if dim == 1 else lines.t()


def mask(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(3)) > 0.5


REDUCTIONS = ("sum", "prod", "mean", "amax", "amin")

GATHERS = [
    *(Shaped(f"embedding_{name}", lambda w, i, o=o: F.embedding(i, w, **o), ((11, 6), index((4, 5), 11))) for name, o in {"plain": {}, "padding": {"padding_idx": 3}, "frequency": {"scale_grad_by_freq": True}}.items()),
    Shaped("embedding_int32", lambda w, i: F.embedding(i.int(), w), ((11, 6), index((7,), 11))),
    Shaped("embedding_transposed", lambda w, i: F.embedding(i, w), ([11, 6], index((4, 5), 11))),
    Shaped("embedding_0d", lambda w, i: F.embedding(i, w), ((11, 6), index((), 11))),
    Shaped("embedding_none", lambda w, i: F.embedding(i, w), ((11, 6), index((0,), 11))),
    *(Shaped(f"index_select_{d}", lambda x, i, d=d: torch.index_select(x, d, i), (s, index((5,), 7)), dtypes=MOVED) for d in (0, 1, -1) for s in ((7, 8, 9), [9, 8, 7])),
    Shaped("index_select_0d", lambda x, i: torch.index_select(x, 0, i), ((), torch.tensor([0]))),
    Shaped("index_select_none", lambda x, i: torch.index_select(x, 0, i), ((7, 8), index((0,), 7))),
    *(Shaped(f"gather_{d}", lambda x, i, d=d: torch.gather(x, d, i), (s, index((4, 7), 7)), dtypes=MOVED) for d in (0, 1) for s in ((7, 8), [7, 8])),
    Shaped("gather_none", lambda x, i: torch.gather(x, 0, i), ((7, 8), index((0, 8), 7))),
    *(Shaped(f"take_along_{d}", lambda x, i, d=d: torch.take_along_dim(x, i, d), ((7, 8), index((7, 8), 7))) for d in (0, 1)),
    *(Shaped("take", lambda x, i: x.take(i), (s, index((3, 4), 30, -30)), dtypes=MOVED) for s in ((5, 6), [5, 6])),
    Shaped("index_1", lambda x, i: x[i], ((7, 8), index((5,), 7, -7)), dtypes=SUMMED),
    Shaped("index_2", lambda x, i, j: x[i, j], ((7, 8), index((5,), 7), index((5,), 8)), dtypes=SUMMED),
    Shaped("index_broadcast", lambda x, i, j: x[i, j], ((7, 8, 3), index((5, 1), 7), index((4,), 8))),
    Shaped("index_middle", lambda x, i: x[:, i], ([7, 8, 3], index((5,), 8))),
    Shaped("index_apart", lambda x, i, j: x[i, :, j], ((7, 8, 3), index((5,), 7), index((5,), 3))),
    Shaped("index_none", lambda x, i: x[i], ((7, 8), index((0,), 7))),
]  # fmt: skip

SCATTERS = [
    *(Shaped(f"scatter_src_{d}", lambda x, i, y, d=d: x.scatter(d, i, y), (s, permutation(4, 5, d), (4, 5) if d == 1 else (5, 4)), dtypes=MOVED) for d in (0, 1) for s in ((5, 5), [5, 5])),
    *(Shaped(f"scatter_value_{d}", lambda x, i, d=d: x.scatter(d, i, 1.5), ((4, 6), index((3, 2), 4))) for d in (0, 1)),
    Shaped("scatter_value_int", lambda x, i: x.scatter(1, i, 1), ((4, 6), index((3, 2), 4)), dtypes=(torch.int64, torch.bool, torch.uint8), grad=False),
    *(Shaped(f"scatter_{r}", lambda x, i, y, r=r: x.scatter(1, i, y, reduce=r), ((4, 6), index((3, 5), 6), (4, 6)), dtypes=SUMMED, grad=False) for r in ("add", "multiply")),
    Shaped("scatter_value_multiply", lambda x, i: x.scatter(0, i, 2, reduce="multiply"), ((4, 6), index((3, 5), 4)), dtypes=SUMMED, grad=False),
    *(Shaped(f"scatter_add_{d}", lambda x, i, y, d=d: x.scatter_add(d, i, y), (s, index((3, 4), 4), (3, 4)), dtypes=SUMMED) for d in (0, 1) for s in ((4, 6), [4, 6])),
    Shaped("scatter_add_part_of_source", lambda x, i, y: x.scatter_add(0, i, y), ((4, 6), index((3, 4), 4), (5, 6)), dtypes=SUMMED, grad=False),
    *(Shaped(f"scatter_reduce_{r}", lambda x, i, y, d=d, r=r, o=o: x.scatter_reduce(d, i, y, r, include_self=o), ((5, 6), index((5, 5), 5), (5, 5)), dtypes=SUMMED, grad=r != "prod") for r in REDUCTIONS for d in (0, 1) for o in (True, False)),
    Shaped("scatter_0d", lambda x, i, y: x.scatter(0, i, y), ((), torch.tensor(0), ()), extern=True),  # its gradient gathers from 0-d
    Shaped("scatter_none", lambda x, i, y: x.scatter(0, i, y), ((4, 6), index((0, 6), 4), (0, 6))),
    *(Shaped(f"index_add_{d}", lambda x, i, y, d=d: x.index_add(d, i, y), ((5, 4, 5), index((5,), 4), (5, 5, 5) if d == 1 else (5, 4, 5)), dtypes=SUMMED) for d in (0, 1, 2)),
    Shaped("index_add_alpha", lambda x, i, y: x.index_add(0, i, y, alpha=2), ((4, 6), index((5,), 4), [5, 6]), dtypes=SUMMED),
    *(Shaped(f"index_copy_{d}", lambda x, i, y, d=d: x.index_copy(d, i, y), ([5, 5], torch.tensor([3, 0, 4]), (3, 5) if d == 0 else (5, 3)), dtypes=MOVED) for d in (0, 1)),
    *(Shaped(f"index_fill_{d}", lambda x, i, d=d: x.index_fill(d, i, 2), (s, index((2,), 4)), dtypes=MOVED) for d in (0, 1) for s in ((4, 6), [4, 6], (4, 4, 2))),
    Shaped("index_fill_tensor", lambda x, i, v: x.index_fill(0, i, v), ((4, 6), index((2,), 4), ()), extern=True),  # the value's gradient makes the indices unique
    *(Shaped(f"index_reduce_{r}", lambda x, i, y, r=r, o=o: x.index_reduce(0, i, y, r, include_self=o), ((4, 6), index((5,), 4), (5, 6)), dtypes=SUMMED, grad=r != "prod") for r in REDUCTIONS[1:] for o in (True, False)),
    *(Shaped("put", lambda x, i, y: x.put(i, y), (s, torch.tensor([3, 9, -1, 0]), (4,)), dtypes=MOVED) for s in ((5, 6), (30,))),
    Shaped("put_accumulate", lambda x, i, y: x.put(i, y, accumulate=True), ((5, 6), index((3, 4), 30), (3, 4)), dtypes=SUMMED),
    Shaped("index_put", lambda x, i, y: x.index_put((i,), y), ((7, 8), torch.tensor([2, 0, -1]), (3, 8)), dtypes=MOVED),
    Shaped("index_put_accumulate", lambda x, i, y: x.index_put((i,), y, accumulate=True), ((7, 8), index((5,), 7), (8,)), dtypes=SUMMED),
    Shaped("index_put_number", lambda x, i: (y := x * 1, y.__setitem__(i, 2.0), y)[2], ((7, 8), index((3,), 7))),
    Shaped("setitem_mask", lambda x, m: (y := x * 1, y.__setitem__(m, 2), y)[2], ((4, 5), mask(4, 5)), dtypes=(*TRAINED, torch.int64)),
    Shaped("setitem_mask_rows", lambda x, m: (y := x * 1, y.__setitem__(m, 2), y)[2], ([4, 5], mask(4))),
    Shaped("setitem_mask_columns", lambda x, m: (y := x * 1, y.__setitem__((slice(None), m), 2), y)[2], ((4, 5), mask(5))),
    Shaped("masked_add", lambda x, m, v: x.index_put((m,), v, accumulate=True), ((4, 5), mask(4, 5), ()), extern=True),  # the value's gradient gathers by a mask
    Shaped("one_hot", lambda i: F.one_hot(i, 7), (index((4, 5), 7),), grad=False, dtypes=SINGLE),
    Shaped("max_unpool", lambda x, i: F.max_unpool2d(x, i, 2), ((2, 3, 4, 4), torch.arange(16).view(4, 4).mul(4).expand(2, 3, 4, 4).contiguous())),
]  # fmt: skip

REGIONS = [
    Shaped("cat_channels_last", lambda x, y: torch.cat([x.to(memory_format=torch.channels_last), y.to(memory_format=torch.channels_last)], 1), ((2, 3, 4, 5), (2, 2, 4, 5))),
    Shaped("cat_channels_last_3d", lambda x, y: torch.cat([x.to(memory_format=torch.channels_last_3d), y.to(memory_format=torch.channels_last_3d)], 1), ((2, 3, 4, 5, 2), (2, 2, 4, 5, 2))),
    Shaped("cat_mixed", lambda x, y: torch.cat([x, y.int()], 0), ((3, 4), (2, 4)), grad=False),
    Shaped("stack_mixed_layouts", lambda x, y: torch.stack([x, y], 1), ((4, 5), [4, 5]), dtypes=MOVED),
    *(Shaped(f"roll_flat_{n}", lambda x, n=n: torch.roll(x, n), (s,), dtypes=MOVED) for n in (3, -7, 0) for s in ((4, 5), [4, 5])),
    Shaped("roll", lambda x: torch.roll(x, (1, -2), (0, 1)), ([4, 5],), dtypes=MOVED),
    *(Shaped(f"rot90_{k}", lambda x, k=k: torch.rot90(x, k), ((5, 5),)) for k in (1, 2, 3)),
    Shaped("flip", lambda x: x.flip(0, 2), ([4, 5, 6],), dtypes=MOVED),
    Shaped("tile", lambda x: x.tile(2, 3), ((4, 5),)),
    *(Shaped(f"repeat_interleave_{d}", lambda x, d=d: x.repeat_interleave(3, d), ((4, 5),)) for d in (None, 0, 1)),
    Shaped("diagonal_scatter", torch.diagonal_scatter, ((4, 5), (4,))),
    Shaped("as_strided_scatter", lambda x, y: torch.as_strided_scatter(x, y, (2, 2), (1, 2)), ((3, 3), (2, 2))),
    Shaped("diag", torch.diag, ((4, 4),)),
    Shaped("diag_line", torch.diag, ((4,),)),
    Shaped("diag_embed", lambda x: torch.diag_embed(x, 1), ((3, 4),)),
    Shaped("diagonal", lambda x: x.diagonal(1) * 2, ((4, 5),)),
    Shaped("trace", torch.trace, ((4, 5),), dtypes=(torch.float32, torch.int64)),
    *(Shaped(f"unfold_{size}_{step}", lambda x, a=size, b=step: x.unfold(1, a, b) * 2, (s,)) for size, step in ((3, 2), (3, 1), (2, 3)) for s in ((4, 9), [4, 9, 2])),
    Shaped("as_strided_overlapping", lambda x: x.as_strided((3, 3), (1, 1)) * 2, ((4, 5),)),
    Shaped("channel_shuffle", lambda x: F.channel_shuffle(x, 2), ((2, 6, 3, 4),), dtypes=MOVED),
    Shaped("pixel_unshuffle", lambda x: F.pixel_unshuffle(x, 2), ((2, 2, 4, 6),)),
    Shaped("im2col", lambda x: F.unfold(x, (2, 3), dilation=(1, 2), padding=1, stride=(2, 1)), ((2, 3, 7, 8),)),
    Shaped("im2col_plain", lambda x: F.unfold(x, 2), ((3, 5, 6),)),
    Shaped("col2im", lambda x: F.fold(x, (6, 7), (2, 3), padding=1, stride=2), ((2, 18, 16),)),
    Shaped("meshgrid", lambda x, y: torch.meshgrid(x, y, indexing="ij")[0] * 2, ((4,), (3,))),
]  # fmt: skip

SHAPES = {1: ((2, 3, 8), [3, 8]), 2: ((2, 3, 6, 7), [3, 6, 7]), 3: ((2, 3, 5, 4, 6), [3, 5, 4, 6])}
PADS = {1: ((2, 1), (0, 3), (-1, 2)), 2: ((2, 1, 0, 3), (1, 1, 1, 1), (3, -2, -1, 0)), 3: ((1, 2, 0, 1, 2, 1),)}
PADDED = [
    *(Shaped(f"pad_{mode}_{n}d", lambda x, p=p, m=mode: F.pad(x, p, mode=m), (s,), dtypes=(*TRAINED, torch.float64))
      for mode in ("reflect", "replicate") for n, shapes in SHAPES.items() for s in shapes for p in PADS[n]),
    # ATen copies slices of the result into each other: copies within one buffer run as ATen's
    *(Shaped(f"pad_circular_{n}d", lambda x, p=p: F.pad(x, p, mode="circular"), (s,), dtypes=(*TRAINED, torch.float64))
      for n, shapes in SHAPES.items() for s in shapes for p in PADS[n] if min(p) >= 0),
    *(Shaped(f"pad_constant_{n}d", lambda x, p=p: F.pad(x, p, value=1), (s,), dtypes=MOVED) for n, shapes in SHAPES.items() for s in shapes for p in PADS[n]),
]  # fmt: skip


@shaped(GATHERS)
def test_gather(rows: list[Shaped], dtype: torch.dtype) -> None:
    run_shaped(rows, dtype)


@shaped(SCATTERS)
def test_scatter(rows: list[Shaped], dtype: torch.dtype) -> None:
    run_shaped(rows, dtype)


@shaped(REGIONS)
def test_region(rows: list[Shaped], dtype: torch.dtype) -> None:
    run_shaped(rows, dtype)


@shaped(PADDED)
def test_pad(rows: list[Shaped], dtype: torch.dtype) -> None:
    run_shaped(rows, dtype)


@pytest.mark.parametrize(("call", "message"), [
    (lambda x, i: x.index_add(0, i, x[:1].clone()), "index_add.*index 9 is out of bounds for dimension 0 with size 4"),
    (lambda x, i: x.scatter(0, i.expand(1, 6), 1.0), "scatter.*index 9 is out of bounds for dimension 0 with size 4"),
    (lambda x, i: x.index_put((i,), x[0].clone()), "index_put.*index 9 is out of bounds for dimension 0 with size 4"),
    (lambda x, i: x.put(i * 4, x[0, :1].clone()), "put.*index 36 is out of bounds for dimension 0 with size 24"),
    (lambda x, i: F.embedding(i, x), "index.*embedding"),
    (lambda x, i: x.index_select(0, i - 10), "index.*index_select"),
    (lambda x, i: x.gather(0, i.expand(1, 6)), "index.*gather"),
    (lambda x, i: x[i], "index"),
])  # fmt: skip
def test_bad_index_fails_when_it_is_read(call, message) -> None:
    x = torch.rand(4, 6, device="hpu")
    torch.hpu.synchronize()  # what the failing graph writes is lost, x must not be part of it
    result = call(x, torch.tensor([9], device="hpu"))
    with pytest.raises((IndexError, RuntimeError), match=f"(?is){message}"):
        result.cpu()
    assert torch.equal((x + 1).cpu(), x.cpu() + 1)


@pytest.mark.parametrize("call", [
    lambda x: x.index_add(0, torch.tensor([0, 1], device="hpu"), torch.rand(3, 6, device="hpu")),
    lambda x: x.scatter(0, torch.zeros(5, 7, dtype=torch.int64, device="hpu"), 1.0),
    lambda x: x.scatter_add(0, torch.zeros(2, 2, dtype=torch.int64, device="hpu"), torch.rand(1, 2, device="hpu")),
    lambda x: x.index_put((torch.tensor([0, 1], device="hpu"),), torch.rand(3, 6, device="hpu")),
    lambda x: x.index_select(0, torch.zeros(2, 2, dtype=torch.int64, device="hpu")),
    lambda x: F.pad(x, (7, 0), mode="reflect"),
    lambda x: torch.trace(x[0]),
])  # fmt: skip
def test_wrong_shapes_fail_at_the_call(call) -> None:
    with pytest.raises((IndexError, RuntimeError)):
        call(torch.rand(4, 6, device="hpu"))


def test_a_masked_write_stays_in_the_graph(counters) -> None:
    x, m = torch.rand(64, 64, device="hpu"), torch.rand(64, 64, device="hpu") > 0.5
    torch.hpu.mark_step()
    counters()
    y = x * 2
    y[m] = 0.0
    z = y + 1
    torch.hpu.mark_step()
    moved = counters()
    assert moved["kernels"] == 1
    assert moved["extern_calls"] == moved["breaking_calls"] == moved["library_calls"] == moved["infer_calls"] == 0
    assert torch.equal(z.cpu(), torch.where(m.cpu(), 0.0, x.cpu() * 2) + 1)


def test_a_gradient_of_rows_is_one_library_call(counters) -> None:
    x = torch.rand(50, 32, device="hpu", requires_grad=True)
    i = torch.randint(0, 50, (200,)).to("hpu")
    torch.hpu.synchronize()
    counters()
    x.index_select(0, i).sum().backward()
    torch.hpu.mark_step()
    assert counters()["library_calls"] == 1
    assert torch.equal(x.grad.cpu()[:, 0], torch.bincount(i.cpu(), minlength=50).float())


MASKED = {
    "masked_scatter": lambda x, y, m: x.masked_scatter(m, y),
    "masked_scatter_rows": lambda x, y, m: x.masked_scatter(m[:, :1], y),
    "masked_fill": lambda x, y, m: x.masked_fill(m, 1.5) + y.view(x.shape),
}


@pytest.mark.parametrize("name", MASKED)
def test_masked(name: str) -> None:
    """Nothing breaks the graph, although how much is moved depends on data."""
    results = []
    before = metrics.details("breaking_calls")
    for device in ("cpu", "hpu"):
        torch.manual_seed(2)
        x, y = torch.rand(5, 7).to(device).requires_grad_(), torch.rand(35).to(device).requires_grad_()
        out = MASKED[name](x, y, mask(5, 7).to(device))
        (out * out).sum().backward()
        results.append([t.detach().cpu() for t in (out, x.grad, y.grad)])
    assert metrics.details("breaking_calls") == before
    for ours, native in zip(*results, strict=True):
        torch.testing.assert_close(ours, native)


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("form", ["offsets", "rows", "padding", "weights", "last"])
def test_embedding_bag(mode: str, form: str) -> None:
    if form == "weights" and mode != "sum":
        pytest.skip("weights go with sums only")
    results = []
    before = metrics.details("breaking_calls")
    for device in ("cpu", "hpu"):
        torch.manual_seed(2)
        weight = torch.rand(11, 6).to(device).requires_grad_()
        indices, offsets = index((10,), 11).to(device), torch.tensor([0, 3, 3, 7]).to(device)
        scale = torch.rand(10).to(device).requires_grad_() if form == "weights" else None
        options = {"padding_idx": int(indices[1])} if form == "padding" else {"include_last_offset": True} if form == "last" else {}
        if form == "last":
            offsets = torch.tensor([0, 3, 3, 7, 10]).to(device)
        if form == "rows":
            out = F.embedding_bag(indices.view(2, 5), weight, mode=mode)
        else:
            out = F.embedding_bag(indices, weight, offsets, mode=mode, per_sample_weights=scale, **options)
        (out * torch.arange(1, 7, device=device)).sum().backward()
        results.append([t.detach().cpu() for t in (out, weight.grad, *([scale.grad] if scale is not None else []))])
    assert metrics.details("breaking_calls") == before
    for ours, native in zip(*results, strict=True):
        torch.testing.assert_close(ours, native)


def test_repeat_interleave_with_a_known_size() -> None:
    x, repeats = torch.rand(4, 5), torch.tensor([1, 2, 0, 3])
    before = metrics.details("breaking_calls")
    ours = x.to("hpu").repeat_interleave(repeats.to("hpu"), 0, output_size=6)
    assert torch.equal(ours.cpu(), x.repeat_interleave(repeats, 0))
    assert metrics.details("breaking_calls") == before
    assert torch.equal(x.to("hpu").repeat_interleave(repeats.to("hpu"), 0).cpu(), x.repeat_interleave(repeats, 0))
    assert metrics.details("breaking_calls") != before
