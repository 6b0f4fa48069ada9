"""Reads a dataset with Google's own client: each table's rows as JSON, one object for each table.

It also loads each table's rows into a copy, by its own upload and load job, to see that the emulator takes what
Google's client sends.

Usage: official.py ENDPOINT PROJECT DATASET TABLE…
"""

import json
import sys

from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

endpoint, project, dataset, *tables = sys.argv[1:]
client = bigquery.Client(
    project=project, credentials=AnonymousCredentials(), client_options=ClientOptions(api_endpoint=endpoint)
)


def plain(value):
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


for name in tables:
    # Once as a listing of the table, once as the result of a query: both must say the same.
    reference = f"{project}.{dataset}.{name}"
    listed = [dict(row) for row in client.list_rows(reference)]
    queried = [dict(row) for row in client.query(f"SELECT * FROM `{reference}`").result()]
    kept = [{key: value for key, value in row.items() if value is not None} for row in listed]
    table = client.get_table(reference)
    copy = f"{reference}_copy"
    rows = json.loads(json.dumps(kept, default=plain))
    client.load_table_from_json(rows, copy, job_config=bigquery.LoadJobConfig(schema=table.schema)).result()
    copied = [dict(row) for row in client.list_rows(copy)]
    partition = table.time_partitioning and f"{table.time_partitioning.type_} {table.time_partitioning.field}"
    print(
        json.dumps(
            {
                "table": name,
                "rows": kept,
                "same": sorted(map(repr, listed)) == sorted(map(repr, queried)),
                "copied": sorted(map(repr, listed)) == sorted(map(repr, copied)),
                "partition": partition,
                "clustering": table.clustering_fields,
            },
            default=plain,
        )
    )
