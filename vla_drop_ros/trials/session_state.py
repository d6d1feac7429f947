# SPDX-License-Identifier: Apache-2.0
"""What people are shown of a study that runs: all they need, and nothing about arms."""

from collections.abc import Sequence
import math
from statistics import median
from typing import Any

from vla_drop_ros.trials.attempts import Attempt
from vla_drop_ros.trials.conductor import Conductor
from vla_drop_ros.trials.course import Phase
from vla_drop_ros.trials.design import Design
from vla_drop_ros.trials.rest import seconds_worked, WORK
from vla_drop_ros.trials.study_session import StudySession
from vla_drop_ros.trials.vocabulary import notes_by_use, reasons_by_use


def state_of(session: StudySession, design: Design, now: float) -> dict[str, Any]:
    """Return the state as plain JSON types.

    Args:
        session: the session.
        design: of the study.
        now: node clock, [s].

    """
    conductor = session.conductor
    course, current = conductor.course, conductor.current
    counted = [one for one in course.attempts if one.counts]
    undoable, pairs = course.undoable, pairs_done(counted, len(design.arms))
    if undoable is not None and undoable.code == course.opened:
        undoable = None  # whoever has seen the arms does not judge it again
    condition = conductor.condition
    running = course.phase is Phase.RUNNING
    return {
        'study': design.title, 'question': design.question, 'phase': course.phase.value,
        'code': current.code, 'pairs_done': pairs, 'pairs_planned': conductor.planned_pairs,
        'study_pairs_done': study_pairs(conductor, counted, design),
        'study_pairs_planned': design.stopping.horizon, 'trials_done': len(counted),
        'minutes_left': minutes_left(counted, design, conductor.planned_pairs),
        'may_stop': course.may_stop, 'may_finish': conductor.may_finish,
        'condition': {'id': condition.id, 'task': condition.task,
                      'instruction': str(session.scene.get('instruction')
                                         or condition.instruction),
                      'setup': condition.setup},
        'timeout': design.timeout,
        'elapsed': round(max(0.0, (now if running else current.ended) - current.started), 2)
        if current.started == current.started and (running or current.ended == current.ended)
        else 0.0,
        'rubric': [{'id': stage.id, 'text': stage.text} for stage in design.rubric],
        'failure_reasons': reasons_by_use(course.attempts, design.failure_reasons),
        'notes': notes_by_use(course.attempts),
        'incidents': incidents_of(current), 'rest': rest_of(course.attempts, now),
        'invalid_reasons': list(design.invalid_reasons),
        'undo': undoable.code if undoable else '',
        'last': {'code': undoable.code, 'verdict': undoable.verdict} if undoable else None,
        'suggestion': suggestion(current, design) if course.phase is Phase.JUDGE else None,
        'ready': {'policy': session.policy_ready, 'scene': session.scene_ready,
                  'robot': session.robot_ready},
        'waiting': session.waiting if course.phase is Phase.ARRANGE else '',
        'estop': session.estopped, 'gate': session.gate_state,
        'problem': session.problem or session.unrecorded,
        'rehearsal': session.rehearsing, 'detected': dict(current.detected),
        'leaving': session.leaving,
        'guesses_wanted': session.guesses_wanted, 'arranged': session.arranged,
        'finished': course.finished, 'stamp': round(now, 3)}


def incidents_of(attempt: Attempt) -> list[dict[str, Any]]:
    """Return kind and seconds after the start of what was noted; None: after the end."""
    return [{'kind': one.kind, 'seconds': round(one.seconds_after_start, 2)
             if math.isfinite(one.seconds_after_start) else None} for one in attempt.incidents]


def rest_of(attempts: Sequence[Attempt], now: float) -> dict[str, Any]:
    """Return for how long people have worked without a pause, and whether one is due."""
    worked = seconds_worked(attempts, now)
    return {'minutes_worked': int(worked / 60), 'due': worked >= WORK}


def pairs_done(counted: Sequence[Attempt], arms: int) -> int:
    """Return how many pairs all arms have run."""
    done: dict[int, set[int]] = {}
    for attempt in counted:
        done.setdefault(attempt.index // arms, set()).add(attempt.index)
    return sum(len(places) == arms for places in done.values())


def study_pairs(conductor: Conductor, counted: Sequence[Attempt], design: Design) -> int | None:
    """Return the pairs of all robots; None where another one has a share that nobody knows."""
    arms = len(design.arms)
    if conductor.elsewhere is not None:
        return pairs_done([*counted, *conductor.elsewhere], arms)
    return pairs_done(counted, arms) if conductor.runs_all else None


def minutes_left(counted: Sequence[Attempt], design: Design, pairs: int) -> float | None:
    """Return about how long this robot may go on, [min]; None without an end of its pairs."""
    if not pairs:
        return None
    left = max(0, pairs * len(design.arms) - len(counted))
    lengths = [one.duration for one in counted if math.isfinite(one.duration)
               and one.duration > 0.0]
    return round(left * ((median(lengths) if lengths else design.timeout) + design.rest) / 60, 1)


def suggestion(attempt: Attempt, design: Design) -> dict[str, str] | None:
    """Return the verdict that the end of a trial suggests; people confirm it or say another."""
    if attempt.end_reason == 'detector' or (attempt.detected and all(attempt.detected.values())):
        return {'verb': 'success', 'reason': '', 'why': 'the detector saw a success'}
    if attempt.end_reason in ('timeout', 'policy_fault'):
        return {'verb': 'failure', 'reason': '', 'why': {
            'timeout': 'time is up', 'policy_fault': 'the policy fell silent'}[
                attempt.end_reason]}
    wanted = {'safety_stop': ('emergency_stop', 'the robot was stopped'),
              'robot_fault': ('robot_fault', 'the robot or its gate fell silent'),
              'policy_lost': ('policy_lost', "the policy's process was lost, whichever arm ran"),
              'crash': ('', 'the trial node ended in the middle')}
    if attempt.end_reason not in wanted:
        return None
    reason, why = wanted[attempt.end_reason]
    if reason == 'policy_lost' and reason not in design.invalid_reasons:
        reason = 'robot_fault'
    return {'verb': 'invalid', 'reason': reason if reason in design.invalid_reasons else '',
            'why': why}
