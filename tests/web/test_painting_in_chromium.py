"""Steer, Picture and icons in Chromium: brush, swipe, click cells, compare, stop, and a worker that is killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from autointerp.web.workers.worker import Worker
from tests.web.browsing import check_looks
from tests.web.sites import NAME, PLAYING, served, site_of

PROMPT = "large red striped circle center, sand background"
STEER = f"/steer?prompt={PROMPT}&seed=3&with={NAME}:3=30"
MINUTES = 180_000


@pytest.fixture(scope="module")
def here(labeled: Path, databases: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a copy of the labeled workspace, whose process for pictures has loaded its model."""
    site = site_of(databases.copy(labeled, tmp_path_factory.mktemp("painting") / "w"))
    with served(site) as address:
        ticket = site.painter.submit("warm", {})
        while not ticket.has_ended:
            time.sleep(0.05)
        assert ticket.state == "done", ticket.error
        yield address


def endless(path: Path) -> Any:
    """A site whose pictures never end, made by a process without a model."""
    site = site_of(path)
    site.__dict__["painter"] = Worker(path, patience=20, command=PLAYING)
    return site


def pixels(page: Any, image: str) -> list[int]:
    """The pixels of a picture as the page shows them."""
    found: list[int] = page.evaluate(
        """async (selector) => {
        const image = document.querySelector(selector), canvas = document.createElement('canvas');
        await image.decode();
        Object.assign(canvas, { width: image.naturalWidth, height: image.naturalHeight });
        canvas.getContext('2d').drawImage(image, 0, 0);
        return [...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data];
    }""",
        image,
    )
    return found


def painted(page: Any) -> None:
    """Wait for the picture after."""
    page.locator(".stage .after").wait_for(timeout=MINUTES)
    page.locator("#doing").wait_for(state="hidden", timeout=MINUTES)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_pages_fit_every_size_and_have_no_serious_finding(
    here: str, open_browser: Any, scheme: str, axe: str
) -> None:
    browser = open_browser(here, color_scheme=scheme, bypass_csp=True, reduced_motion="reduce")
    page = browser.open(STEER, "load")
    painted(page)
    page.click("#row")
    page.locator("#row-of img").nth(7).wait_for(timeout=MINUTES)
    check_looks(page, axe, "steer")
    page = browser.open(f"/picture?prompt={PROMPT}&seed=3&prompt2=small+blue+star&seed2=3", "load")
    page.locator("#figure-two img").wait_for(timeout=MINUTES)
    page.locator("#actives button").first.click()
    check_looks(page, axe, "picture")


def test_a_feature_is_found_by_its_name_and_steers_brushed_cells(
    here: str, workspace: Path, open_browser: Any, named: str, query: Any
) -> None:
    ((name,),) = query(
        workspace,
        "SELECT l.name FROM labels l JOIN features f ON f.id = l.feature_id WHERE f.latent_index = ?",
        int(named.rpartition(":")[2]),
    )
    browser = open_browser(here)
    page = browser.open("/steer", "load")
    page.fill("#prompt", PROMPT)
    page.focus("#find")
    page.locator("#found li").first.wait_for()
    # The list of no text is there still: Enter takes the first of what was typed.
    page.fill("#find", name)
    page.keyboard.press("Enter")
    page.locator(".steered a", has_text=name).wait_for()
    page.locator(".steered input[type=number]").fill("60")
    page.click("#paint")
    painted(page)
    whole = pixels(page, ".stage .after")
    assert whole != pixels(page, ".stage img")
    # The swipe uncovers the picture before.
    page.locator(".stage .swipe").focus()
    page.keyboard.press("End")
    assert "100%" in page.locator(".stage .after").evaluate("one => one.style.clipPath")
    # Brush the upper left quarter, by mouse and by keys.
    page.click('[data-tool="brush"]')
    box = page.locator("#stage").bounding_box()
    page.mouse.move(box["x"] + 30, box["y"] + 30)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 30, steps=3)
    page.mouse.up()
    assert page.inner_text("#cells-said") == "4 of 144 cells are changed"
    page.locator("#stage canvas").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press(" ")
    assert page.inner_text("#cells-said") == "5 of 144 cells are changed"
    page.locator("#from").evaluate("one => { one.value = 1; one.dispatchEvent(new Event('input')); }")
    assert page.inner_text("#steps-said") == "1 to 1 of 0 to 1"
    page.keyboard.press("p")
    page.locator("#history a").nth(1).wait_for(timeout=MINUTES)
    painted(page)
    brushed = pixels(page, ".stage .after")
    assert brushed != whole
    # Its address leads to the same picture.
    link = page.url
    assert "cells=12x12." in link
    assert "steps=1%3A2" in link
    page = browser.open(link, "load")
    painted(page)
    assert pixels(page, ".stage .after") == brushed
    assert page.inner_text("#cells-said") == "5 of 144 cells are changed"
    assert page.locator("#history a").count() == 2
    page.locator("#history a").nth(1).click()
    painted(page)
    assert page.inner_text("#cells-said") == "all cells are changed"


def test_a_strength_is_chosen_by_itself_and_its_link_has_it(here: str, open_browser: Any) -> None:
    browser = open_browser(here)
    page = browser.open(STEER, "load")
    painted(page)
    page.click("text=Choose it")
    # Either a strength brings the feature into the picture, or a line says that none does.
    page.locator("#toast", has_text="trength").wait_for(timeout=MINUTES)
    painted(page)
    said, number = page.inner_text("#toast"), page.locator(".steered input[type=number]").input_value()
    if said.startswith("no strength"):
        assert number == "30"
    else:
        assert f"Strength {number} is the smallest" in said
    assert f"%3D{number}" in page.locator("#link").get_attribute("href")


def test_cells_of_another_picture_take_the_place_of_those_that_are_brushed(here: str, open_browser: Any) -> None:
    browser = open_browser(here)
    page = browser.open(f"/steer?prompt={PROMPT}&seed=3&cells=12x12.{'f' * 18}{'0' * 18}", "load")
    page.locator(".stage img").first.wait_for(timeout=MINUTES)
    assert page.inner_text("#cells-said") == "72 of 144 cells are changed"
    page.fill("#like", "large blue solid square center, night background")
    page.click("#paint")
    painted(page)
    before, after = pixels(page, ".stage img"), pixels(page, ".stage .after")
    half = len(before) // 2
    above, below = (
        sum(abs(a - b) for a, b in zip(before[s], after[s], strict=True)) for s in (slice(half), slice(half, None))
    )
    assert above > below
    assert "cells of: large blue" in page.locator("#history").inner_text()
    link = page.url
    assert "like=large" in link
    assert "at=mid" in link
    page = browser.open(link, "load")
    painted(page)
    assert pixels(page, ".stage .after") == after


def test_a_row_of_strengths_is_one_click_and_each_can_be_taken(here: str, open_browser: Any) -> None:
    browser = open_browser(here)
    page = browser.open(STEER, "load")
    painted(page)
    page.click("#row")
    page.locator("#row-of button").nth(7).wait_for(timeout=MINUTES)
    page.locator("#row-of button", has_text="+16").click()
    assert page.locator(".steered input[type=number]").input_value() == "16"
    assert "with=" in page.locator("#link").get_attribute("href")
    page.click(".steered-head button")
    assert page.locator("#row").is_disabled()


def test_a_generation_is_stopped_by_its_button_by_a_key_and_by_leaving(
    workspace: Path, start: Any, open_browser: Any
) -> None:
    site = endless(workspace)
    browser = open_browser(start(workspace, site))

    def states() -> list[str]:
        return [one.state for one in site.painter.tickets() if one.task == "paint"]

    def until(wanted: list[str]) -> None:
        end = time.monotonic() + 60
        while states() != wanted:
            assert time.monotonic() < end, states()
            page.wait_for_timeout(50)

    page = browser.open(STEER, "load")
    page.locator("#doing", has_text="count").wait_for()
    page.click("#doing button")
    page.locator("#doing").wait_for(state="hidden")
    until(["stopped"])
    page.click("#paint")
    page.locator("#doing", has_text="count").wait_for()
    page.locator("h1").click()
    page.keyboard.press("Escape")
    until(["stopped"] * 2)
    page.click("#paint")
    page.locator("#doing", has_text="count").wait_for()
    page.goto("/features")
    until(["stopped"] * 3)


def test_a_worker_that_is_killed_leaves_the_server_up_and_the_page_says_so(
    workspace: Path, start: Any, open_browser: Any
) -> None:
    site = endless(workspace)
    browser = open_browser(start(workspace, site))
    page = browser.open(STEER, "load")
    page.locator("#doing", has_text="count").wait_for()
    os.kill(site.painter.pid, signal.SIGKILL)
    page.locator("#toast", has_text="has ended").wait_for()
    assert page.evaluate("fetch('/api/status').then((one) => one.status)") == 200
    page.click("#paint")
    page.locator("#doing", has_text="count").wait_for()


def test_a_picture_lights_maps_and_answers_what_fires_here(here: str, open_browser: Any) -> None:
    browser = open_browser(here)
    page = browser.open("/picture", "load")
    page.fill("#prompt-one", PROMPT)
    page.click("#ask-one button")
    first = page.locator("#actives button").first
    first.wait_for(timeout=MINUTES)
    first.click()
    assert page.locator("#stage-one .lit").evaluate("one => [one.width, one.height]") == [12, 12]
    assert first.get_attribute("aria-pressed") == "true"
    first.focus()
    page.keyboard.press("ArrowDown")
    assert page.locator("#actives button").nth(1).get_attribute("aria-pressed") == "true"
    # The slider plays the steps of the run.
    page.locator("#step").evaluate("one => { one.value = 1; one.dispatchEvent(new Event('input')); }")
    assert page.inner_text("#step-said") == "step 0"
    page.click("#play")
    page.locator("#step-said", has_text="step 1").wait_for()
    page.click("#play")
    # Words have maps of their own.
    page.locator("#words button", has_text="circle").click()
    assert page.locator("#stage-one .lit").count() == 1
    # Cells: what fires here and not elsewhere comes first.
    page.click('[data-tool="here"]')
    page.locator("#stage-one").click(position={"x": 60, "y": 60})
    assert page.inner_text("#cells-said") == "1 here, not in the others"
    shares = page.locator("#actives button").first.locator("small").last.inner_text()
    inside, outside = (float(one.strip().rstrip("%").lstrip("<")) for one in shares.split("/"))
    assert inside > outside
    page.click('[data-tool="there"]')
    page.locator("#stage-one").click(position={"x": 200, "y": 200})
    assert page.inner_text("#cells-said") == "1 here, 1 not there"
    page.click("#no-cells")
    assert page.inner_text("#cells-said") == ""


def test_two_pictures_differ_and_a_dropped_one_is_read(here: str, open_browser: Any, tmp_path: Path) -> None:
    Image.new("RGB", (96, 96), (220, 30, 30)).save(tmp_path / "red.png")
    browser = open_browser(here)
    page = browser.open(f"/picture?prompt={PROMPT}&seed=3", "load")
    page.locator("#actives button").first.wait_for(timeout=MINUTES)
    page.click("#beside summary")
    page.set_input_files("#file-two", tmp_path / "red.png")
    page.locator("#figure-two img").wait_for(timeout=MINUTES)
    page.locator("#order-said", has_text="how much the two pictures differ").wait_for()
    assert page.locator("#actives button").first.locator(".bars-of i").count() == 2
    assert page.locator('[data-tool="here"]').is_disabled()
    assert "picture2=" in page.url
    page.reload()
    page.locator("#figure-two img").wait_for(timeout=MINUTES)


def test_hostile_prompts_and_names_show_as_text(workspace: Path, start: Any, open_browser: Any, named: str) -> None:
    hostile = '"><img src=x onerror="window.hurt=1"><script>window.hurt=1</script>'
    site = site_of(workspace)
    from autointerp.transfer.label_files.by_hand import name_by_hand
    from autointerp.transfer.label_files.storing import HandLabel

    name_by_hand(site.ctx, HandLabel(named, '<img src=x onerror="hurt=1">', ""))
    browser = open_browser(start(workspace, site))
    page = browser.open("/steer", "load")
    page.evaluate("(text) => location.assign(`/steer?${new URLSearchParams({prompt: text, seed: 1})}`)", hostile)
    page.locator(".stage img").first.wait_for(timeout=MINUTES)
    page.fill("#find", named)
    page.locator("#found li", has_text=named).first.click()
    assert page.locator(".steered a").inner_text() == '<img src=x onerror="hurt=1">'
    page.evaluate("(text) => location.assign(`/picture?${new URLSearchParams({prompt: text, seed: 1})}`)", hostile)
    page.locator("#actives button").first.wait_for(timeout=MINUTES)
    assert hostile in page.locator("figcaption").first.inner_text()
    assert page.evaluate("window.hurt") is None


def test_an_icon_is_painted_on_a_click_and_kept(here: str, open_browser: Any) -> None:
    browser = open_browser(here)
    page = browser.open(f"/feature/{NAME}:3", "load")
    page.click("#paint-icon")
    page.locator("#icon-row img").nth(3).wait_for(timeout=MINUTES)
    page = browser.open(f"/feature/{NAME}:3", "load")
    page.locator("#icon-row img").nth(3).wait_for()
    page.click("text=Steer with it")
    painted(page)
