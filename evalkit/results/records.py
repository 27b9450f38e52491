"""The columns of per-item records: the source that every other number is derived from.

Records have one row per cell, item (a query, a pair, ...) and name of a value. The name is that of a metric whose
score is the mean of its values, fractions; or that of a similarity, which is held against the gold score of the item;
or, of a task with an evaluator of its own, which has one item, that of a metric whose score it is. A value is NaN
where it is undefined. The column is called `metric`.
"""

CELL_KEYS = ["task", "split", "model", "reranker"]
GOLD_COLUMNS = ["task", "split", "id", "value"]
"""Of the frame of gold scores, in the data's units: a row an item of each task that has them."""
