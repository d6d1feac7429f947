# SPDX-License-Identifier: Apache-2.0
"""Write, check and explain a robot contract: the YAML that says what a robot is.

Exit status: 0 nothing stands in the way, 1 a fault was found, 2 bad input.
"""

import argparse
from collections.abc import Mapping, Sequence
import json
from pathlib import Path
import sys

from vla_drop_ros.bringup import find_checkpoint, find_contract
from vla_drop_ros.contract_file import examine, load_contract, read_file
from vla_drop_ros.contract_schema import markdown_table, schema_text
from vla_drop_ros.contracts.finding import faults, Finding
from vla_drop_ros.contracts.policy_fit import Demands, policy_findings
from vla_drop_ros.contracts.rules import advice
from vla_drop_ros.contracts.words import in_words
from vla_drop_ros.errors import ContractError
from vla_drop_ros.graph_check import check_graph, LISTENING_TIME
from vla_drop_ros.live.listener import Progress
from vla_drop_ros.manifest import load_manifest
from vla_drop_ros.robot_contract import RobotContract
from vla_drop_ros.rosetta_contract import convert_rosetta

EXAMPLES = """\
examples:
  vla_drop contract show simulated_arm                  in words, with units
  vla_drop contract check my_robot.yaml                 every fault of the file, with the fix
  vla_drop contract check my_robot.yaml --checkpoint reference
  vla_drop contract check my_robot.yaml --live          against the graph that runs now
  vla_drop contract convert rosetta.yaml -o my_robot.yaml
  vla_drop contract schema -o robot_contract.schema.json
"""

FAULT = 1
MARKS = {'ok': 'ok    ', 'remark': 'remark', 'fault': 'FAULT ', 'skipped': '-     '}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add one sub-command a thing to do."""
    parts = parser.add_subparsers(dest='part', required=True, metavar='WHAT', title='what')
    check = _part(parts, 'check', 'name every fault of a contract, with the fix')
    check.add_argument('file', help='YAML file, or name of one in config/robots')
    check.add_argument('--checkpoint', help='also check that this checkpoint fits the robot: '
                       'folder, or name of one in models')
    check.add_argument('--live', action='store_true', help='also check the graph that runs now; '
                       'listens only, commands nothing')
    check.add_argument('--seconds', type=_seconds, default=LISTENING_TIME, metavar='S',
                       help='how long --live listens, [s] (default: %(default)g)')
    check.add_argument('--namespace', default='', help='in which the nodes will run')
    check.add_argument('--json', action='store_true', help='print the findings for programs')
    show = _part(parts, 'show', 'explain a contract in words')
    show.add_argument('file', help='YAML file, or name of one in config/robots')
    schema = _part(parts, 'schema', 'print the JSON schema, by which editors complete and check')
    schema.add_argument('--markdown', action='store_true',
                        help='print the table of all keys for the reference page instead')
    schema.add_argument('-o', '--output', help='file to write (default: the screen)')
    convert = _part(parts, 'convert', 'begin a contract from one of rosetta, version 2')
    convert.add_argument('file', help='contract of rosetta')
    convert.add_argument('-o', '--output', help='file to write (default: the screen)')
    convert.add_argument('--force', action='store_true', help='overwrite the output')


def main(args: argparse.Namespace) -> int:
    """Do it; return 0, or 1 if a fault was found."""
    return int({'check': _check, 'show': _show, 'schema': _schema,
                'convert': _convert}[args.part](args))


def file_findings(path: Path) -> tuple[RobotContract | None, list[Finding]]:
    """Return the contract, None if it has faults, and what is to say about the file.

    Raises:
        ContractError: it cannot be read, or is no YAML.

    """
    contract, problems = examine(read_file(path))
    found = []
    for problem in problems:
        place = f'line {problem.line}: ' if problem.line else ''
        found.append(Finding('file', '.'.join(problem.path), 'fault', f'{place}{problem.said}'))
    if contract is not None:
        found += [Finding('file', '.'.join(key), 'remark', said) for key, said in advice(contract)]
        found.insert(0, Finding('file', str(path), 'ok', f'robot {contract.robot}: whole, and '
                                'nothing contradicts'))
    return contract, found


def checkpoint_demands(checkpoint: str) -> Demands:
    """Return what a checkpoint asks of a robot; no weights are read.

    Raises:
        CheckpointError: it is absent, or damaged.
        ContractError: it does not act.

    """
    folder = find_checkpoint(checkpoint)
    manifest = load_manifest(folder)
    if manifest.action_spec is None:
        raise ContractError(f'checkpoint {manifest.name} is a {manifest.role}: it does not act; '
                            'give one with an action language')
    try:
        statistics = json.loads((folder / 'normalization.json').read_text(encoding='utf-8'))
    except (OSError, ValueError):
        statistics = {}  # some families keep them elsewhere
    return Demands(manifest.action_spec, manifest.cameras, manifest.state_names,
                   statistics if isinstance(statistics, dict) else {})


def _check(args: argparse.Namespace) -> int:
    demands = checkpoint_demands(args.checkpoint) if args.checkpoint else None
    contract, found = file_findings(find_contract(args.file))
    if contract is not None and demands is not None:
        found += policy_findings(contract, demands)
    if contract is not None and args.live:
        found += check_graph(
            contract, args.seconds, args.namespace, demands.cameras if demands else None,
            demands.state_names if demands else (), _progress(args.seconds))
        _clear()
    elif args.live:
        found.append(Finding('graph', '--live', 'skipped', 'the file has to be whole first'))
    if args.json:
        print(json.dumps({'ok': not faults(found),
                          'findings': [one._asdict() for one in found]}, indent=2))
    else:
        _print(found)
    return FAULT if faults(found) else 0


def _show(args: argparse.Namespace) -> int:
    print(in_words(load_contract(find_contract(args.file))), end='')
    return 0


def _schema(args: argparse.Namespace) -> int:
    text = markdown_table() if args.markdown else schema_text()
    if args.output:
        Path(args.output).write_text(text, encoding='utf-8')
    else:
        print(text, end='')
    return 0


def _convert(args: argparse.Namespace) -> int:
    conversion = convert_rosetta(args.file)
    if args.output:
        path = Path(args.output)
        if path.exists() and not args.force:
            raise ContractError(f'{path} is there already; give another name, or --force')
        path.write_text(conversion.text, encoding='utf-8')
    else:
        print(conversion.text, end='')
    said = [*(f'taken    {line}' for line in conversion.taken),
            *(f'left out {line}' for line in conversion.left_out),
            f'missing  {len(conversion.missing)} keys are TODO: {", ".join(conversion.missing)}',
            f'next     fill them in, then: vla_drop contract check {args.output or "FILE"}']
    print('\n'.join(said), file=sys.stdout if args.output else sys.stderr)
    return 0


def _print(found: Sequence[Finding]) -> None:
    for group in dict.fromkeys(one.group for one in found):
        print(group)
        for one in found:
            if one.group == group:
                fix = f'; {one.fix}' if one.fix else ''
                print(f'  {MARKS[one.level]}  {one.name}: {one.said}{fix}')
    remarks = sum(one.level == 'remark' for one in found)
    print(f'\n{len(faults(found))} fault(s), {remarks} remark(s)')


def _progress(seconds: float) -> Progress:
    def show(elapsed: float, counts: Mapping[str, int]) -> None:
        heard = ', '.join(f'{name} {count}' for name, count in counts.items())
        print(f'\r\033[Klistening {elapsed:.0f} of {seconds:g} s: {heard}', end='',
              file=sys.stderr, flush=True)
    return show if sys.stderr.isatty() else _quiet(seconds)


def _quiet(seconds: float) -> Progress:
    print(f'listening {seconds:g} s', file=sys.stderr, flush=True)
    return lambda elapsed, counts: None


def _clear() -> None:
    if sys.stderr.isatty():
        print('\r\033[K', end='', file=sys.stderr, flush=True)


def _seconds(text: str) -> float:
    value = float(text)
    if not 0.5 <= value <= 600.0:
        raise argparse.ArgumentTypeError(f'{text} must be 0.5 to 600 s')
    return value


def _part(parts: 'argparse._SubParsersAction[argparse.ArgumentParser]', name: str,
          text: str) -> argparse.ArgumentParser:
    return parts.add_parser(name, help=text, description=text[0].upper() + text[1:] + '.')
