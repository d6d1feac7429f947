# SPDX-License-Identifier: Apache-2.0
"""The files of numbers beside the page: results as JSON, and trials without their arms as CSV."""

import csv
from io import StringIO
import json
from math import isfinite

from vla_drop_ros.report.results import Results
from vla_drop_ros.report.trial_table import TRIAL

TELLING = ('pair', 'position', 'arm', 'guess')  # columns that are for the opened study only


def blinded_csv(results: Results) -> str:
    """Return one row a judged attempt, as ``trial_table`` does, without what tells the arm.

    Measurements are left out as well: a latency tells one checkpoint from another.
    """
    columns = [column for column in TRIAL if column.name not in TELLING]
    text = StringIO()
    writer = csv.writer(text, lineterminator='\n')
    writer.writerow(column.name for column in columns)
    for row in results.rows:
        values = [column.of(row) for column in columns]
        writer.writerow(['' if isinstance(value, float) and not isfinite(value) else value
                         for value in values])
    return text.getvalue()


def as_json(results: Results) -> str:
    """Return the results; nan and infinite are null."""
    return json.dumps(results.to_dict(), indent=1, allow_nan=False, ensure_ascii=False) + '\n'
