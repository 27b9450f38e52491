"""What cells cost: latency of single queries, throughput, memory, bytes, tokens, prices."""

from evalkit.measure.cells import MeasuringInterrupted, measure

__all__ = ["MeasuringInterrupted", "measure"]
