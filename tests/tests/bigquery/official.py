"""Reads a dataset with Google's own client: each table's rows as JSON, one object for each table.

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
for name in tables:
    # Once as a listing of the table, once as the result of a query: both must say the same.
    reference = f"{project}.{dataset}.{name}"
    listed = [dict(row) for row in client.list_rows(reference)]
    queried = [dict(row) for row in client.query(f"SELECT * FROM `{reference}`").result()]
    kept = [{key: value for key, value in row.items() if value is not None} for row in listed]
    table = client.get_table(reference)
    partition = table.time_partitioning and f"{table.time_partitioning.type_} {table.time_partitioning.field}"
    print(
        json.dumps(
            {
                "table": name,
                "rows": kept,
                "same": sorted(map(repr, listed)) == sorted(map(repr, queried)),
                "partition": partition,
                "clustering": table.clustering_fields,
            },
            default=lambda value: value.isoformat() if hasattr(value, "isoformat") else str(value),
        )
    )
