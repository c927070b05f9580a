"""Writes questions as Parquet in the types of the hub's datasets: numbers of 64 bits, lists, and lists in records.

    venv/bin/python tasks/testdata/make_parquet.py
"""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

HERE = Path(__file__).parent
TEXTS = pa.list_(pa.string())
TYPES = {
    "boolq": [("question", pa.string()), ("passage", pa.string()), ("idx", pa.int32()), ("label", pa.int64())],
    "arc_easy": [
        ("id", pa.string()),
        ("question", pa.string()),
        ("choices", pa.struct([("text", TEXTS), ("label", TEXTS)])),
        ("answerKey", pa.string()),
    ],
}

for name, fields in TYPES.items():
    rows = [json.loads(line) for line in (HERE / f"{name}.jsonl").read_text("utf-8").splitlines()]
    # Several row groups, as large files have.
    pq.write_table(pa.Table.from_pylist(rows, pa.schema(fields)), HERE / f"{name}.parquet", row_group_size=6)
