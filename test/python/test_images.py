"""Convolutions, pooling, upsampling and grid sampling. See op_rows.py for what a row means."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from op_rows import SINGLE, Shaped, run_shaped, shaped

FLOATS = (torch.float32, torch.bfloat16, torch.float64)
FORMATS = {2: torch.channels_last, 3: torch.channels_last_3d}
IMAGES = {1: (2, 4, 9), 2: (2, 4, 8, 9), 3: (2, 4, 5, 6, 7)}


def last(x: torch.Tensor, n: int) -> torch.Tensor:
    """In channels-last memory, where there is such a format."""
    return x.to(memory_format=FORMATS[n]) if n in FORMATS else x


def convolutions(n: int) -> list[Shaped]:
    x, forward, backward = IMAGES[n], getattr(F, f"conv{n}d"), getattr(F, f"conv_transpose{n}d")
    three, two = (3,) * n, (2,) * n
    rows = [
        Shaped(f"conv{n}d", lambda x, w, b: forward(x, w, b, stride=2, padding=1), (x, (6, 4, *three), (6,)), dtypes=SINGLE),
        # oneDNN has bfloat16 convolutions only for CPUs with AVX-512
        Shaped(f"conv{n}d_half", lambda x, w, b: forward(x, w, b, stride=2, padding=1), (x, (6, 4, *three), (6,)), dtypes=(torch.bfloat16,), extern=True),
        Shaped(f"conv{n}d_groups", lambda x, w, b: forward(x, w, b, groups=2, dilation=2, padding=2), (x, (6, 2, *three), (6,)), dtypes=SINGLE),
        Shaped(f"conv{n}d_depthwise", lambda x, w: forward(x, w, groups=4, padding=1), (x, (8, 1, *three)), dtypes=SINGLE),
        Shaped(f"conv{n}d_same", lambda x, w, b: forward(x, w, b, padding="same", dilation=2), (x, (6, 4, *three), (6,)), dtypes=SINGLE),
        Shaped(f"conv{n}d_same_even", lambda x, w: forward(x, w, padding="same"), (x, (6, 4, *two)), dtypes=SINGLE),
        Shaped(f"conv{n}d_valid", lambda x, w: forward(x, w, padding="valid"), (x, (6, 4, *two)), dtypes=SINGLE),
        Shaped(f"conv{n}d_one", lambda x, w: forward(x[0], w), (x, (6, 4, *(1,) * n)), dtypes=SINGLE),
        Shaped(f"conv{n}d_none", lambda x, w: forward(x[:0], w), (x, (6, 4, *two)), dtypes=SINGLE, grad=False),
        Shaped(f"conv_transpose{n}d", lambda x, w, b: backward(x, w, b, stride=2, padding=1, output_padding=1), (x, (4, 6, *three), (6,)), dtypes=SINGLE),
        Shaped(f"conv_transpose{n}d_groups", lambda x, w, b: backward(x, w, b, groups=2, dilation=2), (x, (4, 3, *three), (6,)), dtypes=SINGLE),
        Shaped(f"conv{n}d_double", forward, (x, (6, 4, *three), (6,)), dtypes=(torch.float64,), extern=True),  # oneDNN has no double
        Shaped(f"conv{n}d_channels_last", lambda x, w: forward(last(x, n), w, padding=1), (x, (6, 4, *three)), dtypes=SINGLE),
        Shaped(f"conv{n}d_weights_last", lambda x, w: forward(x, last(w, n), padding=1), (x, (6, 4, *three)), dtypes=SINGLE),
    ]  # fmt: skip
    return [Shaped(**{**row.__dict__, "scale": 8}) for row in rows]


def pools(n: int) -> list[Shaped]:
    shapes = (IMAGES[n], list(IMAGES[n]), IMAGES[n][1:])
    f = {name: getattr(F, f"{name}_pool{n}d") for name in ("max", "avg", "lp", "adaptive_max", "adaptive_avg")}
    calls = {
        "max": lambda x: f["max"](x, 3, 2, 1, ceil_mode=True),
        "max_of_less": lambda x: f["max"](x[(..., *[slice(2)] * n)], 3, 2, ceil_mode=True),  # windows larger than the image
        "max_dilated": lambda x: f["max"](x, 2, 1, 1, 2),
        "max_indices": lambda x: f["max"](x, 2, return_indices=True),
        "avg": lambda x: f["avg"](x, 3, 2, 1, ceil_mode=True),
        "avg_inside": lambda x: f["avg"](x, 3, 2, 1, count_include_pad=False),
        "adaptive_max": lambda x: f["adaptive_max"](x, 3),
        "adaptive_max_indices": lambda x: f["adaptive_max"](x, 2, return_indices=True),
        "adaptive_avg": lambda x: f["adaptive_avg"](x, 3),
        "global_avg": lambda x: f["adaptive_avg"](x, 1),
        "lp": lambda x: f["lp"](x.abs() + 0.1, 2, 3, 2),
    }
    if n < 3:  # ATen refuses the other
        calls["avg_of_less"] = lambda x: f["avg"](x[(..., *[slice(2)] * n)], 3, 2, ceil_mode=True)
    if n > 1:
        calls |= {
            "avg_divisor": lambda x: f["avg"](x, 2, divisor_override=3),
            "max_channels_last": lambda x: f["max"](last(x, n), 3, 2, 1) if x.dim() == n + 2 else x,
            "avg_channels_last": lambda x: f["avg"](last(x, n), 3, 2, 1) if x.dim() == n + 2 else x,
            "adaptive_avg_channels_last": lambda x: f["adaptive_avg"](last(x, n), 2) if x.dim() == n + 2 else x,
        }
    averages = ("avg", "lp", "global", "adaptive_avg")
    return [
        Shaped(
            f"{name}_pool{n}d", call, (shape,), dtypes=(torch.float32, torch.float64) if n == 3 and name.startswith(averages) else FLOATS
        )
        for name, call in calls.items()
        for shape in shapes
    ]  # ATen has no 3d averages in bfloat16


MODES = {
    1: ("nearest", "nearest-exact", "linear"),
    2: ("nearest", "nearest-exact", "bilinear", "bicubic"),
    3: ("nearest", "nearest-exact", "trilinear"),
}
TO: dict[str, dict[str, object]] = {"twice": {"scale_factor": 2}, "fraction": {"scale_factor": 1.7}, "smaller": {"scale_factor": 0.6}, "recomputed": {"scale_factor": 1.5, "recompute_scale_factor": True}}  # fmt: skip
SMALL = {1: (2, 3, 5), 2: (2, 3, 4, 5), 3: (2, 3, 3, 4, 5)}
UPSAMPLINGS = [
    *(Shaped(f"{mode}_{n}d_{name}", lambda x, m=mode, o=o: F.interpolate(x, mode=m, **o), (s,), dtypes=FLOATS) for n, modes in MODES.items() for mode in modes for name, o in TO.items() for s in (SMALL[n], list(SMALL[n]))),
    *(Shaped(f"{mode}_{n}d_corners", lambda x, m=mode, s=size: F.interpolate(x, size=s, mode=m, align_corners=True), (SMALL[n],), dtypes=FLOATS) for n, modes in MODES.items() for mode in modes[2:] for size in ((7,) * n, (1,) * n)),
    *(Shaped(f"{mode}_antialias", lambda x, m=mode, s=size: F.interpolate(x, size=s, mode=m, antialias=True), ((2, 3, 9, 8),), dtypes=SINGLE) for mode in ("bilinear", "bicubic") for size in ((4, 3), (11, 5))),
    *(Shaped(f"{mode}_channels_last", lambda x, m=mode: F.interpolate(last(x, 2), scale_factor=1.5, mode=m), (SMALL[2],), dtypes=SINGLE) for mode in MODES[2]),
    Shaped("nearest_channels_last_3d", lambda x: F.interpolate(last(x, 3), scale_factor=2), (SMALL[3],), dtypes=SINGLE),
    Shaped("nearest_int", lambda x: F.interpolate(x, scale_factor=2), (SMALL[2],), dtypes=(torch.uint8,), grad=False),
]  # fmt: skip

GRIDS = [
    *(Shaped(f"grid_{n}d_{mode}_{padding}_{corners}", lambda x, g, m=mode, p=padding, c=corners: F.grid_sample(x, g, m, p, align_corners=c), (SMALL[n], (2, 3, 6, 2) if n == 2 else (2, 2, 3, 4, 3)), dtypes=(torch.float32, torch.float64), low=-1.3, high=1.3, scale=8)
      for n, modes in {2: ("bilinear", "nearest", "bicubic"), 3: ("bilinear", "nearest")}.items() for mode in modes for padding in ("zeros", "border", "reflection") for corners in (False, True)),
    *(Shaped(f"affine_grid_{n}d_{corners}", lambda t, n=n, c=corners: F.affine_grid(t, [2, *SMALL[n][1:]], align_corners=c), ((2, n, n + 1),), dtypes=SINGLE) for n in (2, 3) for corners in (False, True)),
]  # fmt: skip


CONVOLUTIONS = [row for n in IMAGES for row in convolutions(n)]
POOLS = [row for n in IMAGES for row in pools(n)]


@shaped(CONVOLUTIONS)
def test_convolution(rows: list[Shaped], dtype: torch.dtype) -> None:
    run_shaped(rows, dtype)


@shaped(POOLS)
def test_pooling(rows: list[Shaped], dtype: torch.dtype) -> None:
    run_shaped(rows, dtype)


@shaped(UPSAMPLINGS)
def test_upsampling(rows: list[Shaped], dtype: torch.dtype) -> None:
    run_shaped(rows, dtype)


@shaped(GRIDS)
def test_grid(rows: list[Shaped], dtype: torch.dtype) -> None:
    run_shaped(rows, dtype)


def test_gradient_of_a_gradient() -> None:
    results = []
    for device in ("cpu", "hpu"):
        torch.manual_seed(1)
        x, w = torch.rand(2, 3, 6, 6).to(device).requires_grad_(), torch.rand(4, 3, 3, 3).to(device).requires_grad_()
        (first,) = torch.autograd.grad((F.conv2d(x, w, padding=1) ** 2).sum(), x, create_graph=True)
        results.append([g.cpu() for g in torch.autograd.grad((first**2).sum(), (x, w))])
    for ours, native in zip(*results, strict=True):
        torch.testing.assert_close(ours, native, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("call", [
    lambda x: F.max_pool2d(x, 2, padding=2),
    lambda x: F.avg_pool2d(x, 20),
    lambda x: F.conv2d(x, torch.rand(2, 3, 20, 20, device="hpu")),
    lambda x: F.interpolate(x, size=(0, 2)),
    lambda x: F.grid_sample(x, torch.rand(1, 2, 2, 2, device="hpu"), align_corners=False),
])  # fmt: skip
def test_wrong_sizes_fail_at_the_call(call) -> None:
    with pytest.raises((RuntimeError, ValueError)):
        call(torch.rand(2, 3, 8, 8, device="hpu"))
