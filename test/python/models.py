"""Ten networks that people run, in tiny random configurations: what the model tests and the compile-time benchmark share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

Inputs = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Case:
    """``build`` makes the module on the CPU, ``inputs`` its keyword arguments (CPU), ``loss`` a scalar from its output."""

    name: str
    build: Callable[[], nn.Module]
    inputs: Callable[[], Inputs]
    loss: Callable[[object], torch.Tensor]


def _tokens(vocabulary: int, batch: int = 2, length: int = 16) -> torch.Tensor:
    return torch.randint(3, vocabulary, (batch, length), generator=torch.Generator().manual_seed(1))


def _noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(2))


def _padded(length: int = 16, batch: int = 2) -> torch.Tensor:
    mask = torch.ones(batch, length, dtype=torch.long)
    mask[-1, length - 4 :] = 0
    return mask


def _resnet() -> nn.Module:
    from transformers import ResNetConfig, ResNetForImageClassification

    return ResNetForImageClassification(
        ResNetConfig(embedding_size=16, hidden_sizes=[16, 32], depths=[2, 2], layer_type="basic", num_labels=10)
    )


def _bert() -> nn.Module:
    from transformers import BertConfig, BertForSequenceClassification

    return BertForSequenceClassification(
        BertConfig(vocab_size=200, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128, num_labels=3)
    )


def _gpt2() -> nn.Module:
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(GPT2Config(vocab_size=200, n_positions=64, n_embd=64, n_layer=2, n_head=4))


def _llama() -> nn.Module:
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=200,
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=64,
        )
    )


def _t5() -> nn.Module:
    from transformers import T5Config, T5ForConditionalGeneration

    return T5ForConditionalGeneration(
        T5Config(vocab_size=200, d_model=64, d_kv=16, d_ff=128, num_layers=2, num_heads=4, decoder_start_token_id=0)
    )


def _vit() -> nn.Module:
    from transformers import ViTConfig, ViTForImageClassification

    return ViTForImageClassification(
        ViTConfig(
            hidden_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=128,
            image_size=32,
            patch_size=8,
            num_labels=10,
        )
    )


def tiny_clip_text(**changes: Any) -> nn.Module:
    from transformers import CLIPTextConfig, CLIPTextModel

    config = {
        "vocab_size": 200,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 32,
        "eos_token_id": 199,
    }
    return CLIPTextModel(CLIPTextConfig(**config | changes))


def _whisper() -> nn.Module:
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    return WhisperForConditionalGeneration(
        WhisperConfig(
            vocab_size=200,
            num_mel_bins=16,
            d_model=64,
            encoder_layers=2,
            decoder_layers=2,
            encoder_attention_heads=4,
            decoder_attention_heads=4,
            encoder_ffn_dim=128,
            decoder_ffn_dim=128,
            max_source_positions=32,
            max_target_positions=32,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
            decoder_start_token_id=1,
            suppress_tokens=None,
            begin_suppress_tokens=None,
        )
    )


def tiny_unet(**changes: Any) -> nn.Module:
    from diffusers import UNet2DConditionModel

    config = {
        "sample_size": 16,
        "block_out_channels": (32, 64),
        "layers_per_block": 1,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "cross_attention_dim": 32,
        "attention_head_dim": 8,
        "norm_num_groups": 8,
    }
    return UNet2DConditionModel(**config | changes)


def middle_unet() -> tuple[nn.Module, Inputs]:
    """A UNet of 9 million parameters, large enough to measure memory and first calls with."""
    from diffusers import UNet2DConditionModel

    net = UNet2DConditionModel(
        sample_size=32,
        block_out_channels=(64, 128, 128),
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=64,
    )
    return net.eval(), {"sample": _noise(2, 4, 32, 32), "timestep": torch.tensor([7, 7]), "encoder_hidden_states": _noise(2, 12, 64)}


def tiny_autoencoder() -> nn.Module:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(16, 32),
        down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
        up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
        latent_channels=4,
        norm_num_groups=8,
        sample_size=32,
    )


def _weighted(output: torch.Tensor) -> torch.Tensor:
    """A loss whose gradient is different in every element."""
    weights = torch.linspace(-1, 1, output.numel()).view(output.shape).to(output.device)
    return (output * weights).mean() + output.square().mean()


def _language(batch: int = 2, length: int = 16) -> Inputs:
    ids = _tokens(200, batch, length)
    return {"input_ids": ids, "labels": ids}


CASES = [
    Case("resnet", _resnet, lambda: {"pixel_values": _noise(2, 3, 32, 32), "labels": torch.tensor([1, 7])}, lambda o: o.loss),
    Case(
        "bert",
        _bert,
        lambda: {"input_ids": _tokens(200), "attention_mask": _padded(), "labels": torch.tensor([0, 2])},
        lambda o: o.loss,
    ),
    Case("gpt2", _gpt2, _language, lambda o: o.loss),
    Case("llama", _llama, _language, lambda o: o.loss),
    Case("t5", _t5, lambda: {**_language(), "attention_mask": _padded()}, lambda o: o.loss),
    Case("vit", _vit, lambda: {"pixel_values": _noise(2, 3, 32, 32), "labels": torch.tensor([1, 7])}, lambda o: o.loss),
    Case("clip_text", tiny_clip_text, lambda: {"input_ids": _tokens(200)}, lambda o: _weighted(o.last_hidden_state)),
    Case(
        "whisper",
        _whisper,
        lambda: {"input_features": _noise(2, 16, 64), "labels": _tokens(200, 2, 8)},
        lambda o: o.loss,
    ),
    Case(
        "unet",
        tiny_unet,
        lambda: {"sample": _noise(2, 4, 16, 16), "timestep": torch.tensor([10, 500]), "encoder_hidden_states": _noise(2, 8, 32)},
        lambda o: _weighted(o.sample),
    ),
    Case("autoencoder", tiny_autoencoder, lambda: {"sample": _noise(2, 3, 32, 32)}, lambda o: _weighted(o.sample)),
]
