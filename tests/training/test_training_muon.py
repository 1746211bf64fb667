# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
import pytest

torch = pytest.importorskip("torch")

from geoloc_ros.training.muon import Muon, orthogonal  # noqa: E402


@pytest.mark.parametrize("shape", [(3, 40, 24), (2, 24, 40)])
def test_every_direction_comes_out_about_as_long(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    matrices = torch.randn(shape)
    found = orthogonal(matrices)
    lengths = torch.linalg.svdvals(found)
    assert 0.6 < lengths.min() < lengths.max() < 1.3
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    assert (found * (left @ right)).sum(dim=(1, 2)).min() > 0.95 * 24 * lengths.mean()


def test_a_badly_scaled_problem_is_solved() -> None:
    torch.manual_seed(0)
    weight = torch.nn.Parameter(torch.zeros(16, 8))
    wanted = torch.randn(16, 8)
    x = torch.randn(64, 8) * torch.logspace(0, -2, 8)
    optimizer = Muon([weight], lr=0.05, weight_decay=0.0)
    losses = []
    for _ in range(120):
        loss = (x @ (weight - wanted).T).square().mean()
        weight.grad = torch.autograd.grad(loss, weight)[0]
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.03 * losses[0]


def test_matrices_done_together_are_done_as_alone() -> None:
    torch.manual_seed(0)
    start, slope = torch.randn(3, 6, 4), torch.randn(3, 6, 4)
    together = [torch.nn.Parameter(w.clone()) for w in start]
    alone = [torch.nn.Parameter(w.clone()) for w in start]
    optimizers = [Muon(together, 0.1, 0.01), *(Muon([w], 0.1, 0.01) for w in alone)]
    for weights in (together, alone):
        for weight, gradient in zip(weights, slope, strict=True):
            weight.grad = gradient.clone()
    for optimizer in optimizers:
        optimizer.step()
    for a, b in zip(together, alone, strict=True):
        assert torch.allclose(a, b, atol=1e-6)
        assert not torch.allclose(a, start[0])
