"""`headwater.yaml`."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from headwater.spec._base import Duration, Resource, Size, Strings

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


class PasswordConfig(Resource):
    """What is asked of people's passwords."""

    min_length: int = Field(12, ge=8, le=128)
    breach_list: str | None = None
    rotate_after: Duration | None = None
    lockout_after: int = Field(5, ge=1, le=100)
    lockout: Duration = timedelta(minutes=1)
    lockout_max: Duration = timedelta(hours=1)


#: Signatures by a private key of the provider's. Nothing that is made with a key both sides know, nor `none`, can be allowed.
OidcAlgorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]


class OidcConfig(Resource):
    """One OpenID Connect provider whose tokens are taken. `issuer` and `audience` may hold references; they are resolved when first needed."""

    issuer: str
    audience: Strings
    name_claim: str = "email"
    groups_claim: str = "groups"
    groups: dict[str, Strings] = Field(default_factory=dict)
    algorithms: tuple[OidcAlgorithm, ...] = ("RS256", "ES256")
    leeway: Duration = timedelta(seconds=30)


class KeysConfig(Resource):
    """Where the keys are. `provider` is `file`, `env`, or one that an installed package brings, which is given `options`."""

    provider: str = "file"
    keyring: str = ".headwater/keys/keyring.json"
    file: str = ".headwater/keys/master"
    variable: str = "HEADWATER_MASTER_KEY"
    options: dict[str, Any] = Field(default_factory=dict)


class VaultConfig(Resource):
    """A server that speaks the HTTP of Vault's key-value store, version 2. All but `address` may hold `${env:..}` and `${file:..}`."""

    address: str
    mount: str = "secret"
    token: str = "${env:VAULT_TOKEN}"
    namespace: str | None = None
    #: A PEM file of the authorities that its certificate may come from.
    ca: str | None = None
    timeout: Duration = timedelta(seconds=10)


class AgeConfig(Resource):
    """A file of names and values that is encrypted with age. `identity` is what opens it: `${env:..}` or `${file:..}`."""

    file: str = "secrets.age"
    identity: str = "${env:HEADWATER_AGE_IDENTITY}"


#: Where `${secret:NAME}` is looked for.
SecretProvider = Literal["file", "keyring", "vault", "age"]


class SecretsConfig(Resource):
    """Where `${secret:NAME}` is looked for, in this order, after the variable HEADWATER_SECRET_NAME."""

    providers: tuple[SecretProvider, ...] = ("file", "keyring")
    file: str = ".headwater/secrets.json"
    vault: VaultConfig | None = None
    age: AgeConfig = AgeConfig()

    @model_validator(mode="after")
    def _agrees(self) -> SecretsConfig:
        if "vault" in self.providers and self.vault is None:
            raise ValueError("the provider vault has no address; expected vault: {address: https://..}")
        return self


class SecurityConfig(Resource):
    """How people and programs say who they are, and where keys and secrets are kept."""

    passwords: PasswordConfig = PasswordConfig()
    oidc: dict[str, OidcConfig] = Field(default_factory=dict)
    keys: KeysConfig = KeysConfig()
    secrets: SecretsConfig = SecretsConfig()


class ServeLimits(Resource):
    """What one server takes and gives at most."""

    #: Bytes of a request's body, and characters of a statement.
    body: int = Field(2**20, ge=1024, le=2**30)
    time: Duration = timedelta(minutes=5)
    idle: Duration = timedelta(minutes=1)
    #: Queries at once, at each door.
    queries: int = Field(32, ge=1, le=10_000)
    #: Connections of HTTP at once.
    connections: int = Field(1000, ge=1, le=100_000)
    #: Rows of a page of `GET /v1/tables/..`.
    page: int = Field(10_000, ge=1, le=1_000_000)


class HotConfig(Resource):
    """How much of the tables marked `hot` one server keeps in memory."""

    #: Bytes, of all of them together; on top of what queries take, within the engine's `memory_limit`.
    memory: Annotated[Size, Field(ge=0)] = 10**9


class ServeConfig(Resource):
    """How `headwater serve` opens its doors. A port that is null leaves its door shut; 0 takes any that is free."""

    host: str = "127.0.0.1"
    http_port: int | None = Field(8080, ge=0, le=65535)
    flight_port: int | None = Field(8815, ge=0, le=65535)
    pg_port: int | None = Field(5433, ge=0, le=65535)
    #: `auto` is on, but for a host that is this machine alone.
    tls: Literal["auto", "always", "never"] = "auto"
    certificate: str | None = None
    key: str | None = None
    names: Strings = ()
    limits: ServeLimits = ServeLimits()
    hot: HotConfig = HotConfig()


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
    security: SecurityConfig = SecurityConfig()
    serve: ServeConfig = ServeConfig()
