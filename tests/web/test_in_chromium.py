"""The view in Chromium: the main acts of each page, by mouse and by keyboard, at several sizes, without a word from
the console, a request to another host, or a serious finding of axe-core.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.web.browsing import check_looks
from tests.web.sites import NAME

PAGES = [
    "/",
    "/features?sort=score",
    "/features?q=striped",
    "/features?queue=1&sort=doubt&status=ok&state=live",
    f"/feature/{NAME}:3",
    f"/compare?one={NAME}&other={NAME}",
    "/experiments",
    "/truth",
    f"/jobs?dictionary={NAME}&features=3",
    "/nope",
]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_every_size_and_have_no_serious_finding(
    workspace: Path, start: Any, open_browser: Any, scheme: str, axe: str
) -> None:
    # The script of the tests is let in past the page's own policy, which stays as it is in the other tests.
    browser = open_browser(start(workspace), color_scheme=scheme, bypass_csp=True, reduced_motion="reduce")
    for path in PAGES:
        page = browser.open(path)
        check_looks(page, axe, path)


def test_pages_of_an_empty_workspace_fit_and_say_what_to_do(
    tmp_path: Path, start: Any, open_browser: Any, axe: str
) -> None:
    from autointerp.project.workspace import WorkspaceFolder

    WorkspaceFolder.create(tmp_path / "w")
    browser = open_browser(start(tmp_path / "w"), bypass_csp=True)
    for path in ("/", "/features", "/steer", "/picture", "/compare", "/jobs", "/truth", "/experiments"):
        page = browser.open(path, "load")
        assert "autointerp " in page.locator("main code").first.inner_text(), path
        check_looks(page, axe, path)


def test_search_filter_and_scroll(workspace: Path, start: Any, open_browser: Any) -> None:
    browser = open_browser(start(workspace))
    page = browser.open("/")
    page.keyboard.press("/")
    page.keyboard.type("striped")
    page.keyboard.press("Enter")
    page.wait_for_url("**/features?q=striped")
    page.locator(".card img").first.wait_for()
    assert "found, best first" in page.locator(".bar").inner_text()
    page = browser.open("/features?sort=frequent")
    assert page.locator(".card").count() == 48
    page.mouse.wheel(0, 100_000)
    page.locator(".card").nth(63).wait_for()
    page.select_option("select[name=status]", "ok")
    page.wait_for_url("**/features?*status=ok*")
    count = int(page.locator(".bar b").inner_text())
    assert page.locator(".card").count() == min(count, 48)
    assert "sort=frequent" in page.url
    page.fill("input[name=density_high]", "5")
    page.keyboard.press("Enter")
    page.wait_for_url("**density=%3A0.05*")
    assert int(page.locator(".bar b").inner_text()) <= count
    page.click("text=Reset the filters")
    page.wait_for_url("**/features")


def test_heat_is_laid_over_the_crops_and_stays(workspace: Path, start: Any, open_browser: Any) -> None:
    browser = open_browser(start(workspace))
    page = browser.open("/features?state=live")
    assert page.locator(".card canvas").count() == 0
    page.keyboard.press("h")
    page.locator(".card canvas").first.wait_for()
    assert page.locator(".card canvas").first.evaluate("one => [one.width, one.height]") == [12, 12]
    page = browser.open("/features?state=live&sort=strong")
    page.locator(".card canvas").first.wait_for()
    page.click("#plain")
    assert page.locator(".card canvas").first.is_visible() is False


def test_a_picture_that_is_dropped_is_a_question(
    workspace: Path, start: Any, open_browser: Any, tmp_path: Path
) -> None:
    Image.new("RGB", (96, 96), (220, 30, 30)).save(tmp_path / "red.png")
    browser = open_browser(start(workspace))
    page = browser.open("/features")
    data = list((tmp_path / "red.png").read_bytes())
    page.evaluate(
        """bytes => {
        const given = new DataTransfer();
        given.items.add(new File([new Uint8Array(bytes)], 'red.png', { type: 'image/png' }));
        document.dispatchEvent(new DragEvent('drop', { dataTransfer: given, bubbles: true, cancelable: true }));
    }""",
        data,
    )
    page.wait_for_url("**/features?picture=*", timeout=90_000)
    page.locator(".card img").first.wait_for()
    assert page.locator(".with-picture img").evaluate("one => one.naturalWidth") == 96


def test_a_feature_opens_its_trials_and_what_is_near(workspace: Path, start: Any, open_browser: Any) -> None:
    browser = open_browser(start(workspace))
    page = browser.open("/features?sort=score&status=ok")
    page.locator(".card").first.click()
    page.wait_for_url("**/feature/**")
    page.wait_for_load_state("networkidle")
    assert page.locator("#places button").count() > 4
    assert page.locator("#whole canvas").is_visible()
    page.locator("#whole .cut").click()
    assert page.locator("#whole canvas").is_visible() is False
    page.locator("#places button").nth(2).click()
    assert page.locator("#places button").nth(2).get_attribute("aria-pressed") == "true"
    assert page.locator("#activations svg rect").count() > 1
    page.locator("details.score summary").first.click()
    page.locator(".trials li img").first.wait_for()
    assert page.locator(".trials .title").count() == 2
    assert page.locator("#direction .near a").count() > 0
    here = page.url
    page.keyboard.press("ArrowRight")
    page.wait_for_url(lambda url: url != here)
    page.keyboard.press("g")
    page.wait_for_url("**/features?*sort=score*")


def test_by_keyboard_alone_from_the_list_to_a_feature(workspace: Path, start: Any, open_browser: Any) -> None:
    browser = open_browser(start(workspace))
    page = browser.open("/features?state=live")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("k")
    focused = page.evaluate("[...document.querySelectorAll('.card')].indexOf(document.activeElement)")
    assert focused > 1
    page.keyboard.press("Enter")
    page.wait_for_url("**/feature/**")
    first = browser.open("/")
    first.keyboard.press("Tab")
    assert first.evaluate("document.activeElement.className") == "skip"


def test_the_queue_by_keys_and_undo(workspace: Path, start: Any, open_browser: Any, query: Any) -> None:
    browser = open_browser(start(workspace))
    page = browser.open("/features?queue=1&sort=doubt&status=ok&state=live")
    page.click("#begin")
    page.wait_for_url("**/feature/**")
    page.wait_for_load_state("networkidle")
    first = page.locator("#feature").get_attribute("data-feature")
    before = page.locator("#name").inner_text()
    page.keyboard.press("n")
    page.keyboard.type("quite my own")
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: first not in url)
    page.wait_for_load_state("networkidle")
    assert "named quite my own" in page.locator("#toast").inner_text()
    human = "SELECT l.name, l.status FROM labels l JOIN labelers w ON w.id = l.labeler_id WHERE w.kind = 'human'"
    assert query(workspace, human) == [("quite my own", "ok")]
    page.keyboard.press("u")
    page.wait_for_url(lambda url: first in url)
    page.wait_for_load_state("networkidle")
    assert page.locator("#name").inner_text() == before
    assert query(workspace, human) == []
    page.keyboard.press("r")
    page.wait_for_url(lambda url: first not in url)
    page.wait_for_load_state("networkidle")
    page.keyboard.press("a")
    page.wait_for_load_state("networkidle")
    page.locator("#toast", has_text="accepted").wait_for()
    assert {status for _, status in query(workspace, human)} == {"uninterpretable", "ok"}


def test_compare_two_dictionaries(workspace: Path, start: Any, open_browser: Any) -> None:
    browser = open_browser(start(workspace))
    page = browser.open(f"/compare?one={NAME}&other={NAME}")
    page.select_option("select[name=one]", NAME)
    page.select_option("select[name=other]", NAME)
    page.locator("form.row button").first.click()
    page.locator(".pairs a").first.wait_for(timeout=60_000)
    assert "64 pairs" in page.locator("h3").first.inner_text()
    page.locator(".pairs a").first.click()
    page.wait_for_url("**/feature/**")


def test_a_lora_beside_its_model(tmp_path: Path, start: Any, open_browser: Any, cli: Any, axe: str) -> None:
    pytest.importorskip("peft")
    from tests.pushing_loras import IMAGES, NAME as PUSHED, push_features

    made = push_features(tmp_path)
    given = ("compare", PUSHED, "--loading", f"lora={made.file}", "--images", IMAGES, "--json")
    done = cli("-w", made.workspace, "-q", *given)
    assert (done.code, done.err) == (0, "")
    found = json.loads(done.out)
    base = start(made.workspace)
    report = Path(found["report"]).parent.name
    for scheme in ("light", "dark"):
        looked = open_browser(base, bypass_csp=True, color_scheme=scheme)
        check_looks(looked.open(f"/compare?models={report}"), axe, scheme)
    browser = open_browser(base)
    page = browser.open("/compare")
    page.select_option("select[name=models]", label=f"tiny + style:1 beside tiny, {PUSHED}, {IMAGES} pictures")
    page.locator("form.row", has=page.locator("select[name=models]")).locator("button").click()
    page.wait_for_url("**/compare?models=*")
    for change, title in (("more", "Fire more"), ("new", "Fire newly"), ("gone", "Fire no more")):
        table = page.locator(f"h3:has-text('{title}') + .scroll").first
        assert table.locator("tbody tr").count() == found["counts"][change]
        assert table.locator("small bdi", has_text=f"{PUSHED}:{made.pushed[change]}").first.is_visible()
    # The report's own pictures stand on the page, two of a row, of both models, and the page begins at its top.
    pictures = page.frame_locator("iframe.report").locator("#pictures")
    pictures.locator("img").first.wait_for()
    names = pictures.locator("figcaption").all_inner_texts()
    assert len(names) == 2 * sum(min(count, 4) for count in found["counts"].values())
    assert [name.partition(": ")[0].partition(" + ")[2] for name in names[:2]] == ["", "style:1"]
    sizes = pictures.locator("img").evaluate_all("all => all.map(one => one.naturalWidth)")
    assert min(sizes) >= 256
    assert page.evaluate("scrollY") == 0
    for width in (400, 1440):
        page.set_viewport_size({"width": width, "height": 900})
        tops = pictures.locator("img").evaluate_all("all => all.map(one => one.getBoundingClientRect().top)")
        assert all(one == other for one, other in zip(tops[::2], tops[1::2], strict=True)), width
    page.locator("tr", has_text=f"{PUSHED}:{made.pushed['more']}").locator("a").first.click()
    page.wait_for_url(f"**/feature/{PUSHED}:{made.pushed['more']}")


def test_an_error_of_a_request_is_told(workspace: Path, start: Any, open_browser: Any) -> None:
    from autointerp.project.workspace import WorkspaceFolder

    browser = open_browser(start(workspace))
    page = browser.open(f"/feature/{NAME}:3")
    with WorkspaceFolder(workspace).lock():
        page.keyboard.press("r")
        page.locator("#toast", has_text="process").wait_for()
    browser.said = [said for said in browser.said if "409" not in said]
    page.keyboard.press("r")
    page.locator("#name", has_text="uninterpretable").wait_for()


def test_work_of_another_process_is_followed(workspace: Path, start: Any, open_browser: Any) -> None:
    def work(done: int, status: str = "running") -> None:
        with closing(sqlite3.connect(workspace / "autointerp.db", timeout=30)) as db, db:
            db.execute("UPDATE runs SET status = ?, done = ?, total = 40 WHERE kind = 'harvest'", (status, done))

    work(10)
    browser = open_browser(start(workspace))
    page = browser.open("/")
    line = page.locator("#work-list li")
    assert "10 of 40" in line.inner_text()
    work(20)
    page.locator("#work-list", has_text="20 of 40").wait_for()
    assert line.locator("progress").evaluate("one => one.value") == 0.5
    work(40, "done")
    page.locator("#work-list").wait_for(state="detached")


def test_a_job_is_planned_and_started(workspace: Path, start: Any, open_browser: Any, query: Any) -> None:
    browser = open_browser(start(workspace))
    page = browser.open(f"/jobs?dictionary={NAME}")
    page.select_option("select[name=labeler]", "prompts")
    page.fill("input[name=features]", "0-3, 5")
    page.uncheck("input[name=score]")
    page.keyboard.press("Tab")
    page.click("text=Plan")
    page.locator("#plan .go").wait_for(timeout=90_000)
    assert "It costs nothing" in page.locator("#plan").inner_text()
    page.click("#plan .go")
    page.locator("#jobs .done").wait_for(timeout=90_000)
    assert "label" in page.locator("#jobs").inner_text()
    prompts = "SELECT count(*) FROM labels l JOIN labelers w ON w.id = l.labeler_id WHERE w.kind = 'prompts'"
    assert query(workspace, prompts)[0][0] > 0
    # What is no feature is told before anything is asked of the server.
    page.fill("input[name=features]", "three")
    page.click("text=Plan")
    page.locator("#plan .warn", has_text="three is no feature").wait_for()
    page.check("input[value=score]")
    assert page.locator("input[name=features]").is_visible() is False
    # A score that nobody here can judge is no score that is there.
    page.uncheck("input[name=methods][value=embedding]")
    page.check("input[name=methods][value=gain]")
    page.click("text=Plan")
    page.locator("#plan", has_text="None of this can be done here.").wait_for()
    assert page.locator("#plan .note").count() == 1


def test_names_beside_the_truth_by_kind(tmp_path: Path, start: Any, open_browser: Any, axe: str) -> None:
    from tests.truths import write_truths

    write_truths(tmp_path / "w").workspace.close()
    browser = open_browser(start(tmp_path / "w"))
    page = browser.open("/truth")
    # Verdicts are found meanwhile, and the page loads itself again.
    page.locator(".kind .verdict.wrong").wait_for(timeout=60_000)
    assert page.locator(".kind").count() == 7
    wrong = page.locator(".kind", has=page.locator(".verdict.wrong"))
    assert "blue" in wrong.locator(".card h3").inner_text()
    assert wrong.locator(".beside b").inner_text() == "red"
    page.click(".legend >> text=1 too broad")
    page.wait_for_url("**/truth?*kind=too+broad*")
    assert page.locator(".card").count() == 1
    # The list of all features says the same of each, and is filtered by it.
    looked = open_browser(browser.base, bypass_csp=True)
    for path in ("/truth", "/features"):
        check_looks(looked.open(path), axe, path)
    page = browser.open("/features")
    assert page.locator(".card .verdict.exact").count() == 1
    page.select_option("select[name=truth]", "overlapping")
    page.wait_for_url("**/features?*truth=overlapping*")
    assert page.locator(".card h3").all_inner_texts() == ["circle"]
    page.locator(".card").click()
    page.wait_for_url("**/feature/**")


def test_labelers_are_counted_after_the_page(workspace: Path, start: Any, open_browser: Any) -> None:
    browser = open_browser(start(workspace))
    page = browser.open("/compare", "load")
    page.locator("#summaries td", has_text=NAME).wait_for()
    assert page.locator("#summaries tbody tr").count() == 1


def test_an_experiment_and_its_report(tmp_path: Path, start: Any, open_browser: Any, axe: str) -> None:
    from autointerp.db import queries
    from autointerp.db.queries.experiments import PlannedExperiment
    from autointerp.project.context import Context
    from autointerp.project.workspace import WorkspaceFolder
    from autointerp.views.experiments import report_name
    from autointerp.views.figures import Figure

    ctx = Context(WorkspaceFolder.create(tmp_path / "w"))
    with ctx.db.session() as session:
        asked = PlannedExperiment("emergence", "a" * 64, "shapes", None, {"images": 8}, 1)
        number = queries.experiments.begin(session, asked)
        figures = [Figure("iou", f"step {i}", way, 0.5, 0.4, 0.6, 9) for i in range(4) for way in ("codes", "labels")]
        queries.experiments.finish(session, number, [figure.as_dict() for figure in figures])
    folder = ctx.workspace.experiments_dir / report_name("emergence", "a" * 64)
    folder.mkdir(parents=True)
    verdict = {
        "claim": "Early steps decide",
        "source": "arXiv 1",
        "theirs": "",
        "ours": 0.3,
        "ci_low": 0.2,
        "ci_high": 0.4,
    }
    said = [
        {**verdict, "verdict": "holds", "reason": "first less last: 0.3 (0.2 to 0.4) (holds: it must be above 0.05)"}
    ]
    (folder / "figures.json").write_text(json.dumps({"verdicts": said}))
    (folder / "report.html").write_text(
        "<title>r</title><style>p{color:red}</style><p>all of it<script>hurt = 1</script>"
    )
    ctx.workspace.close()
    base = start(tmp_path / "w")
    looked = open_browser(base, bypass_csp=True)
    for path in ("/experiments", f"/experiments/{folder.name}"):
        check_looks(looked.open(path), axe, path)
    browser = open_browser(base)
    page = browser.open("/experiments")
    page.click("text=emergence")
    assert page.locator("table.figures tbody tr").count() == 4
    assert page.locator(".verdicts .verdict").inner_text() == "holds"
    page.click("text=What was measured")
    assert page.locator(".verdicts li").is_visible()
    page.click("text=The whole report")
    page.locator("p", has_text="all of it").wait_for()
    assert page.evaluate("typeof hurt") == "undefined"
    assert page.evaluate("getComputedStyle(document.querySelector('p')).color") == "rgb(255, 0, 0)"
    # That the script was refused is what the console says.
    browser.said = [said for said in browser.said if "Content Security Policy" not in said and "icon" not in said]
