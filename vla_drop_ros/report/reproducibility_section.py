# SPDX-License-Identifier: Apache-2.0
"""What somebody else needs: methods to paste, robot and computer, hashes and versions."""

from vla_drop_ros import __version__
from vla_drop_ros.report.document import Block, Cell, Code, Heading, Section, Table, Words
from vla_drop_ros.report.methods import bibliography, paragraph
from vla_drop_ros.report.results import Results
from vla_drop_ros.report.rig import host_facts, NOT_STATED, rig_facts
from vla_drop_ros.report.sentences import count


def methods_section(results: Results) -> Section:
    """Return a paragraph for a paper, with its sources."""
    text = paragraph(results)
    return Section('methods', 'Methods, ready to paste', (Words(text), Code(bibliography(text))),
                   folded=True)


def reproducibility_section(results: Results) -> Section:
    """Return hashes, versions, the rig and the computer."""
    record = results.record
    design = record.study.design
    rows: list[tuple[Cell, ...]] = [
        ('design', design.digest), ('commitment to the schedule', record.study.commitment)]
    if record.schedule is not None:
        rows.append(('commitment checked', 'sha256 of the secret is the commitment; every token '
                     'of the log is that of its place'))
        rows.append(('secret', _secret(results)))
        rows.append(('opening', record.opening))
        rows += [(f'arm {arm.name}', f'{arm.hash} ({arm.checkpoint})') for arm in design.arms]
    rows += [(f'log of {log.opened.get("robot", "")}',
              f'{log.uuid}: {count(len(log.events), "event")}, chain intact, last line '
              f'{log.events[-1].previous[:16]} ... of {log.source.name}')
             for log in record.logs.values()]
    when = f', {record.study.locked}' if record.study.locked else ''
    rows += [('locked with', f'vla_drop_ros {record.study.tool_version}{when}'),
             ('reported with', f'vla_drop_ros {__version__}'),
             ('seed of the design', str(design.seed))]
    blocks: list[Block] = [
        Table(('', ''), tuple(rows), 'Log chain: every line holds the sha256 of the one before.'),
        Code(f'vla_drop trials report {record.folder.name}'),
        Heading('Robot and place'), Table(('', ''), rig_facts(results.protocol.sessions)),
        Heading('Computer'), Table(('', ''), host_facts(results.protocol.sessions),
                                   f'"{NOT_STATED}": nobody wrote it down, and no program could '
                                   'read it.')]
    return Section('reproducibility', 'Hashes, versions, robot and computer', tuple(blocks),
                   folded=True)


def _secret(results: Results) -> str:
    secret = results.record.folder / 'secret'
    return secret.read_text().strip() if results.ended else (
        'kept until the study ends, as it tells the rest of the schedule')
