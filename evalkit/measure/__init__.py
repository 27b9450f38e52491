"""What cells cost: latency of single queries, throughput, memory, bytes, tokens, prices."""

from evalkit.measure._cells import MeasuringInterrupted, measure, prepare
from evalkit.measure._rounds import Limits

__all__ = ["Limits", "MeasuringInterrupted", "measure", "prepare"]
