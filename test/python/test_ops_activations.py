"""Activations and their backwards."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from op_rows import FLOATS, Row, binary, pointwise, run_row, unary

ACTIVATIONS = [
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
    unary("tanhshrink", F.tanhshrink, scale=8),
    unary("rrelu_evaluation", lambda x: F.rrelu(x, 0.1, 0.3), scale=2),
    unary("elu_in_place", lambda x: F.elu(x * 1.0, 0.7, inplace=True), scale=4),
    unary("glu", lambda x: F.glu(torch.stack([x, x * 2]), 0), scale=4),
    unary("alpha_dropout_evaluation", lambda x: F.alpha_dropout(x, 0.5, training=False) * 2),
    binary("prelu_gradient", lambda x, w: F.prelu(x, w.reshape(-1)[:1]) if x.numel() else x * 1, scale=4),
    unary("silu_twice", lambda x: F.silu(F.silu(x)), scale=4),
]  # fmt: skip


@pointwise(ACTIVATIONS)
def test_activation(row: Row, dtype: torch.dtype) -> None:
    run_row(row, dtype)
