"""Softmax and normalisations."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from op_rows import FLOATS, SINGLE, Shaped, run_shaped, shaped

SOFTMAXES = [
    *(Shaped(f"softmax_{d}", lambda x, d=d: torch.softmax(x, d), (s,), dtypes=FLOATS) for d in (0, 1, -1) for s in ((4, 9, 17), [3, 5, 7])),
    *(Shaped(f"log_softmax_{d}", lambda x, d=d: torch.log_softmax(x, d), (s,), dtypes=FLOATS) for d in (0, 1, -1) for s in ((4, 9, 17), [3, 5, 7])),
    Shaped("softmax_0d", lambda x: torch.softmax(x, 0), ((),)),
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
    Shaped("rms_norm", lambda x, w: F.rms_norm(x, (17,), w, 1e-6), ((4, 9, 17), (17,)), dtypes=FLOATS),
    Shaped("rms_norm_plain", lambda x: F.rms_norm(x, (9, 17)), ((4, 9, 17),), dtypes=FLOATS),
    *(Shaped(f"weight_norm_{d}", lambda v, g, d=d: torch._weight_norm(v, g if d else g.t(), d), ((5, 7), (1, 7) if d else (1, 5)), dtypes=SINGLE, scale=8) for d in (0, 1)),
    Shaped("layer_norm_mixed", lambda x, w, b: F.layer_norm(x, (17,), w.float(), b.float()), ((4, 17), (17,), (17,)), dtypes=(torch.bfloat16,)),
    Shaped("group_norm_mixed", lambda x, w, b: F.group_norm(x, 3, w.float(), b.float()), ((2, 6, 5), (6,), (6,)), dtypes=(torch.bfloat16,)),
    Shaped("batch_norm_mixed", lambda x, w, b, m, v: F.batch_norm(x, m.clone(), v.clone(), w.float(), b.float(), True), ((9, 5), (5,), (5,), torch.zeros(5), torch.ones(5)), dtypes=(torch.bfloat16,)),
    Shaped("batch_norm_mixed_evaluation", lambda x, m, v: F.batch_norm(x, m, v), ((9, 5), torch.zeros(5), torch.ones(5)), dtypes=(torch.bfloat16,)),
    Shaped("batch_norm_half", lambda x: F.batch_norm(x, None, None, training=True), ((9, 5),), dtypes=(torch.bfloat16, torch.float16)),
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


@shaped(SOFTMAXES)
def test_softmax(rows: list[Shaped], dtype: torch.dtype) -> None:
    run_shaped(rows, dtype)


@shaped(NORMS)
def test_norm(rows: list[Shaped], dtype: torch.dtype) -> None:
    run_shaped(rows, dtype)


def test_statistics_are_written_in_training_only() -> None:
    x, mean, var = torch.randn(9, 5), torch.randn(1).expand(5), torch.rand(1).expand(5) + 0.5
    on_hpu = [x.to("hpu"), mean[:1].to("hpu").expand(5), var.to("hpu")]
    torch.testing.assert_close(F.batch_norm(*on_hpu).cpu(), F.batch_norm(x, mean, var))
    with pytest.raises(RuntimeError, match="native_batch_norm.*single memory location"):
        F.batch_norm(*on_hpu, training=True)


def test_dtypes_are_refused_at_the_call() -> None:
    x = torch.ones(2, 8, 4, 4, dtype=torch.int32, device="hpu")
    with pytest.raises(NotImplementedError, match=r"\[aten::native_group_norm\].* not implemented for 'Int': got Int"):
        F.group_norm(x, 2)
    torch.testing.assert_close(F.group_norm(x.float(), 2).cpu(), torch.zeros(2, 8, 4, 4))
