# SPDX-License-Identifier: Apache-2.0
"""The report counts what was run, says no more than that, and its page stands alone."""

from html.parser import HTMLParser
from pathlib import Path
import re

import numpy as np
from PIL import Image, ImageSequence
import pytest

from vla_drop_ros.errors import TrialError
from vla_drop_ros.trials.episode import Arm, Episode, Latency, Outcome, schedule, Slot, Study
from vla_drop_ros.trials.film import Clip, compose, save_animation
from vla_drop_ros.trials.page import Extras, write_page
from vla_drop_ros.trials.plot import save_plot
from vla_drop_ros.trials.recording import FrameRecorder, load_recording, Recording
from vla_drop_ros.trials.report import as_text, sentence, summarize

STUDY = Study(arms=(Arm('baseline', '/a', 'a' * 64), Arm('pruned', '/b', 'b' * 64)), episodes=20,
              seed=100, task='', variant='nominal', timeout=12.0, tool_version='0.1.0')


def episode(slot: Slot, outcome: Outcome, attempt: int = 0) -> Episode:
    """Return an episode with this outcome."""
    return Episode(
        slot=slot, attempt=attempt, task='left_bin', instruction='put the <red> cube in the bin',
        variant='nominal', checkpoint='/a', checkpoint_hash='a' * 64, outcome=outcome,
        reason='robot_silent' if outcome == 'invalid' else '', detail='', started=1.0,
        duration=5.0, moved_object=None, latency=Latency.of([0.08, 0.1]))


def episodes(baseline_fails: int, pruned_fails: int) -> list[Episode]:
    """Return a complete study; the first so many scenes are not solved."""
    fails = {'baseline': baseline_fails, 'pruned': pruned_fails}
    return [episode(slot, 'timeout' if slot.pair < fails[slot.arm] else 'success')
            for slot in schedule(STUDY)]


def test_counts_and_pairs() -> None:
    """Counts an arm and cells of the paired table come from the same episodes."""
    summary = summarize(STUDY, episodes(2, 6))
    assert [(arm.successes, arm.trials) for arm in summary.arms] == [(18, 20), (14, 20)]
    pair = summary.pairs[0]
    assert (pair.both, pair.candidate_only, pair.baseline_only, pair.neither) == (14, 0, 4, 2)
    assert pair.difference.estimate == pytest.approx(-0.2)
    assert summary.complete
    assert summary.arms[0].latency == pytest.approx(0.09)


def test_invalid_attempts_do_not_count_but_are_shown() -> None:
    """An invalid attempt leaves the count alone and turns up in the worst case."""
    slot = next(slot for slot in schedule(STUDY) if slot.arm == 'pruned' and slot.pair == 5)
    run = [episode(slot, 'invalid'), *episodes(0, 0)]
    summary = summarize(STUDY, run)
    assert summary.arms[1].trials == 20
    assert summary.arms[1].invalid == {'robot_silent': 1}
    assert summary.pairs[0].difference.estimate == 0.0
    assert summary.pairs[0].worst_case.estimate == pytest.approx(-1 / 20)


def test_a_slot_counts_once() -> None:
    """A slot recorded twice, against the rules, counts with its first outcome."""
    run = episodes(0, 0)
    summary = summarize(STUDY, [*run, episode(run[0].slot, 'timeout', attempt=1)])
    assert [arm.successes for arm in summary.arms] == [20, 20]


def test_incomplete_study_says_so() -> None:
    """A look at the middle is called that, in text and page."""
    summary = summarize(STUDY, episodes(0, 0)[:7])
    assert not summary.complete
    assert 'Not all planned scenes' in as_text(summary)


@pytest.mark.parametrize(('fails', 'words'), [
    ((0, 0), 'no difference shown'), ((0, 12), 'pruned is worse'), ((12, 0), 'pruned is better')])
def test_sentence_claims_no_more_than_the_interval(fails: tuple[int, int], words: str) -> None:
    """Better and worse need an interval that excludes zero."""
    assert words in sentence(summarize(STUDY, episodes(*fails)).pairs[0])


def test_text_has_both_side_by_side() -> None:
    """Counts and intervals of both checkpoints stand in the text."""
    text = as_text(summarize(STUDY, episodes(2, 6)))
    assert '18/20 = 90.0 %' in text and '14/20 = 70.0 %' in text
    assert '69.9 .. 97.2 %' in text
    assert 'McNemar p = 0.125' in text


def test_nothing_run_yet_is_reported_without_error() -> None:
    """Zero episodes give dashes instead of a division by zero."""
    assert '0/0 = - %' in as_text(summarize(STUDY, []))


def recording(colour: int, count: int = 5) -> Recording:
    """Return a recording of one colour."""
    return Recording(np.full((count, 90, 120, 3), colour, dtype=np.uint8),
                     np.arange(count, dtype=np.float64) * 0.1)


class Sources(HTMLParser):
    """Collects where the page gets things from, and checks that tags close."""

    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [value or '' for key, value in attrs if key in ('src', 'href')]


def test_page_stands_alone(tmp_path: Path) -> None:
    """Every picture is inside the page, and text from outside is escaped."""
    run = episodes(1, 3)
    summary = summarize(STUDY, run)
    save_plot(tmp_path / 'plot.png', summary, run)
    clips = [Clip(recording(200), 'baseline', 'success', 0.3),
             Clip(recording(90, 3), 'pruned', 'timeout', 0.2)]
    save_animation(tmp_path / 'film.gif', compose(clips, 'put it there'))
    write_page(tmp_path / 'page.html', summary, run,
               Extras(title='A & B', plot=tmp_path / 'plot.png', commands=['make demo'],
                      films={tmp_path / 'film.gif': 'one episode'}))
    text = (tmp_path / 'page.html').read_text()
    found = Sources()
    found.feed(text)
    assert len(found.sources) == 2
    assert all(source.startswith('data:image/') for source in found.sources)
    assert 'A &amp; B' in text and '&lt;red&gt;' in text and '<red>' not in text
    assert not re.search(r'\$\w', text)
    assert all(str(slot.seed) in text for slot in schedule(STUDY))


def test_page_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A folder that is not there is said in the message."""
    with pytest.raises(TrialError, match='absent'):
        write_page(tmp_path / 'absent' / 'page.html', summarize(STUDY, []), [], Extras())


def test_film_shows_clips_side_by_side(tmp_path: Path) -> None:
    """The animation has a picture a period, both clips, and a still end."""
    clips = [Clip(recording(200), 'baseline', 'success', 0.3),
             Clip(recording(90, 3), 'pruned', 'timeout', 0.2)]
    pictures = compose(clips, 'put it there', hold=0.5)
    assert len(pictures) == 10
    assert pictures[0].width >= 240
    save_animation(tmp_path / 'film.gif', pictures)
    with Image.open(tmp_path / 'film.gif') as film:
        *_, shown_last = ImageSequence.Iterator(film)
        shown = np.asarray(shown_last.convert('RGB')).astype(int)
        assert abs(shown[shown.shape[0] // 2, 20, 0] - 200) < 8
        assert abs(shown[shown.shape[0] // 2, -20, 0] - 90) < 8


def test_recorder_keeps_what_is_due(tmp_path: Path) -> None:
    """Frames come back as they were added, at most one a period, only of named episodes."""
    recorder = FrameRecorder(tmp_path / 'frames', period=0.1)
    frame = np.zeros((4, 6, 3), dtype=np.uint8)
    recorder.begin('')
    recorder.add(0.0, frame)
    assert recorder.end() is None
    recorder.begin('one.npz')
    for index in range(20):
        recorder.add(index * 0.05, np.full_like(frame, index))
    path = recorder.end()
    assert path == tmp_path / 'frames' / 'one.npz'
    kept = load_recording(path)
    assert list(kept.frames[:, 0, 0, 0]) == list(range(0, 20, 2))
    assert kept.stamps[1] == pytest.approx(0.1)
    assert recorder.end() is None


def test_what_is_no_recording_is_named(tmp_path: Path) -> None:
    """An absent or foreign file raises with its name."""
    with pytest.raises(TrialError, match='absent.npz'):
        load_recording(tmp_path / 'absent.npz')
    (tmp_path / 'odd.npz').write_bytes(b'not a zip')
    with pytest.raises(TrialError, match='odd.npz'):
        load_recording(tmp_path / 'odd.npz')
