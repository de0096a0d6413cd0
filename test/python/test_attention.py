"""Attention: one library call wherever the shapes allow it, the values and gradients of ATen's CPU kernels everywhere."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torch_hpu import debug

TOLERANCE = {torch.float32: (1e-5, 2e-5), torch.float64: (1e-9, 1e-9), torch.bfloat16: (1.6e-2, 1e-2), torch.float16: (2e-3, 1e-3)}
FUSED = (torch.float32, torch.bfloat16, torch.float16)


def heads(b: int, h: int, n: int, width: int) -> Tensor:
    """[b, h, n, width] as models make it: a transposed view of [b, n, h * width]."""
    return torch.randn(b, n, h * width).view(b, n, h, width).transpose(1, 2)


def blind_row(n: int, s: int) -> Tensor:
    mask = torch.rand(n, s) > 0.3
    mask[1] = False
    return mask


# name: query, key, value, keywords
CASES: dict[str, Callable[[], tuple[Tensor, Tensor, Tensor, dict[str, Any]]]] = {
    "plain": lambda: (heads(2, 3, 33, 16), heads(2, 3, 33, 16), heads(2, 3, 33, 16), {}),
    "cross": lambda: (heads(2, 3, 20, 16), heads(2, 3, 70, 16), heads(2, 3, 70, 16), {"scale": 0.3}),
    "causal": lambda: (heads(1, 2, 77, 40), heads(1, 2, 77, 40), heads(1, 2, 77, 40), {"is_causal": True}),
    "causal wide": lambda: (heads(1, 2, 5, 8), heads(1, 2, 300, 8), heads(1, 2, 300, 8), {"is_causal": True}),
    "bool mask": lambda: (heads(2, 2, 9, 8), heads(2, 2, 12, 8), heads(2, 2, 12, 8), {"attn_mask": torch.rand(2, 1, 9, 12) > 0.2}),
    "blind rows": lambda: (heads(2, 2, 9, 8), heads(2, 2, 12, 8), heads(2, 2, 12, 8), {"attn_mask": blind_row(9, 12)}),
    "padding": lambda: (heads(2, 2, 9, 8), heads(2, 2, 12, 8), heads(2, 2, 12, 8), {"attn_mask": torch.randn(2, 1, 1, 12)}),
    "bias": lambda: (heads(2, 2, 9, 8), heads(2, 2, 12, 8), heads(2, 2, 12, 8), {"attn_mask": torch.randn(2, 9, 12)}),
    "grouped": lambda: (heads(2, 6, 9, 8), heads(2, 2, 12, 8), heads(2, 2, 12, 8), {"enable_gqa": True}),
    "decode": lambda: (heads(2, 4, 1, 64), heads(2, 2, 300, 64), heads(2, 2, 300, 64), {"enable_gqa": True}),
    "widths": lambda: (heads(1, 2, 9, 5), heads(1, 2, 12, 5), heads(1, 2, 12, 19), {}),
    "one key": lambda: (heads(1, 2, 4, 8), heads(1, 2, 1, 8), heads(1, 2, 1, 8), {}),
    "no batch": lambda: (torch.randn(3, 9, 8), torch.randn(3, 12, 8), torch.randn(3, 12, 8), {"attn_mask": torch.randn(3, 9, 12)}),
    "columns": lambda: (torch.randn(1, 2, 8, 9).mT, torch.randn(1, 2, 8, 12).mT, torch.randn(1, 2, 8, 12).mT, {}),
    "expanded": lambda: (heads(2, 2, 9, 8), torch.randn(1, 1, 12, 8).expand(2, 2, 12, 8), torch.randn(2, 1, 12, 8).expand(2, 2, 12, 8), {}),
}


def on_hpu(arguments: dict[str, Any]) -> dict[str, Any]:
    return {k: v.to("hpu") if isinstance(v, Tensor) else v for k, v in arguments.items()}


def reference(q: Tensor, k: Tensor, v: Tensor, arguments: dict[str, Any]) -> Tensor:
    """In float at least: a fused kernel rounds once."""
    wide = torch.promote_types(q.dtype, torch.float32)
    more = {name: x.to(wide) if isinstance(x, Tensor) and x.is_floating_point() else x for name, x in arguments.items()}
    return F.scaled_dot_product_attention(q.to(wide), k.to(wide), v.to(wide), **more)


def close(got: Tensor, expected: Tensor, dtype: torch.dtype, scale: float = 1) -> None:
    rtol, atol = TOLERANCE[dtype]
    torch.testing.assert_close(got.cpu(), expected.to(dtype), rtol=rtol * scale, atol=atol * scale)


def in_dtype(name: str, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor, dict[str, Any]]:
    q, k, v, arguments = CASES[name]()
    more = {n: x.to(dtype) if isinstance(x, Tensor) and x.is_floating_point() else x for n, x in arguments.items()}
    return q.to(dtype), k.to(dtype), v.to(dtype), more


@pytest.mark.parametrize("dtype", FUSED, ids=str)
@pytest.mark.parametrize("name", CASES)
def test_one_library_call_each_way(name: str, dtype: torch.dtype, counters) -> None:
    q, k, v, arguments = in_dtype(name, dtype)
    host = [x.detach().requires_grad_() for x in (q, k, v)]
    device = [x.detach().to("hpu").requires_grad_() for x in (q, k, v)]
    more = on_hpu(arguments)
    counters()
    out = F.scaled_dot_product_attention(*device, **more)
    moved = counters()
    assert (moved["library_calls"], moved["extern_calls"], moved["breaking_calls"]) == (1, 0, 0)
    prepared = name in ("columns",)  # rows that do not lie in one run are copied
    assert moved["kernels"] <= (3 if prepared else 1 if "attn_mask" in arguments else 0)  # ATen makes bool masks additive
    expected = reference(*host, arguments)
    close(out, expected, dtype)
    grad = torch.randn_like(expected).to(dtype)
    expected.backward(grad.to(expected.dtype))
    grad_hpu = grad.to("hpu")
    counters()
    out.backward(grad_hpu)
    moved = counters()
    assert (moved["library_calls"], moved["extern_calls"], moved["breaking_calls"]) == (1, 0, 0)
    for a, b in zip(device, host, strict=True):
        close(a.grad, b.grad, dtype, 4)


@pytest.mark.parametrize("tier", ["generic", "eager"])
@pytest.mark.parametrize("name", CASES)
def test_other_tiers(name: str, tier: str) -> None:
    q, k, v, arguments = CASES[name]()
    host = [x.detach().requires_grad_() for x in (q, k, v)]
    device = [x.detach().to("hpu").requires_grad_() for x in (q, k, v)]
    expected = reference(*host, arguments)
    expected.sum().backward()
    if tier == "eager":
        with torch.hpu.eager_mode():
            out = F.scaled_dot_product_attention(*device, **on_hpu(arguments))
            out.sum().backward()
    else:
        debug.set_option("tier", "generic")
        out = F.scaled_dot_product_attention(*device, **on_hpu(arguments))
        out.sum().backward()
    close(out, expected, torch.float32)
    for a, b in zip(device, host, strict=True):
        close(a.grad, b.grad, torch.float32, 4)


def test_strides_are_those_of_aten() -> None:
    q = heads(2, 3, 9, 8)
    assert F.scaled_dot_product_attention(*[q.to("hpu")] * 3).stride() == F.scaled_dot_product_attention(q, q, q).stride()


class Block(nn.Module):
    """Self-attention as transformers writes it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        b, n, w = x.shape
        q, k, v = (f(x).view(b, n, self.heads, -1).transpose(1, 2) for f in (self.q, self.k, self.v))
        return self.o(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, w))


def test_views_around_it_cost_nothing(counters) -> None:
    cpu = Block(32, 4)
    hpu = copy.deepcopy(cpu).to("hpu")
    x = torch.randn(2, 10, 32)
    y = x.to("hpu")
    counters()
    out = hpu(y)
    moved = counters()
    assert (moved["library_calls"], moved["kernels"], moved["extern_calls"], moved["breaking_calls"]) == (5, 0, 0, 0)
    close(out.detach(), cpu(x).detach(), torch.float32)


@pytest.mark.parametrize("sizes", [(0, 4), (4, 0), (1, 1)], ids=str)
def test_few_queries_and_keys(sizes: tuple[int, int]) -> None:
    n, s = sizes
    q, k = torch.randn(2, 2, n, 8), torch.randn(2, 2, s, 8)
    expected = F.scaled_dot_product_attention(q, k, k)
    close(F.scaled_dot_product_attention(q.to("hpu"), k.to("hpu"), k.to("hpu")), expected, torch.float32)


def test_double_takes_the_composite(counters) -> None:
    q = heads(2, 2, 9, 8).double()
    device = q.to("hpu").requires_grad_()
    counters()
    out = F.scaled_dot_product_attention(device, device, device, is_causal=True)
    moved = counters()
    assert (moved["library_calls"], moved["extern_calls"], moved["breaking_calls"]) == (2, 0, 0)
    host = q.requires_grad_()
    expected = F.scaled_dot_product_attention(host, host, host, is_causal=True)
    close(out, expected, torch.float64)
    expected.sum().backward()
    out.sum().backward()
    close(device.grad, host.grad, torch.float64)


def test_gradient_of_a_mask() -> None:
    q, mask = heads(2, 2, 9, 8), torch.randn(2, 1, 9, 9)
    host, device = mask.clone().requires_grad_(), mask.to("hpu").requires_grad_()
    expected = F.scaled_dot_product_attention(q, q, q, attn_mask=host)
    out = F.scaled_dot_product_attention(*[q.to("hpu")] * 3, attn_mask=device)
    close(out, expected, torch.float32)
    expected.square().sum().backward()
    out.square().sum().backward()
    close(device.grad, host.grad, torch.float32, 4)


def test_only_some_gradients(counters) -> None:
    q, k, v, _ = CASES["plain"]()
    for wanted in range(3):
        host = [x.detach().clone().requires_grad_(i == wanted) for i, x in enumerate((q, k, v))]
        device = [x.detach().to("hpu").requires_grad_(x.requires_grad) for x in host]
        F.scaled_dot_product_attention(*host).square().sum().backward()
        counters()
        F.scaled_dot_product_attention(*device).square().sum().backward()
        moved = counters()
        assert (moved["library_calls"], moved["extern_calls"]) == (2, 0)
        close(device[wanted].grad, host[wanted].grad, torch.float32, 4)


def test_dropout(counters) -> None:
    q = torch.randn(4, 4, 32, 16, device="hpu")
    identity = torch.eye(32, device="hpu").expand(4, 4, 32, 32)
    plain = F.scaled_dot_product_attention(q, q, identity)
    torch.hpu.manual_seed(3)
    counters()
    kept = F.scaled_dot_product_attention(q, q, identity, dropout_p=0.25).cpu()  # the dropped probabilities themselves
    moved = counters()
    assert (moved["extern_calls"], moved["breaking_calls"]) == (0, 0)
    torch.testing.assert_close(kept, torch.where(kept == 0, 0, plain.cpu() / 0.75), rtol=1e-4, atol=1e-6)
    assert abs((kept == 0).float().mean().item() - 0.25) < 0.02
    torch.hpu.manual_seed(3)
    assert torch.equal(kept, F.scaled_dot_product_attention(q, q, identity, dropout_p=0.25).cpu())


def test_autocast(counters) -> None:
    q = heads(2, 2, 40, 16)
    device = q.to("hpu").requires_grad_()
    counters()
    with torch.autocast("hpu", dtype=torch.bfloat16):
        out = F.scaled_dot_product_attention(device, device, device)
    assert out.dtype == torch.bfloat16
    out.float().sum().backward()
    moved = counters()
    assert (moved["library_calls"], moved["extern_calls"], moved["breaking_calls"]) == (2, 0, 0)
    close(out, F.scaled_dot_product_attention(q, q, q), torch.bfloat16)
    assert device.grad.dtype == torch.float32


def test_capture_and_replay(counters) -> None:
    q, k, v, arguments = CASES["bool mask"]()
    device = [x.to("hpu").requires_grad_() for x in (q, k, v)]
    more = on_hpu(arguments)
    graph = torch.hpu.HPUGraph()
    with torch.hpu.graph(graph):
        out = F.scaled_dot_product_attention(*device, **more)
        grads = torch.autograd.grad(out.sum(), device)
    for _ in range(2):
        host = [torch.randn(x.shape).requires_grad_() for x in (q, k, v)]
        with torch.no_grad():
            for a, b in zip(device, host, strict=True):
                a.copy_(b)
        counters()
        graph.replay()
        moved = counters()
        assert (moved["library_calls"], moved["extern_calls"], moved["compilations"]) == (2, 0, 0)
        expected = F.scaled_dot_product_attention(*host, **arguments)
        close(out.detach(), expected.detach(), torch.float32)
        for a, b in zip(grads, torch.autograd.grad(expected.sum(), host), strict=True):
            close(a, b, torch.float32, 4)


def test_choice_follows_the_context(counters) -> None:
    q = heads(1, 2, 9, 8).to("hpu")
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        counters()
        out = F.scaled_dot_product_attention(q, q, q)
        assert counters()["library_calls"] == 2
    assert torch._fused_sdp_choice(q, q, q) == torch.nn.attention.SDPBackend.OVERRIDEABLE.value
    del out


def test_errors() -> None:
    q = torch.randn(1, 2, 9, 8, device="hpu")
    with pytest.raises(RuntimeError, match="attn_mask"):
        F.scaled_dot_product_attention(q, q, q, attn_mask=torch.zeros(9, 9, device="hpu"), is_causal=True)
    with pytest.raises(RuntimeError, match=r"argument 'attn_bias' is on cpu, expected hpu:0"):
        F.scaled_dot_product_attention(q, q, q, attn_mask=torch.zeros(9, 9))
    fused = torch.ops.aten._scaled_dot_product_fused_attention_overrideable
    with pytest.raises(RuntimeError, match=r"sizes do not fit: got query \[1, 2, 9, 8\]"):
        fused(q, q[..., :4], q)
    with pytest.raises(RuntimeError, match=r"got a mask of size \[3\], expected one that broadcasts to \[1, 2, 9, 9\]"):
        fused(q, q, q, torch.zeros(3, device="hpu"))
    with pytest.raises(RuntimeError, match="dropout_p=0.5"):
        fused(q, q, q, None, 0.5)


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("weights", [True, False], ids=["weights", "no weights"])
@pytest.mark.parametrize("masked", ["none", "padding", "attention", "both"])
@pytest.mark.parametrize("cross", [True, False], ids=["cross", "self"])
def test_multihead_attention(training: bool, weights: bool, masked: str, cross: bool, counters) -> None:
    cpu = nn.MultiheadAttention(32, 4, batch_first=True).train(training)
    hpu = copy.deepcopy(cpu).to("hpu")
    x = torch.randn(2, 10, 32)
    memory = torch.randn(2, 12, 32) if cross else x
    n = memory.size(1)
    masks: dict[str, Tensor] = {}
    if masked in ("padding", "both"):
        masks["key_padding_mask"] = torch.arange(n).expand(2, n) >= torch.tensor([[n], [n - 4]])
    if masked in ("attention", "both"):
        masks["attn_mask"] = torch.ones(10, n).triu(2).bool()
    x_hpu = x.to("hpu")
    memory_hpu = memory.to("hpu") if cross else x_hpu
    masks_hpu = on_hpu(masks)
    with torch.set_grad_enabled(training):
        expected, expected_weights = cpu(x, memory, memory, need_weights=weights, **masks)
        counters()
        out, out_weights = hpu(x_hpu, memory_hpu, memory_hpu, need_weights=weights, **masks_hpu)
        moved = counters()
    assert (moved["extern_calls"], moved["breaking_calls"]) == (0, 0)
    assert moved["library_calls"] <= (6 if weights else 5)
    close(out, expected, torch.float32)
    if weights:
        close(out_weights, expected_weights, torch.float32)


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("norm_first", [True, False], ids=["norm first", "norm last"])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_transformer_encoder_layer(training: bool, norm_first: bool, activation: str, counters) -> None:
    cpu = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, activation=activation, batch_first=True, norm_first=norm_first)
    cpu.train(training)
    hpu = copy.deepcopy(cpu).to("hpu")
    x = torch.randn(2, 10, 32)
    padding = torch.arange(10).expand(2, 10) >= torch.tensor([[10], [7]])
    x_hpu, padding_hpu = x.to("hpu"), padding.to("hpu")
    with torch.set_grad_enabled(training):
        for masks in ({}, {"src_key_padding_mask": padding}):
            masks_hpu = {"src_key_padding_mask": padding_hpu} if masks else {}
            expected = cpu(x, **masks)
            counters()
            out = hpu(x_hpu, **masks_hpu)
            moved = counters()
            assert (moved["extern_calls"], moved["breaking_calls"]) == (0, 0)
            assert moved["library_calls"] <= 7
            visible = ~padding if masks else torch.ones(2, 10, dtype=torch.bool)
            close(out.cpu()[visible], expected[visible], torch.float32, 2)
