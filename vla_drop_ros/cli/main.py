# SPDX-License-Identifier: Apache-2.0
"""Find the verb, import its module and nothing else, and turn errors into one clear line.

A verb module has a docstring (its help text), ``add_arguments(parser)`` and ``main(args) -> int``
(the exit status); an optional ``EXAMPLES`` string ends its help.
"""

import argparse
from collections.abc import Sequence
import importlib
import importlib.util
import sys
from types import ModuleType

from vla_drop_ros import __doc__ as SUMMARY
from vla_drop_ros import __version__
from vla_drop_ros.errors import unknown, VlaDropError

VERBS = {
    'demo': 'watch the shipped policy work, and compare it with a smaller one',
    'up': 'start a robot graph: cameras, policy, command gate',
    'top': 'watch policies and command gates: state, latency, streams, warnings',
    'doctor': 'check that this machine can run everything; say how to mend what cannot',
    'contract': 'write, check and explain a robot contract; also against the graph that runs',
    'inspect': 'show what a checkpoint is: blocks, sizes, action language, history',
    'demonstrate': 'record demonstrations of the simulated expert as a LeRobot dataset',
    'convert': 'make a LeRobot dataset of bags recorded on a robot',
    'rank': 'score the blocks of a checkpoint by every criterion, on demonstrations',
    'plan': 'choose what to drop, by a ranking and a budget',
    'drop': 'write a checkpoint with fewer blocks',
    'recover': 'train a pruned checkpoint on demonstrations until it acts again',
    'trials': 'compare checkpoints by trials on the robot, and report',
    'evaluate': 'measure the success of checkpoints in the simulator, without ROS',
    'evidence': "try the papers' claims on the reference policy, and write the tables",
    'reference': 'train the shipped reference policy from nothing',
}

EXAMPLES = """\
examples:
  vla_drop doctor                    is everything installed?
  vla_drop demo                      the whole story, in a few minutes
  vla_drop up pick_place --instruction 'put the red cube in the left bin'
  vla_drop VERB --help               what a verb can do
"""

BAD_INPUT = 2
INTERRUPTED = 130


def available_verbs() -> dict[str, str]:
    """Return verb -> help for the verbs that this installation has."""
    return {verb: text for verb, text in VERBS.items()
            if importlib.util.find_spec(f'vla_drop_ros.cli.{verb}') is not None}


def build_parser(verb: str | None = None) -> argparse.ArgumentParser:
    """Return the parser; only the module of ``verb`` is imported, for its arguments."""
    parser = argparse.ArgumentParser(
        prog='vla_drop', description=SUMMARY, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--version', action='version', version=f'vla_drop {__version__}')
    verbs = parser.add_subparsers(dest='verb', metavar='VERB', title='verbs')
    for name, text in available_verbs().items():
        module = load_verb(name) if name == verb else None
        one = verbs.add_parser(
            name, help=text, description=module.__doc__ if module else text,
            epilog=getattr(module, 'EXAMPLES', None),
            formatter_class=argparse.RawDescriptionHelpFormatter)
        if module:
            module.add_arguments(one)
    return parser


def load_verb(verb: str) -> ModuleType:
    """Import the module of a verb."""
    return importlib.import_module(f'vla_drop_ros.cli.{verb}')


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the verb and return the exit status: 0 good, 2 bad input, else what the verb says."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    verb = next((word for word in words if not word.startswith('-')), None)
    try:
        if verb is not None and verb not in available_verbs():
            raise VlaDropError(unknown('verb', verb, available_verbs()))
        parser = build_parser(verb)
        args = parser.parse_args(words)
        if args.verb is None:
            parser.print_help()
            return BAD_INPUT
        return int(load_verb(args.verb).main(args))
    except VlaDropError as error:
        print(f'error: {error}', file=sys.stderr)
        return BAD_INPUT
    except BrokenPipeError:  # the reader, for instance `head`, has seen enough
        sys.stderr.close()
        return 0
    except OSError as error:  # a folder that cannot be written, a full disk
        if error.filename is None and error.errno is None:
            raise
        where = f' {str(error.filename)!r}' if error.filename is not None else ''
        print(f'error: {error.strerror or error}{where}; give a place that can be read and '
              'written, with room', file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        return INTERRUPTED
