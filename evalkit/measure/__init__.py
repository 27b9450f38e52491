"""What cells cost: latency of single queries, throughput, memory, bytes, tokens, prices."""

from evalkit.measure.cells import MeasuringInterrupted, measure
from evalkit.measure.timing import Limits

__all__ = ["Limits", "MeasuringInterrupted", "measure"]
