"""How much arithmetic a transformer takes."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Shape:
    """A transformer: layers, hidden size, inner size of its feed-forward layers."""

    layers: int
    hidden: int
    inner: int

    def operations(self, tokens: np.ndarray) -> float:
        """Floating-point operations over texts of so many tokens each: products with weights, and attention."""
        weights = self.layers * (4 * self.hidden**2 + 2 * self.hidden * self.inner)
        attention = self.layers * 4 * self.hidden
        return float(2 * weights * tokens.sum() + attention * (tokens.astype(float) ** 2).sum())
