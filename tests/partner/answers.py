"""Answers held against the contract that is served: statuses, headers, bodies."""

import json
from collections.abc import Mapping
from typing import Any

import yaml
from openapi_schema_validator import OAS30Validator, oas30_format_checker


class Contract:
    """One specification."""

    def __init__(self, text: str) -> None:
        self.document: dict[str, Any] = yaml.safe_load(text)

    @property
    def operations(self) -> set[tuple[str, str]]:
        return {
            (method.upper(), path)
            for path, methods in self.document["paths"].items()
            for method in methods
        }

    def check(
        self, method: str, path: str, *, status: int, headers: Mapping[str, str], body: bytes
    ) -> None:
        """It has that answer of that operation. Raises what says how it has not."""
        operations = self.document["paths"][path]
        # A method that a path has not is refused as its others say.
        operation = operations.get(method.lower()) or next(iter(operations.values()))
        responses = operation["responses"]
        assert str(status) in responses, f"{status} is not documented for {method} {path}"
        response = self._opened(responses[str(status)])
        for name, header in response.get("headers", {}).items():
            required = self._opened(header).get("required", False)
            assert name.lower() in headers or not required, f"{name} is missing"
        content = response.get("content")
        if content is None:
            assert body == b""
            return
        assert headers["content-type"] == "application/json"
        schema = {
            "components": self.document["components"],
            **content["application/json"]["schema"],
        }
        OAS30Validator(schema, format_checker=oas30_format_checker).validate(json.loads(body))

    def _opened(self, value: dict[str, Any]) -> dict[str, Any]:
        if "$ref" not in value:
            return value
        *_, kind, name = value["$ref"].split("/")
        opened: dict[str, Any] = self.document["components"][kind][name]
        return opened
