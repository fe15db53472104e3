"""The interface against its own description: what nobody would ask is answered as described, never with an error of ours."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("fastapi", reason="what [serve] needs isn't installed")
pytest.importorskip("schemathesis", reason="schemathesis isn't installed")

import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
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
bounded = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: TextEncoder) -> Iterator[FastAPI]:
    root = make_index(tmp_path_factory.mktemp("described"), tiny_encoder)
    config = ServingConfig(rate=0.0)
    desk = Desk.open(root, encoder=tiny_encoder, scorer=reading(), config=config)  # type: ignore[arg-type]
    close, desk.close = desk.close, lambda: None  # type: ignore[method-assign] - schemathesis ends the app at each call
    yield create_app(desk, Gate())
    close()


OPERATIONS = [
    "GET /api/search",
    "GET /api/ask",
    "GET /api/status",
    "GET /api/facets",
    "GET /api/documents",
    "GET /api/documents/{id}",
    "GET /api/documents/{id}/page/{number}.png",
    "GET /api/documents/{id}/page/{number}/boxes",
    "POST /api/session",
    "GET /healthz",
    "GET /metrics",
]


@pytest.mark.integration
@pytest.mark.parametrize("operation", OPERATIONS)
def test_it_answers_as_described(app: FastAPI, operation: str) -> None:
    """Parameters of every shape, right ones and wrong ones; not by schemathesis' plugin, which lags behind pytest."""
    method, path = operation.split(" ")
    headers = {"Host": "127.0.0.1"}
    described = schemathesis.openapi.from_asgi("/openapi.json", app, headers=headers)[path][method]
    modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    statuses: set[int] = set()

    def ask(case: Any) -> None:
        response = case.call(base_url=ADDRESS, headers=headers)
        case.validate_response(response, checks=CHECKS)
        statuses.add(response.status_code)

    for mode in modes:
        try:
            cases = described.as_strategy(generation_mode=mode)
            bounded(given(case=cases)(ask))()
        except Unsatisfiable:
            assert mode is GenerationMode.NEGATIVE, (
                "there is no wrong way to ask for what takes no parameters"
            )
    assert statuses & ({404} if "{id}" in path else {200, 204}), statuses


def test_all_that_is_described_is_asked(app: FastAPI) -> None:
    paths = app.openapi()["paths"]
    assert {f"{method.upper()} {path}" for path in paths for method in paths[path]} == set(OPERATIONS)


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


def test_the_description_names_every_schema_that_it_uses(app: FastAPI) -> None:
    used = set(re.findall(r'"\$ref": "#/components/schemas/([^"]+)"', json.dumps(app.openapi())))
    assert {"Found", "Failure", "DocumentText"} <= used
    assert used == set(app.openapi()["components"]["schemas"]), "nothing is missing, nothing left over"
