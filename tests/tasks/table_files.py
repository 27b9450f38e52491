"""Tables in every format and compression, written by pandas, csv, json and pyarrow; for tests of readers."""

import bz2
import csv
import gzip
import io
import json
import lzma

import pandas as pd
import pyarrow as pa


def by_csv(frame: pd.DataFrame, **how: object) -> bytes:
    return frame.to_csv(index=False, **how).encode()


def by_parquet(frame: pd.DataFrame) -> bytes:
    file = io.BytesIO()
    frame.to_parquet(file)
    return file.getvalue()


def by_writer(frame: pd.DataFrame, **how: object) -> bytes:
    """Python's own writer, with CRLF as spreadsheets have it."""
    file = io.StringIO(newline="")
    writer = csv.writer(file, **how)
    writer.writerow(frame.columns)
    writer.writerows(frame.itertuples(index=False))
    return file.getvalue().encode()


def by_json(frame: pd.DataFrame, **how: object) -> bytes:
    return frame.to_json(**how).encode()


def zstd(content: bytes) -> bytes:
    packed: bytes = pa.Codec("zstd").compress(content, asbytes=True)
    return packed


FORMATS = {
    "csv": (".csv", by_csv),
    "csv of a spreadsheet": (".csv", lambda frame: by_writer(frame, delimiter=";")),
    "csv, all quoted": (".csv", lambda frame: by_csv(frame, quoting=csv.QUOTE_ALL)),
    "csv with bars": (".csv", lambda frame: by_csv(frame, sep="|")),
    "tsv": (".tsv", lambda frame: by_csv(frame, sep="\t")),
    "tsv called csv": (".csv", lambda frame: by_csv(frame, sep="\t")),
    "csv called txt": (".txt", by_csv),
    "jsonl": (".jsonl", lambda frame: by_json(frame, orient="records", lines=True)),
    "jsonl called json": (".json", lambda frame: by_json(frame, orient="records", lines=True)),
    "json of rows": (".json", lambda frame: by_json(frame, orient="records", indent=1)),
    "json of columns": (".json", by_json),
    "json of lists": (".json", lambda frame: json.dumps(frame.to_dict("list")).encode()),
    "parquet": (".parquet", by_parquet),
}
COMPRESSIONS = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstd}
