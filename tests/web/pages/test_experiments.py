"""The page Experiments, one experiment, and its report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from autointerp.db import queries
from autointerp.db.queries.experiments import PlannedExperiment
from autointerp.project.workspace import WorkspaceFolder
from autointerp.views.experiments import report_name
from autointerp.views.figures import Figure
from autointerp.web.pages.experiments import REPORT_POLICY
from tests.web.sites import client_of, site_of

NAME = report_name("emergence", "a" * 64)
REPORT = (
    '<h1>emergence</h1><script>hurt()</script><img src="data:image/png;base64,/9j/home/me+x==">'
    "<p>read from /home/me/models/sd</p>"
)


@pytest.fixture
def client(tmp_path: Path) -> Any:
    """A client of a workspace with a finished experiment that has a report, and one that failed."""
    site = site_of(WorkspaceFolder.create(tmp_path / "w").path)
    with site.ctx.db.session() as session:
        asked = {"at": "/home/me/models/sd:4", "<b>": "<script>"}
        first = queries.experiments.begin(session, PlannedExperiment("emergence", "a" * 64, "shapes", None, asked, 1))
        queries.experiments.keep(session, first, {"one": {}})
        figures = [
            Figure("iou", "step 0", "codes", 0.5, 0.4, 0.6, 9),
            Figure("iou", "step 0", "<i>", 0.1, control=True),
        ]
        queries.experiments.finish(session, first, [figure.as_dict() for figure in figures])
        second = queries.experiments.begin(session, PlannedExperiment("probe", "b" * 64, "shapes", None, {}, 7))
        queries.experiments.stop(session, second, "failed", "no file /home/me/x.png")
    folder = site.ctx.workspace.experiments_dir / NAME
    folder.mkdir(parents=True)
    (folder / "report.html").write_text(REPORT)
    verdict = {"claim": "Features <b>edit</b>", "source": "arXiv 1", "theirs": "62%", "ours": 0.31, "ci_low": 0.2}
    said = [{**verdict, "ci_high": 0.4, "verdict": "holds", "reason": "by /home/me/x: 0.31 (holds: above 0)"}]
    (folder / "figures.json").write_text(json.dumps({"verdicts": said}))
    return client_of(site)


def test_verdicts_stand_with_figure_and_interval(client: Any) -> None:
    assert '<span class="verdict holds">1 holds</span>' in client.get("/experiments").text
    page = client.get(f"/experiments/{NAME}").text
    assert "Features &lt;b&gt;edit&lt;/b&gt;" in page
    assert "0.310 <small>0.200 to 0.400</small>" in page
    assert "<li><bdi>by x: 0.31 (holds: above 0)</bdi></li>" in page
    assert ">62%</bdi>" in page


def test_the_list_and_each_experiment(client: Any) -> None:
    page = client.get("/experiments").text
    assert page.index("probe") < page.index("emergence")
    assert "0 of 7 units, failed" in page
    page = client.get(f"/experiments/{NAME}").text
    assert "0.500 <small>(0.400 to 0.600)</small>" in page
    assert "&lt;i&gt;</bdi> <small>control" in page
    assert "<script>" not in page
    assert "<dd><bdi>sd:4</bdi></dd>" in page
    failed = client.get(f"/experiments/{report_name('probe', 'b' * 64)}").text
    assert "no file x.png" in failed
    assert client.get("/experiments/nope").status_code == 404
    assert client.get("/experiments/..%2F..%2Fetc").status_code == 404


def test_an_empty_workspace_says_what_to_do(made: Path) -> None:
    client = client_of(site_of(made))
    assert "autointerp experiment emergence" in client.get("/experiments").text
    assert client.get("/api/experiments").json() == []


def test_a_report_runs_nothing_and_names_no_path(client: Any) -> None:
    answer = client.get(f"/experiments/{NAME}/report")
    policy = answer.headers.get_list("content-security-policy")
    # One policy alone: that of the pages would take the report's own styles away.
    assert len(policy) == 1
    assert "default-src 'none'" in policy[0]
    assert "script-src" not in policy[0]
    assert "connect-src" not in policy[0]
    assert "/home/me/models" not in answer.text
    assert "data:image/png;base64,/9j/home/me+x==" in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert client.get(f"/experiments/{NAME}/plot.png").status_code == 404
    assert client.get(f"/experiments/{report_name('probe', 'b' * 64)}/report").status_code == 404


def test_the_pictures_of_a_report_can_be_framed_alone(client: Any, tmp_path: Path) -> None:
    where = f"/experiments/{NAME}/report"
    assert client.get(f"{where}?part=pictures").text == client.get(where).text
    ends = "<body><main><h1>h</h1>{}<section>What was run</section></main></body></html>"
    section = '<section id="pictures"><img src="data:image/png;base64,/9j/home/me+x=="> of /home/me/models/sd</section>'
    page = tmp_path / "w" / "experiments" / NAME / "report.html"
    page.write_text("<html><head><style>img {}</style></head>" + ends.format(section))
    answer = client.get(f"{where}?part=pictures")
    assert answer.text.startswith("<html><head><style>img {}</style></head><style>")
    assert answer.text.endswith(f"<body><main>{section.replace('/home/me/models/', '')}</main></body></html>")
    assert answer.headers.get_list("content-security-policy") == [REPORT_POLICY]
    assert "What was run" in client.get(where).text
    assert client.get(f"{where}?part=other").status_code == 400


def test_the_api_has_the_keys_of_the_command_and_no_path(client: Any) -> None:
    newest, oldest = client.get("/api/experiments").json()
    assert {"experiment", "identity", "model", "revision", "configuration", "figures"} <= set(oldest)
    assert oldest["configuration"]["at"] == "sd:4"
    assert (newest["state"], newest["done"], newest["total"]) == ("failed", 0, 7)
