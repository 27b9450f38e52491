"""Exact top-k search over vectors, and the one rule for ties."""
