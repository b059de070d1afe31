"""Alert rules, dashboards and runbooks fit together."""

import re
import shutil
import subprocess

import pytest
import yaml

from docs.generate.metrics import every_metric
from support.observability import (
    DASHBOARDS,
    DIRECTORY,
    ROOT,
    RUNBOOKS,
    dashboard_expressions,
    every_expression,
    metric_names,
    read_alerts,
    read_dashboards,
    runbook_anchors,
)

ALERTS = read_alerts()
LABELS = {each.name: {*each.labels, "le"} for each in every_metric()}
# Set by Prometheus itself.
TARGET_LABELS = {"job", "instance", "worker"}


@pytest.fixture
def promtool():
    path = shutil.which("promtool")
    if path is None:
        pytest.skip("promtool is not installed")
    return path


@pytest.mark.parametrize("name", ALERTS)
def test_alert_has_a_runbook_and_a_severity(name):
    rule = ALERTS[name]
    assert rule["annotations"]["runbook_url"] == f"docs/operate/runbooks.md#{name.lower()}"
    assert name.lower() in runbook_anchors()
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"]["summary"]


def test_every_runbook_is_of_an_alert():
    sections = re.findall(r"^### (.+)$", RUNBOOKS.read_text(), re.MULTILINE)
    assert sections == list(ALERTS)


def test_every_metric_in_rules_and_dashboards_is_declared_with_these_labels():
    for expression in every_expression():
        names = metric_names(expression)
        ours = {name for name in names if name.startswith("artcafe_")}
        assert ours <= LABELS.keys(), expression
        for metric, matchers in re.findall(r"(artcafe_[a-z_]+)\{([^}]*)\}", expression):
            used = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))
            base = re.sub(r"_(bucket|sum|count)$", "", metric)
            assert used <= LABELS.get(metric, LABELS.get(base, set())) | TARGET_LABELS, expression


def test_every_declared_metric_is_shown_on_a_dashboard():
    shown = {
        name
        for dashboard in read_dashboards().values()
        for expr in dashboard_expressions(dashboard)
        for name in metric_names(expr)
    }
    assert {each.name for each in every_metric()} - shown == set()


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_dashboard_is_complete(path):
    dashboard = read_dashboards()[path.stem]
    assert dashboard["uid"] == f"artcafe-{path.stem}"
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["title"]
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        if panel["type"] != "row":
            assert panel["datasource"]["uid"] == "${datasource}"
            assert panel["targets"]
    places = [(p["gridPos"]["x"], p["gridPos"]["y"]) for p in panels]
    assert len(set(places)) == len(places)


def test_no_organization_is_in_rules_or_dashboards():
    for expression in every_expression():
        assert not re.search(r"tenant_id|client_id|account_id", expression)


def test_both_configurations_read_every_service():
    for name in ("prometheus.yml", "prometheus-compose.yml"):
        configuration = yaml.safe_load((DIRECTORY / name).read_text())
        jobs = {each["job_name"] for each in configuration["scrape_configs"]}
        assert jobs == {
            f"artcafe-{service}" for service in ("gateway", "identity", "tenancy", "presence", "metering")
        }
        assert configuration["rule_files"] == ["alerts.yml"]


def test_promtool_accepts_the_configurations_and_the_rules(promtool):
    for name in ("prometheus.yml", "prometheus-compose.yml"):
        result = subprocess.run(
            [promtool, "check", "config", name],
            cwd=DIRECTORY,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert result.returncode == 0, result.stdout + result.stderr


def test_alerts_fire_when_they_should(promtool, tmp_path):
    for path in (DIRECTORY / "alerts.yml", ROOT / "tests/support/promtool/alerts_test.yml"):
        shutil.copy(path, tmp_path)
    result = subprocess.run(
        [promtool, "test", "rules", "alerts_test.yml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
