"""Reads the alert rules, the dashboards and the runbooks."""

import json
import re
from pathlib import Path

import yaml

from docs.generate.markdown import anchor

ROOT = Path(__file__).parents[2]
DIRECTORY = ROOT / "deploy/observability"
RUNBOOKS = ROOT / "docs/operate/runbooks.md"
DASHBOARDS = sorted((DIRECTORY / "grafana/dashboards").glob("*.json"))
_METRIC = re.compile(r"\b(?:artcafe|process)_[a-z_]+\b")
_SUFFIX = re.compile(r"_(bucket|sum|count)$")


def read_alerts():
    """The alert rules, by name."""
    groups = yaml.safe_load((DIRECTORY / "alerts.yml").read_text())["groups"]
    alerts = [rule for group in groups for rule in group["rules"]]
    assert len({each["alert"] for each in alerts}) == len(alerts)
    return {each["alert"]: each for each in alerts}


def read_dashboards():
    """The dashboards, by file name."""
    return {path.stem: json.loads(path.read_text()) for path in DASHBOARDS}


def dashboard_expressions(dashboard):
    return [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]


def every_expression():
    """The PromQL of all alerts and dashboards."""
    return [
        *(rule["expr"] for rule in read_alerts().values()),
        *(expr for dashboard in read_dashboards().values() for expr in dashboard_expressions(dashboard)),
    ]


def metric_names(expression):
    """The metrics in an expression, without the suffixes of histograms."""
    return {_SUFFIX.sub("", name) for name in _METRIC.findall(expression)}


def runbook_anchors():
    headings = re.findall(r"^#+ (.+)$", RUNBOOKS.read_text(), re.MULTILINE)
    return {anchor(heading) for heading in headings}
