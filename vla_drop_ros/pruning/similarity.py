# SPDX-License-Identifier: Apache-2.0
"""Linear centred kernel alignment from sums over rows: one pass, no n x n matrix, no bias.

CKA(X, Y) = HSIC(X, Y) / sqrt(HSIC(X, X) HSIC(Y, Y)) (arXiv 1905.00414). The usual estimator of
HSIC compares every row with itself, which makes independent features of many dimensions look
alike (0.95 at 51 rows of width 1024); HSIC_1 (Song et al., JMLR 13, 2012) leaves the diagonal
out and is unbiased.
"""

from typing import Any

import torch


class PairSums:
    """Sums over rows of two feature matrices X (n, p) and Y (n, q), added to batch by batch."""

    def __init__(self) -> None:
        """Begin with no row."""
        self.rows = 0
        self._sums: dict[str, torch.Tensor] = {}

    def add(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """Add rows: x (n, p), y (n, q); sums are kept in float64."""
        x, y = x.double(), y.double()
        xx, yy = (x * x).sum(1), (y * y).sum(1)
        new = {
            'cross': x.T @ y, 'x': x.sum(0), 'y': y.sum(0),
            'xx': xx.sum(), 'yy': yy.sum(), 'xxyy': (xx * yy).sum(),
            'x_yy': (x * yy[:, None]).sum(0), 'y_xx': (y * xx[:, None]).sum(0)}
        for name, value in new.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value
        self.rows += len(x)

    def hsic(self) -> float:
        """Return HSIC_1, unbiased; needs at least four rows."""
        n, sums = self.rows, self._sums
        if n < 4:
            raise ValueError(f'{n} rows: the unbiased estimator needs at least 4')
        trace = (sums['cross'] ** 2).sum() - sums['xxyy']
        ones_x = (sums['x'] ** 2).sum() - sums['xx']
        ones_y = (sums['y'] ** 2).sum() - sums['yy']
        both = (sums['x'] @ sums['cross'] @ sums['y'] - sums['x'] @ sums['x_yy']
                - sums['y'] @ sums['y_xx'] + sums['xxyy'])
        value = trace + ones_x * ones_y / ((n - 1) * (n - 2)) - 2.0 * both / (n - 2)
        return float(value / (n * (n - 3)))

    def hsic_biased(self) -> float:
        """Return the usual estimator, ||X_c^T Y_c||_F^2 / (n - 1)^2."""
        sums = self._sums
        centred = sums['cross'] - torch.outer(sums['x'], sums['y']) / self.rows
        return float((centred ** 2).sum() / (self.rows - 1) ** 2)


class Alignment:
    """CKA of two streams of rows, and what is needed to resample it by batch."""

    def __init__(self) -> None:
        """Begin with no row."""
        self._pairs = {'xy': PairSums(), 'xx': PairSums(), 'yy': PairSums()}
        self.batches: list[tuple[float, float, float]] = []

    def add(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """Add rows, and keep the unbiased HSIC terms of just these."""
        batch = {'xy': PairSums(), 'xx': PairSums(), 'yy': PairSums()}
        arguments: dict[str, Any] = {'xy': (x, y), 'xx': (x, x), 'yy': (y, y)}
        for name, pair in arguments.items():
            batch[name].add(*pair)
            self._pairs[name].add(*pair)
        if len(x) >= 4:
            self.batches.append((batch['xy'].hsic(), batch['xx'].hsic(), batch['yy'].hsic()))

    def value(self, *, biased: bool = False) -> float:
        """Return CKA over all rows; NaN where one of the two does not vary."""
        return ratio(*((pair.hsic_biased() if biased else pair.hsic())
                       for pair in self._pairs.values()))


def ratio(cross: float, first: float, second: float) -> float:
    """Return CKA from its three HSIC terms; NaN where one of the two does not vary."""
    scale = first * second
    return cross / scale ** 0.5 if first > 0 and second > 0 and scale > 0 else float('nan')


def published(x: torch.Tensor, y: torch.Tensor) -> float:
    """Return the estimator of the CLP paper's notebook for one sample: biased, over its tokens.

    Args:
        x: states of one sample before a block, shape (T, D), padding included.
        y: states behind it.

    """
    x, y = x.double() - x.double().mean(0), y.double() - y.double().mean(0)
    return ratio(float(((x.T @ y) ** 2).sum()), float(((x.T @ x) ** 2).sum()),
                 float(((y.T @ y) ** 2).sum()))
