"""Deploys each recipe once, and starts the result in the simulator, with the layer and against moto."""

from __future__ import annotations

import json
import platform
import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from keystart import __version__

from tests import ROOT
from tests.e2e import stage
from tests.e2e.lambda_simulator import Environment
from tests.e2e.lambda_simulator import Function as Code
from tests.e2e.lambda_simulator.runtimes import BY_NAME
from tests.fakes.front import Fault, Front
from tests.fakes.partner import Partner

from .deployed import DEPLOYMENTS, EXAMPLES, IMAGES, REGION, Function, Image, image
from .stand_in import StandIn

NODE_PATH = Path(__file__).with_name("node_path.mjs")


_ARCHITECTURE = {"x86_64": "x86_64", "aarch64": "arm64"}[platform.machine()]
_BUILT = sorted((ROOT / "dist").glob(f"keystart-layer-{__version__}-{_ARCHITECTURE}.zip"))


def pytest_report_header() -> str:
    which = _BUILT[-1].name if _BUILT else "the process of this checkout, as dist holds no layer"
    return f"functions run with {which}"


@dataclass(frozen=True)
class Layer:
    """The content of /opt, and what it is."""

    opt: Path
    built: bool


@pytest.fixture(scope="session")
def layer(tmp_path_factory: pytest.TempPathFactory) -> Layer:
    """Unpacks the layer as Lambda does. If it is not built, uses the process and the readers of this checkout."""
    opt = tmp_path_factory.mktemp("layer") / "opt"
    if _BUILT:
        with zipfile.ZipFile(_BUILT[-1]) as archive:
            for info in archive.infolist():
                Path(archive.extract(info, opt)).chmod(info.external_attr >> 16)
        return Layer(opt, built=True)
    opt.mkdir()
    stage.extensions(opt / "extensions")
    for folder, target in (
        ("python/keystart", "python/src/keystart"),
        ("nodejs/node_modules/keystart", "node"),
        ("ruby/lib", "ruby/lib"),
    ):
        (opt / folder).parent.mkdir(parents=True)
        (opt / folder).symlink_to(ROOT / "bindings" / target)
    return Layer(opt, built=False)


@pytest.fixture(scope="session")
def examples(tmp_path_factory: pytest.TempPathFactory, layer: Layer) -> Path:
    """Copies examples/, and unpacks the layer in it as the Dockerfiles expect."""
    folder = tmp_path_factory.mktemp("recipes") / "examples"
    shutil.copytree(EXAMPLES, folder, ignore=shutil.ignore_patterns("node_modules", "cdk.out", ".serverless"))
    if layer.built:
        (folder / "layer").symlink_to(layer.opt)
    return folder


@pytest.fixture(scope="session")
def deployed(examples: Path, layer: Layer) -> Callable[[str], Any]:
    """Returns what the recipe of this name deploys."""
    done: dict[str, Function] = {}

    def deploy(recipe: str) -> Function:
        if recipe in IMAGES and not layer.built:
            pytest.skip("the image needs the layer, and there is none in dist: it is built on Debian 12")
        if recipe not in done:
            done[recipe] = image(examples, recipe) if recipe in IMAGES else DEPLOYMENTS[recipe](examples)
        return done[recipe]

    return deploy


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    def price(client: str, path: str) -> bytes:
        asked = urlsplit(path)
        item, (currency,) = asked.path.rpartition("/")[2], parse_qs(asked.query)["currency"]
        return json.dumps({"item": item, "currency": currency, "for": client}).encode()

    stage.without_aws_settings()
    certificates = tmp_path_factory.mktemp("certificates")
    with (
        stage.store() as store,
        Partner(certificates, price) as server,
        Front(Fault(), store.endpoint, tmp_path_factory.mktemp("authority")) as front,
    ):
        made = StandIn(store.endpoint, front)
        made.parameter("/prod/webhook-limits", json.dumps({"maxBytes": 100}))
        made.parameter("/prod/token-settings", json.dumps({"seconds": 60}))
        made.parameter("/prod/orders/partner", json.dumps(dict(server.address)))
        mtls = json.dumps(dict(server.mtls))
        made.secret(mtls, "prod/orders/partner-mtls")
        made.canaries.append(server.mtls["key"].splitlines()[1])
        yield made


@pytest.fixture
def start(
    tmp_path: Path, layer: Layer, cloud: StandIn, deployed: Callable[[str], Any]
) -> Callable[[str], AbstractContextManager[Environment]]:
    """Starts the function of a recipe, up to the end of its Init. Its log may hold no secret."""

    @contextmanager
    def started(recipe: str) -> Iterator[Environment]:
        function: Function = deployed(recipe)
        opt = function.opt if isinstance(function, Image) else layer.opt
        runtime = BY_NAME[function.language]()
        own = {
            **_runtimes_own(function, opt),
            **{name: value.replace("/opt/", f"{opt}/") for name, value in function.environment.items()},
            "AWS_ENDPOINT_URL": cloud.front.url,
            "AWS_CA_BUNDLE": str(cloud.front.authority),
        }
        with Environment() as probe:
            if not probe.isolated and (function.code / "keystart.json").exists():
                own["KEYSTART_CONFIG"] = str(function.code / "keystart.json")  # /var/task cannot be mounted
        with Environment(
            extensions=opt / "extensions",
            function=Code(runtime, function.code, function.handler, own, name=recipe),
            region=REGION,
            visible=[ROOT, opt, tmp_path, cloud.front.authority.parent],
        ) as environment:
            environment.init()
            yield environment
            environment.shutdown()
        log = environment.log_text()
        assert not [canary for canary in cloud.canaries if canary in log]

    return started


def _runtimes_own(function: Function, opt: Path) -> dict[str, str]:
    """Returns where Lambda's runtimes look in /opt. Those in images leave `import` to node."""
    match function.language:
        case "python":
            # An image that is not AWS's sets it itself.
            return {} if "PYTHONPATH" in function.environment else {"PYTHONPATH": f"{opt}/python"}
        case "node" if not isinstance(function, Image):
            hook = f"--import={NODE_PATH.as_uri()}"
            return {"NODE_PATH": f"{opt}/nodejs/node_modules", "NODE_OPTIONS": hook}
        case "ruby":
            return {"RUBYLIB": f"{opt}/ruby/lib"}
    return {}
