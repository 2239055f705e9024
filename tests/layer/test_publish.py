"""Publishes the layer's own zip to moto's Lambda, with the command line."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from keystart_extension import __version__

from tests import ROOT
from tests.fakes.aws import serve_moto

ARCHITECTURE = {"x86_64": "x86_64", "aarch64": "arm64"}[platform.machine()]
VARIABLES = {
    "AWS_ACCESS_KEY_ID": "made-up",
    "AWS_SECRET_ACCESS_KEY": "made-up",
    "AWS_REGION": "eu-west-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/nowhere",
    "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
}


@pytest.fixture
def url() -> Iterator[str]:
    with serve_moto() as url:
        yield url


def test_the_zip_that_was_built_is_published_as_it_is(url: str) -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("keystart"), "layer", "publish", "--json"],
        env={"PATH": os.environ["PATH"], **VARIABLES, "AWS_ENDPOINT_URL": url},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    published = {one["architecture"]: one for one in json.loads(done.stdout)}
    one = published[ARCHITECTURE]
    layer, _, version = one["arn"].rpartition(":")
    client = boto3.Session("made-up", "made-up", region_name="eu-west-1").client("lambda", endpoint_url=url)
    found = client.get_layer_version(LayerName=layer, VersionNumber=int(version))
    client.close()
    assert found["Description"] == f"Keystart {__version__} for {ARCHITECTURE}"
    assert found["Content"]["CodeSize"] == (ROOT / one["file"]).stat().st_size
