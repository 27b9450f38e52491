"""The report as one HTML file: data prepared here, drawn by the page's own script."""

from evalkit.reporting.html.page import require_report, write_report

__all__ = ["require_report", "write_report"]
