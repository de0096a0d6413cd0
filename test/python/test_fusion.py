"""How many kernels and library calls the layers of networks become."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn


class BasicBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.first_norm, self.second_norm = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.first_norm(self.first(x)))
        return torch.relu(self.second_norm(self.second(y)) + x)


class Bottleneck(nn.Module):
    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        sizes = [(channels, width, 1), (width, width, 3), (width, channels, 1)]
        self.convolutions = nn.ModuleList(nn.Conv2d(i, o, k, padding=k // 2, bias=False) for i, o, k in sizes)
        self.norms = nn.ModuleList(nn.BatchNorm2d(o) for _, o, _ in sizes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x
        for i in range(3):
            y = self.norms[i](self.convolutions[i](y))
            y = torch.relu(y + x if i == 2 else y)
        return y


def learned_norms(net: nn.Module) -> nn.Module:
    """Running statistics and parameters as after training."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.running_mean, module.weight.data, module.bias.data):
                values.normal_()
            module.running_var.uniform_(0.5, 2)
    return net.eval()


def replay_counts(net: nn.Module, x: torch.Tensor, counters) -> dict[str, int]:
    """Of one replay, whose values are checked against the CPU."""
    with torch.no_grad():
        expected = net(x)
        device = copy.deepcopy(net).to("hpu")
        graph, x = torch.hpu.HPUGraph(), x.to("hpu")
        with torch.hpu.graph(graph):
            y = device(x)
        for _ in range(3):  # the first packs the weights
            counters()
            graph.replay()
            moved = counters()
            torch.testing.assert_close(y.cpu(), expected, rtol=1e-4, atol=1e-4)
    assert moved["extern_calls"] == moved["breaking_calls"] == moved["compilations"] == 0
    return {name: moved[name] for name in ("kernels", "library_calls")}


@pytest.mark.parametrize("batch", [1, 96])
@pytest.mark.parametrize("activation", [nn.ReLU, nn.GELU, nn.SiLU, nn.Sigmoid, nn.Tanh])
def test_layer_of_an_mlp_is_one_library_call(activation, batch, counters) -> None:
    net = nn.Sequential(*[layer for _ in range(6) for layer in (nn.Linear(64, 64), activation())])
    assert replay_counts(net, torch.randn(batch, 64), counters) == {"kernels": 0, "library_calls": 6}


def test_residual_block_is_at_most_three_steps(counters) -> None:
    net = learned_norms(BasicBlock(16))
    # Two convolutions; scales and shifts of both norms in one kernel.
    assert replay_counts(net, torch.randn(2, 16, 12, 12), counters) == {"kernels": 1, "library_calls": 2}


def test_bottlenecks(counters) -> None:
    net = learned_norms(nn.Sequential(*[Bottleneck(32, 16) for _ in range(3)]))
    moved = replay_counts(net, torch.randn(2, 32, 10, 10), counters)
    assert moved["library_calls"] == 9
    assert moved["kernels"] <= 3


def test_norm_follows_its_statistics(counters) -> None:
    """Nothing of a batch norm is frozen into a recipe: new statistics and weights are seen by the next replay."""
    net = learned_norms(BasicBlock(8))
    device, x = copy.deepcopy(net).to("hpu"), torch.randn(1, 8, 6, 6)
    graph, x_hpu = torch.hpu.HPUGraph(), x.to("hpu")
    with torch.no_grad():
        with torch.hpu.graph(graph):
            y = device(x_hpu)
        for _ in range(3):
            for module in (net, device):
                module.first_norm.running_var.mul_(1.5)
                module.second_norm.bias.add_(0.25)
                module.first.weight.mul_(0.5)
            graph.replay()
            torch.testing.assert_close(y.cpu(), net(x), rtol=1e-4, atol=1e-4)


def test_nan_passes_through_fused_activations() -> None:
    net = nn.Sequential(nn.Linear(32, 48), nn.ReLU())
    convolution = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 1), nn.ReLU())
    for module, x in ((net, torch.randn(40, 32)), (convolution, torch.randn(1, 16, 8, 8))):
        x.view(-1)[5] = float("nan")
        x.view(-1)[100] = float("inf")
        with torch.no_grad():
            expected = module(x)
            y = copy.deepcopy(module).to("hpu")(x.to("hpu")).cpu()
        torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-4, equal_nan=True)


OPERANDS_THAT_LIE_APART = {
    "columns": lambda y, t: y * t[:2, :8].reshape(-1)[::2],
    "column of many": lambda y, t: y * t[:6, 3:4] + 1,
    "rows of more": lambda y, t: torch.relu(y + t[:6, 2:10]),
    "transposed": lambda y, t: y + t[:8, :6].t(),
}


@pytest.mark.parametrize("tail", OPERANDS_THAT_LIE_APART.values(), ids=OPERANDS_THAT_LIE_APART.keys())
@pytest.mark.parametrize("batches", [(), (3,)], ids=["matrix", "batch"])
def test_products_with_operands_that_lie_apart(tail, batches) -> None:
    a, b, t = torch.randn(*batches, 6, 5), torch.randn(*batches, 5, 8), torch.randn(12, 12)
    torch.testing.assert_close(tail(a.to("hpu") @ b.to("hpu"), t.to("hpu")).cpu(), tail(a @ b, t), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("bias", [lambda t: t[0, :8], lambda t: t[:8, 0], lambda t: t[:6, :1], lambda t: t[:8, :6].t()])
def test_products_with_biases_that_lie_apart(bias) -> None:
    a, b, t = torch.randn(6, 5), torch.randn(5, 8), torch.randn(12, 12)
    found = torch.addmm(bias(t.to("hpu")), a.to("hpu"), b.to("hpu")).cpu()
    torch.testing.assert_close(found, torch.addmm(bias(t), a, b), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("channels", [1, 8])
@pytest.mark.parametrize("kernel", [1, 3])
def test_convolutions_with_operands_that_lie_apart(kernel: int, channels: int) -> None:
    x, w, t = torch.randn(2, 32, 9, 7), torch.randn(channels, 32, kernel, kernel), torch.randn(16, 3)

    def tail(x: torch.Tensor, w: torch.Tensor, t: torch.Tensor) -> list[torch.Tensor]:
        y, scales = nn.functional.conv2d(x, w), (t[:channels, 0], t[: 2 * channels : 2, 1])
        return [nn.functional.conv2d(x, w, scale) for scale in scales] + [y * scale.view(-1, 1, 1) for scale in scales]

    for found, expected in zip(tail(*(v.to("hpu") for v in (x, w, t))), tail(x, w, t), strict=True):
        torch.testing.assert_close(found.cpu(), expected, rtol=1e-4, atol=1e-4)


def test_training_keeps_what_the_backward_pass_reads(counters) -> None:
    net = nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 30), nn.GELU(), nn.Linear(30, 5), nn.Sigmoid())
    device, x = copy.deepcopy(net).to("hpu"), torch.randn(12, 20)
    for module, data in ((net, x), (device, x.to("hpu"))):
        module(data).square().sum().backward()
    for p, q in zip(net.parameters(), device.parameters(), strict=True):
        torch.testing.assert_close(q.grad.cpu(), p.grad, rtol=1e-4, atol=1e-5)


def test_bert_layer(counters) -> None:
    """Query, key and value; attention; its projection with the residual; a norm; two products with their tails; a norm."""
    transformers = pytest.importorskip("transformers")

    def layers(n: int) -> nn.Module:
        config = transformers.BertConfig(
            vocab_size=100,
            hidden_size=64,
            num_hidden_layers=n,
            num_attention_heads=4,
            intermediate_size=128,
            hidden_act="gelu",
            attn_implementation="sdpa",
        )
        torch.manual_seed(3)
        encoder = transformers.models.bert.modeling_bert.BertEncoder(config).eval()

        class Hidden(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.encoder = encoder

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return self.encoder(x).last_hidden_state

        return Hidden()

    x = torch.randn(2, 16, 64)
    one, three = (replay_counts(layers(n), x, counters) for n in (1, 3))
    per_layer = {name: (three[name] - one[name]) / 2 for name in one}
    assert per_layer["library_calls"] <= 5
    assert sum(per_layer.values()) <= 8
