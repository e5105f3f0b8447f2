"""Clients as a partner would generate them from CAMARA's own files, which nobody here may touch."""

import importlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

#: CAMARA's files as published, releases r3.2 of both APIs.
ORIGINALS = Path(__file__).parents[1] / "partner" / "camara"


@contextmanager
def generated(name: str, directory: Path) -> Iterator[ModuleType]:
    """The client of the file of that name, as a package."""
    package = name.replace("-", "_") + "_client"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none"),
            *("--path", str(ORIGINALS / f"{name}.yaml")),
            *("--output-path", str(directory / package)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    sys.path.insert(0, str(directory))
    try:
        yield importlib.import_module(package)
    finally:
        sys.path.remove(str(directory))


class Client:
    """Its operations by name, for one who has a key."""

    def __init__(self, package: ModuleType, url: str, token: str) -> None:
        self._package = package.__name__
        self._client = package.AuthenticatedClient(base_url=url, token=token)

    def __enter__(self) -> "Client":
        self._client.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._client.__exit__(*error)

    def call(self, name: str, *ids: str, **given: Any) -> Any:
        """The generated function of that name below `api`; all that it found in the answer."""
        operation = importlib.import_module(f"{self._package}.api.{name}")
        return operation.sync_detailed(*ids, client=self._client, **given)

    def model(self, name: str, document: dict[str, Any]) -> Any:
        """The document as the generated class of that name."""
        models = importlib.import_module(f"{self._package}.models")
        return getattr(models, name).from_dict(document)
