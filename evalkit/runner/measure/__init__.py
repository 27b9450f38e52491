"""What cells cost: latency of single queries, throughput, memory, bytes, tokens, prices."""

from evalkit.runner.measure._cells import MeasuringInterrupted, measure, prepare
from evalkit.runner.measure._expected import expected, within
from evalkit.runner.measure._rounds import Limits

__all__ = ["Limits", "MeasuringInterrupted", "expected", "measure", "prepare", "within"]
