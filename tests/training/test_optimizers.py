"""Optimisers: Muon against PyTorch's own, and who moves which weight."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from musicgen.models import ModelSettings, build_model
from musicgen.training.optimizers import Muon, make_optimizers, orthogonal


@pytest.mark.parametrize("shape", [(24, 24), (96, 24), (24, 96), (3, 40)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_orthogonal_keeps_the_singular_vectors_and_brings_the_values_near_one(shape, dtype):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    result = orthogonal(matrix, dtype).float()
    values = torch.linalg.svdvals(result)
    assert result.shape == matrix.shape
    assert values.min() > 0.6
    assert values.max() < 1.25
    u, _, vt = torch.linalg.svd(matrix, full_matrices=False)
    inner = u.t() @ result @ vt.t()
    assert (inner - inner.diag().diag()).abs().max() < 0.05


def test_muon_moves_as_pytorchs_own():
    own = nn.Parameter(torch.randn(12, 20, generator=torch.Generator().manual_seed(2)))
    peer = nn.Parameter(own.detach().clone())
    ours = Muon([own], lr=0.02, momentum=0.9, weight_decay=0.1, dtype=torch.bfloat16)
    theirs = torch.optim.Muon([peer], lr=0.02, momentum=0.9, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for step in range(5):
        gradient = torch.randn(12, 20, generator=torch.Generator().manual_seed(10 + step))
        own.grad, peer.grad = gradient.clone(), gradient.clone()
        ours.step()
        theirs.step()
    assert (own - peer).abs().max() < 2e-3  # bfloat16's rounding; a step moves a weight by 0.018


def test_muon_refuses_what_is_no_matrix():
    with pytest.raises(ValueError, match="matrices"):
        Muon([nn.Parameter(torch.zeros(3))])


@pytest.mark.parametrize("family", ["lstm", "transformer"])
@pytest.mark.parametrize("fields", [(), ((1, 5), (6, 14))])
@pytest.mark.parametrize("embedding", ["learned", "one-hot"])
def test_every_weight_has_one_optimiser_and_rows_of_ids_are_adamws(family, fields, embedding):
    settings = ModelSettings(family, 20, width=8, layers=2, heads=2, fields=fields, embedding=embedding)
    model = build_model(settings, seed=0)
    muon, adamw = make_optimizers(model, "muon", weight_decay=0.1, half=False)
    moved = [id(p) for o in (muon, adamw) for group in o.param_groups for p in group["params"]]
    assert sorted(moved) == sorted(map(id, model.parameters()))
    names = {id(p): name for name, p in model.named_parameters()}
    matrices = {names[id(p)] for group in muon.param_groups for p in group["params"]}
    assert not any(part in name for name in matrices for part in ("embedding", "outputs", "norm"))
    assert any("blocks.0" in name or "recurrence" in name for name in matrices)
    decaying, plain = adamw.param_groups
    assert decaying["weight_decay"] == 0.1
    assert plain["weight_decay"] == 0.0
    assert all(p.ndim < 2 or "embedding" in names[id(p)] for p in plain["params"])


def test_adamw_alone_moves_everything():
    model = build_model(ModelSettings("transformer", 20, width=8, layers=2, heads=2), seed=0)
    (adamw,) = make_optimizers(model, "adamw", weight_decay=0.1, half=False)
    assert sum(len(group["params"]) for group in adamw.param_groups) == len(list(model.parameters()))
