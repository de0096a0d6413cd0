#!/usr/bin/env python3
"""Writes docs/coverage.md: what becomes of each op of namespace aten, and why an op is not compiled. `--check` only compares.

The classes come from the device itself (torch_hpu.debug.op_classes); the reasons are the table below. An op that runs otherwise than as generated code or a
library primitive and has no reason is an error.
"""

from __future__ import annotations

import argparse
import collections
import pathlib
import re
import sys

import torch

from torch_hpu import debug

PAGE = pathlib.Path(__file__).resolve().parent.parent / "docs" / "coverage.md"

# Why ops are left to ATen's CPU kernels: a reason, and the base names (regular expressions) that it holds for. The first that fits counts.
EXTERN: list[tuple[str, str]] = [
    ("linear algebra: LAPACK does the work", r"_?linalg_.*|_?cholesky.*|geqrf|ormqr|lu_unpack|triangular_solve|_compute_linear_combination"),
    ("Fourier transforms: the FFT library does the work", r"_fft_.*"),
    ("sorting and selection: no loop over independent elements", r"sort|topk|kthvalue|mode|(nan)?median"),
    ("sets and histograms", r"histc|histogram|_histogramdd_.*|hash_tensor|nonzero_static"),
    ("a dynamic program over the time steps", r"_ctc_loss_backward"),
    ("the classes are a list in the data, the loss compares all pairs", r"multilabel_margin_loss.*"),
    ("all pairs of rows: ATen's kernel is blocked by hand", r"_cdist_.*|_pdist_.*"),
    ("sparse layouts", r".*sparse.*|.*_coo_.*|.*_csr.*|_validate_compressed.*|_spdiags|sspaddmm|hspmm|.*coalesced?_?"),
    ("nested tensors", r"_?nested_.*|.*jagged.*|_padded_dense.*"),
    ("quantised tensors and their simulation", r".*quantize.*|_make_per_.*|.*_quant_.*|.*int4.*|.*int8.*|.*_int_mm|_scaled_.*mm.*|_empty_.*affine.*|_fused_moving_avg.*|.*moving_average.*"),
    ("random numbers by rejection: their count depends on the data", r"_standard_gamma(_grad)?|_sample_dirichlet|_dirichlet_grad|binomial|poisson|multinomial|randperm"),
    ("random fills that ATen's kernels do on the device's stream", r"random|exponential|bernoulli|cauchy|log_normal|geometric|normal|rrelu_with_noise.*|_sobol.*"),
    ("antialiased resampling: windows of varying length", r"_upsample_.*_aa.*"),
    ("random windows", r"fractional_max_pool.*"),
    ("segments of varying length", r"_?segment_reduce.*"),
    ("transformer fast paths: torch takes the composed form on this device", r"_transformer_.*|_native_multi_head.*|_transform_bias.*|_flash_attention.*|.*_for_cpu.*|_masked_softmax.*"),
    ("kernels of another library for one CPU", r"(to_)?mkldnn.*|_?nnpack.*|_convert_weight.*"),
    ("complex numbers are not compiled", r"view_as_.*|_?conj.*|vdot|_neg_view.*|polar|complex"),
    ("batch norm under names that only exported graphs use", r"_batch_norm_with_update|_native_batch_norm_legit|batch_norm_(backward|update_stats)"),
    ("fused forms that only exported graphs use", r"_add_relu|_addmm_activation|_trilinear"),
    ("forward-mode derivatives", r"glu_(backward_)?jvp"),
    ("parts of ops that are library calls as a whole", r"_cum(max|min)_helper|_logcumsumexp"),
    ("composite but for its out= form", r"mvlgamma"),
    ("torch's own tests", r"_test_.*|_foobar"),
    ("names of ATen's own CPU convolutions; the device's come as `convolution`", r"_?slow_conv.*"),
    ("composed of other ops; only the form with out= is a step", r"adaptive_avg_pool.*|max_unpool.*|addbmm|eye"),
    ("changes in place the rows that the data names", r"embedding_renorm"),
    ("in-place shifts under the names of Python's operators", r"__i[lr]shift_*"),
    ("bookkeeping, nothing to compute", r"_efficientzerotensor|_fused_sdp_choice|_make_dep_token|_assert.*|_functional_assert.*|from_file|_local_scalar_dense|.*_copy"),
]  # fmt: skip

BREAKING: list[tuple[str, str]] = [
    ("the size of the result depends on the data", r".*unique.*|nonzero.*|masked_select|argwhere|repeat_interleave|bincount|.*embedding_bag.*|_ctc_loss"),
    ("the answer is needed on the host", r"equal|is_nonzero|linalg_lstsq|_assert.*|_linalg_check_errors|_local_scalar_dense|allclose|item"),
    ("random numbers by rejection or with a check of the data", r"multinomial|randperm|poisson|binomial"),
]  # fmt: skip

# Lowered ops that run as a step of ATen's kernel in some cases.
CASES = [
    "products and convolutions in half precisions where oneDNN has none (CPUs without AVX-512), convolutions in double",
    "copies between overlapping parts of one buffer",
    "complex dtypes, float8 and unsigned integers wider than a byte; operands with the conjugate or negative bit set",
    "`isin` with more than 256 test elements (ATen sorts)",
    "the mean of a cross entropy with label smoothing and class weights: ATen's formula selects the targets that count (breaking)",
    "the gradients of `prod` over all dims and of `cumprod`: ATen's formulas ask on the host whether there is a zero (breaking)",
]


def reason(name: str, table: list[tuple[str, str]]) -> str | None:
    return next((why for why, pattern in table if re.fullmatch(pattern, name)), None)


def names(ops: list[str]) -> str:
    return ", ".join(f"`{n}`" for n in sorted(set(ops)))


def page() -> tuple[str, list[str]]:
    """The text, and the ops that lack a reason."""
    classes = debug.op_classes()
    by_class: dict[str, list[str]] = collections.defaultdict(list)
    for op, kind in classes.items():
        by_class[kind].append(op)
    base = {op: op.partition(".")[0] for op in classes}
    missing: list[str] = []
    lines = [
        "# Coverage",
        "",
        f"What becomes of the {len(classes)} op overloads of torch {torch.__version__.partition('+')[0]}. Written by `tools/coverage.py` from the op table; not edited by hand.",
        "",
        "| class | ops | overloads | |",
        "|---|--:|--:|---|",
    ]
    meanings = {
        "lowered": "compiled to loops, fused",
        "library": "a primitive of oneDNN or a kernel of our own",
        "composite": "decomposes into other ops: all `_foreach_` ops, most losses, views",
        "own": "views, transfers and cells that the device does itself",
        "extern": "its ATen CPU kernel runs as a step inside the graph",
        "breaking": "the graph is flushed, the op runs at once",
        "unavailable": "torch has no kernel for it that runs on a CPU (cuDNN, MIOpen, MPS ...)",
    }
    for kind, meaning in meanings.items():
        lines.append(f"| {kind} | {len({base[o] for o in by_class[kind]})} | {len(by_class[kind])} | {meaning} |")
    lines += ["", "Also lowered ops run as a step of ATen's kernel with", ""]
    lines += [f"- {case}." for case in CASES]
    for kind in ("lowered", "library"):
        lines += [
            "",
            f"## {kind.capitalize()}",
            "",
            names([base[o] for o in by_class[kind] if not base[o].endswith("_") or base[o][:-1] not in base.values()]),
        ]
    for kind, table in (("extern", EXTERN), ("breaking", BREAKING)):
        lines += ["", f"## {kind.capitalize()}", ""]
        found: dict[str, list[str]] = collections.defaultdict(list)
        for op in by_class[kind]:
            name = base[op].removesuffix("_")
            why = reason(name, table)
            found[why or "?"].append(name)
            if why is None:
                missing.append(op)
        lines += [f"- **{why}**: {names(ops)}" for why, ops in found.items()]
    return "\n".join(lines) + "\n", missing


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare with the page instead of writing it")
    check = parser.parse_args().check
    text, missing = page()
    if missing:
        print("no reason in tools/coverage.py for: " + ", ".join(missing), file=sys.stderr)
        return 1
    if check:
        if not PAGE.exists() or PAGE.read_text() != text:
            print("docs/coverage.md is out of date: run tools/coverage.py", file=sys.stderr)
            return 1
        return 0
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
