"""From what a grid gives to the results of a run: records, evidence and provenance. Results know none of it."""
