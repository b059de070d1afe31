"""The configurations that `artcafe bootstrap --cluster` writes."""

import subprocess
import sys
from pathlib import Path

import pytest

from artcafe_common.installation.bootstrap import bootstrap
from artcafe_common.installation.cluster import ClusterError, configure_nodes, parse_cluster
from artcafe_common.installation.nats_server import NatsServerConfig
from artcafe_common.installation.renewal import renew

CLUSTER = "n1=10.0.0.1:6222,n2=10.0.0.2:6222,n3=10.0.0.3:6222"


def check_configuration(path):
    """What nats-server says of a configuration; nothing if it is valid."""
    server = Path(sys.executable).parent / "nats-server"
    done = subprocess.run([server, "-t", "-c", path], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stderr


def test_each_node_listens_on_its_own_address_and_knows_the_others(tmp_path):
    configs = configure_nodes(parse_cluster(CLUSTER), NatsServerConfig(store=tmp_path / "store"))
    bootstrap(tmp_path / "keys", *configs)
    for number, config in enumerate(configs, 1):
        path = tmp_path / "keys" / f"nats-server-n{number}.conf"
        text = path.read_text()
        assert f'listen: "10.0.0.{number}:4222"' in text
        assert all(f"nats-route://10.0.0.{each}:6222" in text for each in (1, 2, 3))
        assert config.store == tmp_path / "store"
        assert check_configuration(path) == ""


def test_nodes_of_one_host_have_ports_and_directories_of_their_own(tmp_path):
    nodes = parse_cluster("a=127.0.0.1:1,b=127.0.0.1:2,c=127.0.0.1:3")
    configs = configure_nodes(nodes, NatsServerConfig(store=tmp_path))
    assert [config.port for config in configs] == [4222, 4223, 4224]
    assert [config.store.name for config in configs] == ["a", "b", "c"]


def test_with_certificates_nothing_is_plaintext(tmp_path):
    configs = configure_nodes(
        parse_cluster(CLUSTER), NatsServerConfig(store=tmp_path), certificates=Path("/certificates")
    )
    bootstrap(tmp_path / "keys", *configs)
    text = (tmp_path / "keys/nats-server-n2.conf").read_text()
    assert "allow_non_tls" not in text
    assert "no_tls" not in text
    assert text.count("/certificates/n2-key.pem") == 3
    assert "verify: true" in text


def test_streams_may_reserve_more_than_the_disk_has(tmp_path):
    config = NatsServerConfig(store=tmp_path / "store", stream_storage="900TB")
    configs = configure_nodes(parse_cluster(CLUSTER), config)
    bootstrap(tmp_path, *configs)
    renew(tmp_path)
    for number in (1, 2, 3):
        path = tmp_path / f"nats-server-n{number}.conf"
        assert "max_file_store: 900TB }" in path.read_text()
        assert check_configuration(path) == ""


def test_renewal_reaches_every_node(tmp_path):
    bootstrap(tmp_path, *configure_nodes(parse_cluster(CLUSTER), NatsServerConfig(store=tmp_path / "store")))
    before = [(tmp_path / f"nats-server-n{number}.conf").read_text() for number in (1, 2, 3)]
    renew(tmp_path)
    after = [(tmp_path / f"nats-server-n{number}.conf").read_text() for number in (1, 2, 3)]
    assert all(old != new for old, new in zip(before, after, strict=True))
    assert check_configuration(tmp_path / "nats-server-n3.conf") == ""


@pytest.mark.parametrize(
    "text",
    [
        "",
        "n1=a:1,n2=b:2",
        "n1=a:1,n2=b:2,n3=c:3,n4=d:4",
        "n1=a:1,n1=b:2,n3=c:3",
        "n1=a:1,n2=a:1,n3=c:3",
        "n1=a:0,n2=b:2,n3=c:3",
        "n1=a:70000,n2=b:2,n3=c:3",
        "N 1=a:1,n2=b:2,n3=c:3",
        'n1=a"b:1,n2=b:2,n3=c:3',
        "n1,n2,n3",
    ],
)
def test_invalid_cluster_is_refused(text):
    with pytest.raises(ClusterError):
        parse_cluster(text)
