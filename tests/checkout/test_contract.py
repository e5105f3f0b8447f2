"""The contract that is served says what is done."""

from typing import Any

import pytest
import yaml
from openapi_spec_validator import validate

from ppcd.checkout.wire import Branding, NewSession
from tests.builders import Store
from tests.checkout.world import World


@pytest.fixture
def world(store: Store) -> World:
    return World(store)


@pytest.fixture
def contract(world: World) -> Any:
    got = world.get("/openapi/checkout.yaml")
    assert got.status == 200
    return yaml.safe_load(got.body)


def test_it_is_a_valid_contract(contract: Any) -> None:
    validate(contract)


def test_it_has_the_operations_that_are_served(world: World, contract: Any) -> None:
    told = {
        (method.upper(), path) for path, methods in contract["paths"].items() for method in methods
    }
    served = {
        (route.method, route.template)
        for route in world.site.router.routes
        if route.template.startswith("/checkout/v1/sessions")
    }
    assert told == served


def test_it_has_the_fields_that_are_read(contract: Any) -> None:
    schema = contract["components"]["schemas"]["NewSession"]
    fields = {field.alias for field in NewSession.model_fields.values()}
    assert set(schema["properties"]) == fields
    fields = {field.alias for field in Branding.model_fields.values()}
    assert set(schema["properties"]["branding"]["properties"]) == fields


def test_answers_have_the_fields_that_it_says(world: World, contract: Any) -> None:
    schemas = contract["components"]["schemas"]
    opened = world.ask("POST", "/checkout/v1/sessions", {"tariffs": ["gold-250"]}).json
    assert set(opened) == set(schemas["OpenedSession"]["properties"])
    world.pay("/pay/" + opened["id"])
    world.answer("НЕТ")
    found = world.ask("GET", f"/checkout/v1/sessions/{opened['id']}").json
    assert set(found) == set(schemas["Session"]["properties"])
    assert found["status"] in schemas["Session"]["properties"]["status"]["enum"]
