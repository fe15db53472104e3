"""The interface against its own description: what nobody would ask is answered as described, never with an error of ours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("fastapi", reason="what [serve] needs isn't installed")
schemathesis = pytest.importorskip("schemathesis", reason="schemathesis isn't installed")

from fastapi import FastAPI
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from retriever.serving.app import create_app
from retriever.serving.desk import Desk
from retriever.serving.security import Gate
from retriever.serving.settings import ServingConfig
from tests.served import ADDRESS, make_index, reading

if TYPE_CHECKING:
    from retriever.encoder import TextEncoder

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = 25


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: TextEncoder) -> Iterator[FastAPI]:
    root = make_index(tmp_path_factory.mktemp("described"), tiny_encoder)
    config = ServingConfig(rate=0.0)
    desk = Desk.open(root, encoder=tiny_encoder, scorer=reading(), config=config)  # type: ignore[arg-type]
    yield create_app(desk, Gate())
    desk.close()


@pytest.fixture
def described(app: FastAPI) -> Any:
    return schemathesis.openapi.from_asgi("/openapi.json", app, headers={"Host": "127.0.0.1"})


schema = schemathesis.pytest.from_fixture("described")


@pytest.mark.integration
@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_the_interface_is_as_described(case: Any) -> None:
    case.headers["Host"] = "127.0.0.1"
    case.call_and_validate(base_url=ADDRESS, checks=CHECKS)


def test_every_parameter_and_route_says_what_it_is(app: FastAPI) -> None:
    paths = app.openapi()["paths"]
    assert len(paths) >= 10
    for path, methods in paths.items():
        for operation in methods.values():
            assert operation["description"], path
            for parameter in operation.get("parameters", []):
                assert {"q", "k", "where", "offset", "limit", "id", "number"} & {
                    parameter["name"]
                } or parameter.get("description"), (path, parameter["name"])


def test_the_description_names_every_schema_that_it_uses(app: FastAPI, tmp_path: Path) -> None:
    import json

    text = json.dumps(app.openapi())
    names = set(app.openapi()["components"]["schemas"])
    assert {"Found", "Failure", "DocumentText"} <= names
    assert "HTTPValidationError" not in text
