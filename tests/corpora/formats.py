"""Rows in every format of a table, as people write them."""

import csv
import gzip
import io
import json
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq

Rows = list[dict]

FORMATS = ("a.csv", "a.tsv", "a.csv.gz", "a.jsonl", "a.ndjson", "a.json", "a.parquet", "a.arrow", "saved")


def write_rows(path: Path, rows: Rows) -> Path:
    """Writes rows in the format that the name says; as a folder of `save_to_disk` where it says none.

    Python's True is True in .csv and .tsv, as pandas writes it, and None an empty value.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    compress = gzip.compress if path.suffix == ".gz" else bytes
    match path.name.removesuffix(".gz").rpartition(".")[2]:
        case "csv" | "tsv" as name:
            file = io.StringIO()
            writer = csv.DictWriter(file, list(rows[0]), delimiter="," if name == "csv" else "\t")
            writer.writeheader()
            writer.writerows(rows)
            path.write_bytes(compress(file.getvalue().encode()))
        case "jsonl" | "ndjson":
            path.write_bytes(compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
        case "json":
            path.write_text(json.dumps(rows))
        case "parquet":
            pq.write_table(pa.Table.from_pylist(rows), path)
        case "arrow":
            table = pa.Table.from_pylist(rows)
            with pa.ipc.new_stream(str(path), table.schema) as file:
                file.write_table(table)
        case _:
            datasets.disable_progress_bars()
            datasets.Dataset.from_list(rows).save_to_disk(path)
    return path
