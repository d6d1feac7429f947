# SPDX-License-Identifier: Apache-2.0
"""The picture, the ghost of the reference over it, and the score, in a real browser."""

from typing import Any

import pytest

from vla_drop_ros.console.match import match_of

sync_api = pytest.importorskip('playwright.sync_api', reason='playwright is not installed')
SCORE = """async () => {
  const {match, small} = await import('./match.js');
  const planes = async path => {
    const image = await createImageBitmap(await (await fetch(path)).blob());
    const pen = new OffscreenCanvas(image.width, image.height).getContext('2d');
    pen.drawImage(image, 0, 0);
    return small(pen.getImageData(0, 0, image.width, image.height));
  };
  return match(await planes('camera.jpg'), await planes('reference.jpg'));
}"""


@pytest.mark.parametrize('moved, noise', [((0, 0), 3.0), ((4, 2), 2.0), ((15, 0), 2.0),
                                          ((60, 40), 6.0), ((-200, 90), 2.0)])
def test_the_page_and_the_log_score_alike(moved: tuple[int, int], noise: float, studio: Any,
                                          desk: Any, page: Any) -> None:
    """What people see while they arrange is what is kept, within two points of a hundred."""
    desk.live = studio.jpeg(studio.picture((300 + moved[0], 220 + moved[1]), noise, seed=5))
    assert page.evaluate(SCORE) == pytest.approx(match_of(desk.live, desk.arranged), abs=0.02)


def test_other_sizes_score_alike(studio: Any, desk: Any, page: Any) -> None:
    """A camera of another size, no multiple of the small picture, is averaged alike."""
    desk.live = studio.jpeg(studio.picture((310, 220))[:433, :611])
    assert page.evaluate(SCORE) == pytest.approx(match_of(desk.live, desk.arranged), abs=0.03)


def test_the_frame_turns_green_when_the_scene_matches(studio: Any, desk: Any, page: Any) -> None:
    """A wrong scene shows a poor score; put right, the frame turns green; then START hides it."""
    desk.live = studio.jpeg(studio.picture((360, 260)))
    page.wait_for_selector('#view[data-match=poor]')
    score = int(page.inner_text('#match').split()[1])
    assert score < 60
    desk.live = studio.jpeg(studio.picture(seed=2))
    page.wait_for_selector('#view[data-match=good]')
    assert int(page.get_attribute('#match', 'aria-valuenow')) > 90
    page.click('#start')
    page.wait_for_selector('body[data-phase=running]')
    sync_api.expect(page.locator('#match')).to_be_hidden()
    sync_api.expect(page.locator('#ghost')).to_be_hidden()


def test_the_ghost_fades_blinks_and_shows_edges(page: Any) -> None:
    """Each way of showing the reference does what its name says, and is remembered."""
    ghost = page.locator('#ghost')
    sync_api.expect(ghost).to_have_css('opacity', '0.5')
    page.locator('#opacity').fill('80')
    sync_api.expect(ghost).to_have_css('opacity', '0.8')
    page.get_by_role('radio', name='Blink').click()
    sync_api.expect(ghost).to_have_css('animation-name', 'blink')
    page.get_by_role('radio', name='Edges').click()
    sync_api.expect(ghost).to_have_css('animation-name', 'none')
    clear = page.evaluate("""() => {
      const {data} = ghost.getContext('2d').getImageData(0, 0, ghost.width, ghost.height);
      return data.filter((_, place) => place % 4 === 3).filter(alpha => alpha === 0).length
        / (ghost.width * ghost.height);
    }""")
    assert 0.8 < clear < 0.999  # lines on nothing
    page.reload()
    sync_api.expect(page.get_by_role('radio', name='Edges')).to_have_attribute(
        'aria-checked', 'true')
    page.get_by_role('radio', name='Off').click()
    sync_api.expect(ghost).to_be_hidden()


def test_without_pictures_the_page_works(desk: Any, page: Any) -> None:
    """No camera is said; no reference means no ghost and no score; trials go on."""
    page.wait_for_selector('#view[data-match]')
    desk.live = None
    sync_api.expect(page.locator('#no-picture')).to_be_visible()
    desk.arranged = None
    sync_api.expect(page.locator('#ghost-tools')).to_be_hidden()
    sync_api.expect(page.locator('#match')).to_be_hidden()
    page.click('#start')
    page.wait_for_selector('#stop:enabled')
