# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from geoloc_ros.errors import TrainingError  # noqa: E402
from geoloc_ros.training.losses import info_nce, masked_cross_entropy  # noqa: E402


def test_without_mask_it_is_torch_cross_entropy() -> None:
    logits = torch.randn(7, 7, generator=torch.Generator().manual_seed(0))
    ignore = torch.zeros(7, 7, dtype=torch.bool)
    expected = torch.nn.functional.cross_entropy(logits, torch.arange(7), label_smoothing=0.1)
    assert masked_cross_entropy(logits, ignore, 0.1) == pytest.approx(float(expected), abs=1e-6)


def test_textbook_formula_with_a_mask() -> None:
    logits = np.array([[2.0, 1.0, 0.5], [0.0, 1.0, 3.0]])
    ignore = np.array([[False, False, True], [False, False, False]])
    expected = []
    for row in range(2):
        kept = logits[row][~ignore[row]]
        log_prob = kept - np.log(np.exp(kept).sum())
        expected.append(-(0.9 * log_prob[row] + 0.1 * log_prob.mean()))
    found = masked_cross_entropy(torch.from_numpy(logits), torch.from_numpy(ignore), 0.1)
    assert float(found) == pytest.approx(np.mean(expected), abs=1e-9)


def test_masked_pairs_get_no_gradient() -> None:
    query = torch.nn.functional.normalize(torch.randn(4, 8), dim=1)
    reference = torch.nn.functional.normalize(torch.randn(6, 8), dim=1).requires_grad_()
    ignore = torch.zeros(4, 6, dtype=torch.bool)
    ignore[:, 5] = True
    info_nce(query, reference, torch.tensor(20.0), ignore).backward()
    assert float(reference.grad[5].abs().max()) == 0.0
    assert float(reference.grad[4].abs().max()) > 0.0


def test_perfect_pairs_cost_less_than_shuffled_ones() -> None:
    query = torch.nn.functional.normalize(torch.randn(16, 32), dim=1)
    ignore = torch.zeros(16, 16, dtype=torch.bool)
    scale = torch.tensor(14.0)
    assert info_nce(query, query, scale, ignore) < info_nce(query, query.flip(0), scale, ignore)


def test_a_masked_positive_is_refused() -> None:
    with pytest.raises(TrainingError, match="positive pair"):
        masked_cross_entropy(torch.zeros(3, 3), torch.eye(3, dtype=torch.bool), 0.0)


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(TrainingError, match="M >= N"):
        masked_cross_entropy(torch.zeros(3, 2), torch.zeros(3, 2, dtype=torch.bool), 0.0)
