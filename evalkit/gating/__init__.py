"""The gate: whether a run is good enough beside a baseline that was frozen before."""
