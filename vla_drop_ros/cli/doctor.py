# SPDX-License-Identifier: Apache-2.0
"""Check that this machine can run everything; say how to mend what cannot."""

import argparse
from collections.abc import Callable, Iterator
from functools import partial

from vla_drop_ros import preflight
from vla_drop_ros.graph_arguments import DEFAULT_CHECKPOINT
from vla_drop_ros.preflight import Check

EXAMPLES = """\
examples:
  vla_drop doctor                               exit status 1 if something is wrong
  vla_drop doctor --checkpoint ~/models/mine    look at another checkpoint
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what can be set."""
    parser.add_argument('--checkpoint', default=DEFAULT_CHECKPOINT,
                        help='folder, or name of one in models (default: %(default)s)')


def main(args: argparse.Namespace) -> int:
    """Print one line a check, and the remedy below each that fails."""
    failures = 0
    for result in examine(args.checkpoint):
        print(f'{"ok  " if result.ok else "FAIL"}  {result.name:<13}{result.found}')
        if not result.ok:
            failures += 1
            print(f'      fix:         {result.fix}')
    print(f'\n{failures} of the checks failed' if failures else '\neverything is in place')
    return 1 if failures else 0


def examine(checkpoint: str) -> Iterator[Check]:
    """Yield every check as it ends; those that cannot run without ROS are skipped without it."""
    ros = preflight.check_ros()
    checks: tuple[Callable[[], Check], ...] = (
        preflight.check_python, lambda: ros, preflight.check_renderer, preflight.check_torch,
        preflight.check_transformers, preflight.check_datasets,
        partial(preflight.check_checkpoint, checkpoint))
    for check in checks:
        yield check()
    if ros.ok:
        yield preflight.check_transport()
        yield preflight.check_domain()
