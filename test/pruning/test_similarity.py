# SPDX-License-Identifier: Apache-2.0
"""CKA from sums equals CKA from matrices, and says nothing where there is nothing."""

import numpy as np
import pytest
import torch

from vla_drop_ros.pruning.similarity import Alignment, PairSums, published


def dense_hsic(x: torch.Tensor, y: torch.Tensor) -> float:
    """Return HSIC_1 the long way, from two n x n matrices (Song et al. 2012, equation 5)."""
    n = len(x)
    k, l = (z.double() @ z.double().T for z in (x, y))  # noqa: E741 - K and L of the paper
    k.fill_diagonal_(0)
    l.fill_diagonal_(0)
    one = torch.ones(n, dtype=torch.double)
    value = (torch.trace(k @ l) + (one @ k @ one) * (one @ l @ one) / ((n - 1) * (n - 2))
             - 2 / (n - 2) * (one @ k @ l @ one))
    return float(value / (n * (n - 3)))


def dense_cka(x: torch.Tensor, y: torch.Tensor) -> float:
    """Return debiased CKA from matrices."""
    return dense_hsic(x, y) / (dense_hsic(x, x) * dense_hsic(y, y)) ** 0.5


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    """Return two related feature matrices with a mean far from zero."""
    torch.manual_seed(0)
    x = torch.randn(300, 24) + 3.0
    return x, x @ torch.randn(24, 17) + 0.5 * torch.randn(300, 17)


def test_streamed_equals_dense(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    """Whatever the batches, sums give what the matrices give, to 1e-6."""
    x, y = pair
    for cuts in ((300,), (100, 100, 100), (7, 93, 200)):
        streamed = Alignment()
        for one, other in zip(x.split(cuts), y.split(cuts), strict=True):
            streamed.add(one, other)
        assert abs(streamed.value() - dense_cka(x, y)) < 1e-6


def test_independent_features_are_not_alike() -> None:
    """Where the usual estimator says 0.9 the unbiased one says about nothing."""
    torch.manual_seed(1)
    found, biased = [], []
    for _ in range(20):
        alignment = Alignment()
        alignment.add(torch.randn(51, 1024), torch.randn(51, 1024))
        found.append(alignment.value())
        biased.append(alignment.value(biased=True))
    assert abs(np.mean(found)) < 0.05
    assert min(biased) > 0.9
    assert published(torch.randn(51, 1024), torch.randn(51, 1024)) > 0.9


def test_identical_and_rotated_features_are_one(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    """Rotation, scale and shift do not matter."""
    x, _ = pair
    rotation, _ = torch.linalg.qr(torch.randn(24, 24))
    alignment = Alignment()
    alignment.add(x, 3.0 * x @ rotation - 5.0)
    assert alignment.value() == pytest.approx(1.0, abs=1e-6)
    assert alignment.value(biased=True) == pytest.approx(1.0, abs=1e-6)


def test_biased_estimator_is_the_published_one(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    """On one sample the sums give what the notebook's formula gives."""
    x, y = pair
    alignment = Alignment()
    alignment.add(x, y)
    assert alignment.value(biased=True) == pytest.approx(published(x, y), abs=1e-9)


def test_a_constant_has_no_similarity() -> None:
    """Features that do not vary give NaN, not a division by zero."""
    alignment = Alignment()
    alignment.add(torch.ones(10, 3), torch.randn(10, 3))
    assert np.isnan(alignment.value())


def test_too_few_rows_are_refused() -> None:
    """The unbiased estimator needs four rows."""
    sums = PairSums()
    sums.add(torch.randn(3, 2), torch.randn(3, 2))
    with pytest.raises(ValueError, match='at least 4'):
        sums.hsic()
