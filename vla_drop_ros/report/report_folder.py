# SPDX-License-Identifier: Apache-2.0
"""Writes the report of a study into its folder: page, Markdown, figures, JSON and CSV."""

from datetime import datetime, timezone
import os
from pathlib import Path

from vla_drop_ros import __version__
from vla_drop_ros.errors import TrialError
from vla_drop_ros.report.html_page import as_html
from vla_drop_ros.report.markdown import as_markdown, FIGURES
from vla_drop_ros.report.results import Results
from vla_drop_ros.report.sections import document
from vla_drop_ros.report.tables import as_json, blinded_csv
from vla_drop_ros.report.trial_table import as_csv, dictionary

FOLDER, PAGE, TRIALS = 'report', 'report.html', 'trials.csv'


def write_report(results: Results, folder: Path | None = None) -> Path:
    """Write everything and return the page.

    Args:
        results: of the study.
        folder: that is made; None: ``report`` in the folder of the study. Files of an earlier
            report are replaced, so that an open one leaves nothing behind a blinded one.

    Raises:
        TrialError: it cannot be written.

    """
    target = folder or results.record.folder / FOLDER
    made = datetime.now(timezone.utc).strftime('%Y-%m-%d %H:%M')
    home = os.path.relpath(results.record.folder.resolve(), target.resolve())
    page = document(results, f'Made by vla_drop_ros {__version__}, {made} UTC.',
                    Path(home).as_posix())
    texts = {PAGE: as_html(page), 'report.md': as_markdown(page), 'results.json': as_json(results),
             TRIALS: blinded_csv(results) if results.blinded else
             as_csv(results.record, results.rows), 'trials.dictionary.csv': dictionary()}
    texts |= {f'{FIGURES}/{one.name}.svg': one.svg for one in page.pictures}
    files = {name: text.encode(errors='backslashreplace')  # half a surrogate in a note
             for name, text in texts.items()}
    files |= {f'{FIGURES}/{one.name}.jpg': one.jpeg for one in page.photographs}
    try:
        (target / FIGURES).mkdir(parents=True, exist_ok=True)
        for ending in ('*.svg', '*.jpg'):
            for old in (target / FIGURES).glob(ending):
                old.unlink()
        for name, content in files.items():
            partial = target / f'{name}.partial'
            partial.write_bytes(content)
            os.replace(partial, target / name)
    except OSError as error:
        raise TrialError(f'cannot write the report into {target}: {error.strerror}; choose '
                         'another folder with --output') from error
    return target / PAGE
