"""`deploy/` agrees with the code: tables, settings, credentials; its scripts are well-formed and refuse nonsense."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from artcafe_common.backup.settings import BackupSettings
from artcafe_common.settings import list_variables, load
from artcafe_common.storage.create import installed_tables
from artcafe_common.storage.tables import create_table_request
from artcafe_gateway.settings import Settings as Gateway
from artcafe_identity.settings import Settings as Identity
from artcafe_metering.settings import Settings as Metering
from artcafe_presence.settings import Settings as Presence
from artcafe_tenancy.settings import Settings as Tenancy
from docs.generate.deployment import ENVIRONMENT_FILE, FILES, TEMPLATE

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
SCRIPTS = sorted([*DEPLOY.rglob("*.sh")])
SERVICES = {
    "gateway": Gateway,
    "identity": Identity,
    "metering": Metering,
    "presence": Presence,
    "tenancy": Tenancy,
}


class _Template(yaml.SafeLoader):
    """YAML with CloudFormation's short forms: `!Sub x` is {"Sub": "x"}."""


def _function(loader, name, node):
    kind = {yaml.ScalarNode: loader.construct_scalar, yaml.SequenceNode: loader.construct_sequence}
    return {name: kind[type(node)](node)}


_Template.add_multi_constructor("!", _function)


def template():
    return yaml.load(TEMPLATE.read_text(), _Template)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_generated_files_are_up_to_date(path):
    text = path.read_text()
    assert FILES[path](text) == text, "run `make docs`"


def test_the_template_has_the_tables_of_the_code():
    resources = [
        r["Properties"] for r in template()["Resources"].values() if r["Type"] == "AWS::DynamoDB::Table"
    ]
    found = {each["TableName"]["Sub"].replace("${TablePrefix}", "artcafe-"): each for each in resources}
    specs = installed_tables()
    assert len(specs) == len(found) == len(resources)
    for spec in specs:
        expected = create_table_request(spec, "artcafe-")
        table = found[expected["TableName"]]
        assert table["KeySchema"] == expected["KeySchema"]
        assert table["AttributeDefinitions"] == expected["AttributeDefinitions"]
        assert table.get("GlobalSecondaryIndexes", []) == expected.get("GlobalSecondaryIndexes", [])
        assert table["BillingMode"] == "PAY_PER_REQUEST"
        assert table.get("TimeToLiveSpecification", {}).get("AttributeName") == spec.ttl
        assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}


def test_what_must_not_be_lost_outlives_the_stack():
    kept = ("AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::Cognito::UserPool")
    for name, resource in template()["Resources"].items():
        if resource["Type"] in kept:
            assert resource["DeletionPolicy"] == resource["UpdateReplacePolicy"] == "Retain", name


def test_every_reference_in_the_template_exists():
    document = template()
    known = {*document["Resources"], *document["Parameters"]}
    text = TEMPLATE.read_text()
    references = set(re.findall(r"!(?:Ref|GetAtt) ([A-Za-z]+)", text))
    references |= set(re.findall(r"\$\{([A-Za-z]+)(?:\.[A-Za-z]+)?\}", text))
    assert references - known == set()


def test_no_policy_allows_every_action_or_resource_without_need():
    for name, resource in template()["Resources"].items():
        documents = [resource["Properties"].get("PolicyDocument")]
        if resource["Type"] == "AWS::IAM::Role":
            documents += [policy["PolicyDocument"] for policy in resource["Properties"]["Policies"]]
        for document in filter(None, documents):
            for statement in document["Statement"]:
                if statement["Effect"] == "Allow":
                    actions = (
                        statement["Action"]
                        if isinstance(statement["Action"], list)
                        else [statement["Action"]]
                    )
                    assert not [action for action in actions if "*" in action], name
                    if statement["Resource"] == "*":
                        assert statement["Sid"] in ("Reachability", "Results"), name


def test_the_environment_file_names_every_setting_and_its_values_are_valid():
    text = ENVIRONMENT_FILE.read_text()
    variables = dict(re.findall(r"^#?([A-Z_]+)=(.*)$", text, re.MULTILINE))
    declared = {
        row.env for settings in (*SERVICES.values(), BackupSettings) for row in list_variables(settings)
    }
    assert set(variables) == declared - {"ARTCAFE_KEYS_DIR", "ARTCAFE_REVISION"}
    filled = {**variables, "ARTCAFE_OIDC_ISSUER": "https://issuer", "ARTCAFE_OIDC_CLIENT_ID": "app"}
    for settings in SERVICES.values():
        load(settings, filled)


@pytest.mark.parametrize("service", SERVICES)
def test_units_give_each_service_the_keys_that_it_reads(service):
    unit = DEPLOY / f"ec2/systemd/artcafe@{service}.service.d/credentials.conf"
    given = set(re.findall(r"^LoadCredential=([^:]+):/etc/artcafe/keys/\1$", unit.read_text(), re.MULTILINE))
    source = "".join(path.read_text() for path in (ROOT / f"services/{service}/src").rglob("*.py"))
    read = set(re.findall(r'(?:keys|keys_dir) / f?"([^"]+)"', source)) | {f"{service}.creds"}
    read = {name.replace("{NAME}", service) for name in read}
    if "load_platform_keys" in source:
        read.add("platform.json")
    assert given == read


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_well_formed_and_say_how_they_are_used(script):
    subprocess.run(["bash", "-n", script], check=True)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", "-x", "-P", ROOT, script], check=True)
    if os.access(script, os.X_OK) and script.name != "artcafe.sh":
        usage = subprocess.run([script, "--help"], check=True, capture_output=True, text=True).stdout
        assert script.name in usage


def render(**environ):
    command = [DEPLOY / "nginx/render.sh"]
    return subprocess.run(
        command, check=False, env={"PATH": os.environ["PATH"], **environ}, capture_output=True, text=True
    )


def test_nginx_configuration_has_the_given_values():
    hosts = {"API_HOST": "api.example.org", "WS_HOST": "ws.example.org"}
    text = render(
        **hosts, CORS_ORIGINS="https://console.example.org", TRUSTED_PROXIES="10.0.0.0/16,10.1.0.1"
    ).stdout
    assert "server_name api.example.org;" in text
    assert '"https://console.example.org" $http_origin;' in text
    assert "set_real_ip_from 10.0.0.0/16; set_real_ip_from 10.1.0.1;" in text
    assert not re.search(r"@[A-Z_]+@", text)


@pytest.mark.parametrize(
    "environ",
    [
        {"API_HOST": "", "WS_HOST": "ws.example.org"},
        {"API_HOST": "api;return 200", "WS_HOST": "ws.example.org"},
        {"API_HOST": "api.example.org", "WS_HOST": "ws.example.org", "CORS_ORIGINS": "*"},
        {"API_HOST": "api.example.org", "WS_HOST": "ws.example.org", "CORS_ORIGINS": 'https://x";}'},
        {"API_HOST": "api.example.org", "WS_HOST": "ws.example.org", "TRUSTED_PROXIES": "everyone"},
        {"API_HOST": "api.example.org", "WS_HOST": "ws.example.org", "TLS_KEY": "x;\n}"},
    ],
)
def test_nginx_settings_that_are_not_valid_are_refused(environ):
    result = render(**environ)
    assert result.returncode != 0
    assert "server_name" not in result.stdout
