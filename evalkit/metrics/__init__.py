"""Ranking and similarity metrics over arrays; knows no model."""
