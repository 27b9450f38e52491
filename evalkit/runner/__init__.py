"""Runs: what they are told, their grid of models and tasks, the plan of one, and the results made of it."""
