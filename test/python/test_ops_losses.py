"""Losses, forward and backward."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from op_rows import SINGLE, Shaped, index, run_shaped, shaped

LOSSES = [
    *(Shaped(f"mse_loss_{r}", lambda x, y, r=r: F.mse_loss(x, y, reduction=r), ((5, 37), (5, 37))) for r in ("none", "mean", "sum")),
    Shaped("mse_loss_transposed", F.mse_loss, ([6, 7], (6, 7))),
    *(Shaped(f"l1_loss_{r}", lambda x, y, r=r: F.l1_loss(x, y, reduction=r), ((5, 37), (5, 37))) for r in ("none", "mean", "sum")),
    *(Shaped(f"smooth_l1_{r}", lambda x, y, r=r: F.smooth_l1_loss(x, y, reduction=r, beta=0.7), ((5, 37), (5, 37))) for r in ("none", "mean", "sum")),
    *(Shaped(f"huber_{r}", lambda x, y, r=r: F.huber_loss(x, y, reduction=r, delta=0.7), ((5, 37), (5, 37))) for r in ("none", "mean", "sum")),
    *(Shaped(f"bce_{r}", lambda x, y, r=r: F.binary_cross_entropy(x, y, reduction=r), ((5, 37), torch.rand(5, 37)), low=0.01, high=0.99, dtypes=SINGLE) for r in ("none", "mean", "sum")),
    Shaped("bce_weight", lambda x, y, w: F.binary_cross_entropy(x, y, w), ((5, 37), torch.rand(5, 37), torch.rand(37)), low=0.01, high=0.99, dtypes=SINGLE),
    Shaped("bce_edges", lambda x: F.binary_cross_entropy(x.round(), x.detach()), low=0, high=1, dtypes=SINGLE),
    *(Shaped(f"bce_logits_{r}", lambda x, y, r=r: F.binary_cross_entropy_with_logits(x, y, reduction=r), ((5, 37), torch.rand(5, 37)), dtypes=SINGLE) for r in ("none", "mean", "sum")),
    Shaped("kl_div", lambda x, y: F.kl_div(torch.log_softmax(x, 1), torch.softmax(y, 1), reduction="batchmean"), ((5, 37), (5, 37)), dtypes=SINGLE),
    Shaped("soft_margin", lambda x, y: F.soft_margin_loss(x, y.sign()), ((5, 37), torch.randn(5, 37)), dtypes=SINGLE),
    *(Shaped(f"nll_{r}", lambda x, y, r=r: F.nll_loss(x, y, reduction=r), ((8, 5), index((8,), 5))) for r in ("none", "mean", "sum")),
    *(Shaped(f"nll_weight_{r}", lambda x, y, w, r=r: F.nll_loss(x, y, w, ignore_index=2, reduction=r), ((8, 5), index((8,), 5), torch.rand(5)), dtypes=SINGLE) for r in ("none", "mean", "sum")),
    *(Shaped(f"cross_entropy_{r}", lambda x, y, r=r: F.cross_entropy(x, y, ignore_index=1, reduction=r), ((8, 5), index((8,), 5))) for r in ("none", "mean", "sum")),
    Shaped("cross_entropy_smooth", lambda x, y: F.cross_entropy(x, y, label_smoothing=0.1), ((8, 5), index((8,), 5)), dtypes=SINGLE),
    Shaped("cross_entropy_probabilities", lambda x, y: F.cross_entropy(x, y.softmax(1)), ((8, 5), (8, 5)), dtypes=SINGLE),
    *(Shaped(f"cross_entropy_2d_{r}", lambda x, y, r=r: F.cross_entropy(x, y, ignore_index=1, reduction=r), ((3, 5, 4, 6), index((3, 4, 6), 5))) for r in ("none", "mean", "sum")),
    Shaped("cross_entropy_2d_weight", lambda x, y, w: F.cross_entropy(x, y, w), ((3, 5, 4, 6), index((3, 4, 6), 5), torch.rand(5)), dtypes=SINGLE),
    Shaped("cross_entropy_ignored", lambda x, y: F.cross_entropy(x, y, ignore_index=0), ((3, 5), torch.zeros(3, dtype=torch.int64)), dtypes=SINGLE),
    Shaped("cosine_similarity", lambda x, y: F.cosine_similarity(x, y), ((5, 37), (5, 37)), dtypes=SINGLE),
    *(Shaped(f"nll_1d_{r}", lambda x, y, r=r: F.nll_loss(x, y, reduction=r), ((5,), index((), 5))) for r in ("none", "mean", "sum")),
    Shaped("nll_1d_ignored", lambda x, y: F.nll_loss(x, y, ignore_index=2, reduction="sum"), ((5,), torch.tensor(2)), dtypes=SINGLE),
    Shaped("nll_empty", lambda x, y: (F.nll_loss(x, y), F.nll_loss(x, y, reduction="sum")), ((0, 5), index((0,), 5)), dtypes=SINGLE, grad=False),
    Shaped("cross_entropy_1d", lambda x, y: F.cross_entropy(x, y), ((5,), index((), 5)), dtypes=SINGLE),
    Shaped("cross_entropy_3d", lambda x, y: F.cross_entropy(x, y), ((2, 5, 7), index((2, 7), 5)), dtypes=SINGLE),
    # ATen's formula of the mean selects the weights of the targets that count: breaking
    Shaped("cross_entropy_smooth_weight", lambda x, y, w: F.cross_entropy(x, y, w, label_smoothing=0.1, ignore_index=3), ((8, 5), index((8,), 5), torch.rand(5)), dtypes=SINGLE, extern=True),
    *(Shaped(f"cross_entropy_smooth_{r}", lambda x, y, r=r: F.cross_entropy(x, y, label_smoothing=0.2, reduction=r), ((8, 5), index((8,), 5)), dtypes=SINGLE) for r in ("none", "sum")),
    *(Shaped(f"multi_margin_{p}_{r}", lambda x, y, p=p, r=r: F.multi_margin_loss(x, y, p, 0.8, reduction=r), ((8, 5), index((8,), 5)), dtypes=(torch.float32, torch.float64)) for p in (1, 2) for r in ("none", "mean", "sum")),
    Shaped("multi_margin_weight", lambda x, y, w: F.multi_margin_loss(x, y, weight=w), ((8, 5), index((8,), 5), torch.rand(5)), dtypes=SINGLE),
    Shaped("multi_margin_1d", lambda x, y: F.multi_margin_loss(x, y), ((5,), index((), 5)), dtypes=SINGLE),
    Shaped("multilabel_soft_margin", lambda x, y: F.multilabel_soft_margin_loss(x, y), ((5, 7), torch.randint(2, (5, 7)).float()), dtypes=SINGLE),
    Shaped("multilabel_margin", lambda x, y: F.multilabel_margin_loss(x, y), ((3, 4), torch.tensor([[3, 0, -1, 1], [1, -1, 0, 2], [0, 1, 2, 3]])), dtypes=SINGLE, extern=True),
    Shaped("margin_ranking", lambda x, y, t: F.margin_ranking_loss(x, y, t.sign(), 0.3), ((9,), (9,), torch.randn(9)), dtypes=SINGLE),
    Shaped("hinge_embedding", lambda x, t: F.hinge_embedding_loss(x, t.sign()), ((9,), torch.randn(9)), dtypes=SINGLE),
    Shaped("cosine_embedding", lambda x, y, t: F.cosine_embedding_loss(x, y, t.sign(), 0.2), ((9, 5), (9, 5), torch.randn(9)), dtypes=SINGLE),
    *(Shaped(f"poisson_nll_{full}", lambda x, t, full=full: F.poisson_nll_loss(x, t, full=full), ((5, 7), torch.rand(5, 7) * 4), dtypes=SINGLE) for full in (False, True)),
    Shaped("poisson_nll_plain", lambda x, t: F.poisson_nll_loss(x, t, log_input=False), ((5, 7), torch.rand(5, 7)), dtypes=SINGLE, low=0.1),
    Shaped("gaussian_nll", lambda x, v, t: F.gaussian_nll_loss(x, t, v.abs() + 0.1, full=True), ((5, 7), (5, 7), torch.rand(5, 7)), dtypes=SINGLE, extern=True),
    Shaped("kl_div_log", lambda x, y: F.kl_div(torch.log_softmax(x, 1), torch.log_softmax(y, 1), reduction="sum", log_target=True), ((5, 7), (5, 7)), dtypes=SINGLE),
    *(Shaped(f"kl_div_{r}", lambda x, t, r=r: F.kl_div(x, t, reduction=r), ((5, 7), torch.rand(5, 7)), dtypes=SINGLE) for r in ("none", "sum")),
    Shaped("bce_logits_weight", lambda x, y, w: F.binary_cross_entropy_with_logits(x, y, w, pos_weight=w), ((5, 7), torch.rand(5, 7), torch.rand(7)), dtypes=SINGLE),
    Shaped("mse_weight", lambda x, y, w: F.mse_loss(x, y, weight=w), ((5, 7), torch.rand(5, 7), torch.rand(5, 7)), dtypes=SINGLE),
    Shaped("mse_half", F.mse_loss, ((5, 37), (5, 37)), dtypes=(torch.float16, torch.float64)),
    Shaped("mse_empty", lambda x, y: (F.mse_loss(x, y), F.mse_loss(x, y, reduction="sum")), ((0, 3), (0, 3)), dtypes=SINGLE, grad=False),
    *(Shaped(f"pairwise_distance_{p}", lambda x, y, p=p: F.pairwise_distance(x, y, p), ((5, 7), (5, 7)), dtypes=SINGLE, scale=8) for p in (1, 2, 3)),
    Shaped("triplet_distance", lambda x, y, z: F.triplet_margin_with_distance_loss(x, y, z), ((5, 7), (5, 7), (5, 7)), dtypes=SINGLE),
    Shaped("ctc", lambda x: F.ctc_loss(x.log_softmax(2), torch.tensor([[1, 2, 3], [2, 2, 1]], device=x.device), (6, 6), (3, 3), reduction="sum"), ((6, 2, 4),), dtypes=SINGLE, extern=True),
    Shaped("triplet", lambda x, y, z: F.triplet_margin_loss(x, y, z), ((5, 37), (5, 37), (5, 37)), dtypes=SINGLE),
]  # fmt: skip


@shaped(LOSSES)
def test_loss(rows: list[Shaped], dtype: torch.dtype) -> None:
    run_shaped(rows, dtype)
