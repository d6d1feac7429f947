# SPDX-License-Identifier: Apache-2.0
"""What a recorder says of a trial's bag is believed when the file says the same, and once.

Anybody on the ROS graph can publish on the recorder's topic. So an entry enters the log only if
the bag lies in the study, is named after the trial and has the hash that the entry gives; what is
logged is not replaced. A second bag of the same trial, of a recorder that was started anew, stands
beside the first.
"""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
import json
from pathlib import Path
import re
from typing import Any

import yaml

from vla_drop_ros.errors import TrialError
from vla_drop_ros.trials.attempts import Attempt

BLOCK = 2**20  # [bytes] that are hashed at once
LONGEST = 100_000  # [characters] of an entry
UNREPORTED = 'the recorder ended before it said what it missed'
FURTHER = 10  # bags of one trial beside the first
ENTRY = {'code': str, 'uri': str, 'sha256': str, 'messages': int, 'lost': int, 'topics': dict,
         'problem': str}


def read_entry(text: str) -> dict[str, Any]:
    """Return an entry in JSON.

    Raises:
        TrialError: it is none.

    """
    try:
        entry = json.loads(text[:LONGEST], parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise TrialError(f'{text[:60]!r} is no report of a bag: {error}') from error
    if not isinstance(entry, dict) or set(entry) != set(ENTRY) or not all(
            type(entry[key]) is kind for key, kind in ENTRY.items()):
        raise TrialError(f'{text[:60]!r} is no report of a bag: it has {sorted(ENTRY)}')
    if not re.fullmatch(r'[0-9]{1,9}', entry['code']):
        raise TrialError(f'{text[:60]!r} is no report of a bag: its code is none of a trial')
    return entry


def _refuse(constant: str) -> None:
    raise ValueError(f'{constant} is no JSON')  # json reads what the log cannot write


def check_file(entry: Mapping[str, Any], study: Path) -> None:
    """Compare an entry with the file that it names; reads the whole file.

    Raises:
        TrialError: the bag is not of this study and trial, is missing, or is another one.

    """
    code, uri = entry['code'], entry['uri']
    if not uri and not entry['sha256'] and entry['problem']:
        return  # nothing was recorded, and it says why
    if not re.fullmatch(rf'bags/{re.escape(code)}(-\d{{1,4}})?', uri):
        raise TrialError(f'{uri[:60]!r} is no bag of trial {code[:20]!r}')
    path = study / uri / f'{Path(uri).name}.mcap'
    if not entry['sha256'] and entry['problem'] and path.parent.is_dir():
        return  # what is left could not even be read
    if _digest(path, study) != entry['sha256']:
        raise TrialError(f'{uri!r} has another hash than its report says')


def unreported(attempts: Sequence[Attempt], study: Path) -> Iterator[dict[str, Any]]:
    """Yield entries of whole bags of trials that are not in the log; reads the whole files.

    A trial node that was killed has not heard what the recorder said after it, and a bag that was
    cut off may have been mended since. What the recorder missed is not known then, and the entries
    say so.
    """
    for one in attempts:
        if one.started != one.started:
            continue
        logged = {bag.get('uri') for bag in (one.values.get('bag'),
                                             *one.values.get('further_bags', ()))
                  if isinstance(bag, Mapping)}
        name = re.compile(rf'{re.escape(one.code)}(-\d{{1,4}})?')
        for folder in sorted((study / 'bags').glob(f'{one.code}*')):
            if name.fullmatch(folder.name) and f'bags/{folder.name}' not in logged:
                try:
                    counts = _counts(folder, study)  # first: what is cut off is not hashed
                    yield {'code': one.code, 'uri': f'bags/{folder.name}',
                           'sha256': _digest(folder / f'{folder.name}.mcap', study),
                           **counts, 'problem': UNREPORTED}
                except (TrialError, OSError, yaml.YAMLError, LookupError, TypeError, ValueError,
                        OverflowError, RecursionError):
                    continue  # cut off: `vla_drop trials mend` ends it


def _counts(bag: Path, study: Path) -> dict[str, Any]:
    """Return how many messages the metadata of a bag count, in all and by topic."""
    path = bag / 'metadata.yaml'
    if not path.is_file() or not path.resolve().is_relative_to(study.resolve()):
        raise TrialError(f'{bag.name!r} has no metadata')
    data = yaml.safe_load(path.read_text(encoding='utf-8'))
    told = data['rosbag2_bagfile_information']
    return {'messages': int(told['message_count']), 'topics': {
        str(one['topic_metadata']['name']): {'messages': int(one['message_count'])}
        for one in told['topics_with_message_count']}}


def _digest(path: Path, study: Path) -> str:
    digest, name = sha256(), str(path.parent.relative_to(study))
    try:
        if not path.resolve().is_relative_to(study.resolve()):
            raise TrialError(f'{name!r} leads out of the study')
        with path.open('rb') as file:
            while block := file.read(BLOCK):
                digest.update(block)
    except OSError as error:
        raise TrialError(f'{name!r} cannot be read: {error.strerror}') from error
    return digest.hexdigest()


def placed(entry: Mapping[str, Any], attempts: Sequence[Attempt]) -> dict[str, Any]:
    """Return the values that a checked entry adds to its trial; empty where it says nothing new.

    Raises:
        TrialError: no such trial was run, or it has that bag with another content.

    """
    attempt = next((one for one in attempts if one.code == entry['code']
                    and one.started == one.started), None)
    if attempt is None:
        raise TrialError(f'trial {entry["code"][:20]!r} was not run')
    said = {key: value for key, value in entry.items() if key != 'code'}
    first = attempt.values.get('bag')
    if not isinstance(first, Mapping) or (said['uri'] and not first.get('uri')):
        return {'bag': said}
    if not said['uri']:
        if first.get('uri'):
            raise TrialError(f'trial {attempt.code} has a bag, {first.get("uri")!r}')
        return {}
    further = list(attempt.values.get('further_bags', []))
    for one in (first, *further):
        if one.get('uri') == said['uri']:
            if one.get('sha256') != said['sha256']:
                raise TrialError(f'{said["uri"]!r} was logged with another hash')
            return {}
    return {'further_bags': [*further, said]} if len(further) < FURTHER else {}
