"""`headwater.yaml`."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from headwater.spec._base import Resource

#: The environment without `--env`: the settings at the top of `headwater.yaml`, unless `environments:` has one of this name.
DEFAULT_ENVIRONMENT = "local"


class LakeConfig(Resource):
    """Where the lake is. References `${..}` stay unresolved until connecting; relative paths are the project's."""

    catalog: str = ".headwater/lake.sqlite"
    data: str = ".headwater/data"
    encrypted: bool = False
    #: Options of an S3-compatible store: endpoint, region, key_id, secret, use_ssl, url_style.
    s3: dict[str, Any] = Field(default_factory=dict)


class EnvironmentConfig(Resource):
    """What differs in one environment; what isn't given is the project's."""

    lake: LakeConfig | None = None
    state: str | None = None
    vars: dict[str, str | int | float | bool] = Field(default_factory=dict)


class ProjectConfig(Resource):
    """`headwater.yaml` (merged with `headwater.local.yaml`)."""

    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$")
    timezone: str = "UTC"
    lake: LakeConfig = LakeConfig()
    state: str = ".headwater/state.sqlite"
    vars: dict[str, str | int | float | bool] = Field(default_factory=dict)
    environments: dict[str, EnvironmentConfig] = Field(default_factory=dict)
    default_environment: str = DEFAULT_ENVIRONMENT
    threads: int | None = Field(None, ge=1, le=256)
    memory_limit: str | None = None
