"""What the process environment holds for a run: the key, and where caches go. Nothing else reads it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from fastinstruct.config.models import EndpointConfig, ModelConfig
from fastinstruct.config.requests import checked_body, checked_url
from fastinstruct.config.schema import RunConfig
from fastinstruct.errors import ConfigError

__all__ = [
    "api_key",
    "cache_folder",
    "let_rayon_use_one_thread",
    "let_threads_sleep",
    "process_environment",
    "refuse_secrets",
]

# What a variable is called; a key that somebody put in a name's place has dashes or small letters.
_VARIABLE_NAME = re.compile(r"[A-Z_][A-Z0-9_]{0,63}")


def process_environment() -> Mapping[str, str]:
    """Return the environment of this process."""
    return os.environ


def let_threads_sleep() -> None:
    """Let OpenMP's threads sleep where they wait for one another, unless the environment says how they should wait.

    Call it before a library that uses OpenMP is loaded: it reads this once. By default such threads spin, which burns
    the time slice that the one they wait for needs as soon as other programs are at work: see `lm.transports.embedded`.
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
        os.environ["OMP_WAIT_POLICY"] = "passive"


def let_rayon_use_one_thread() -> None:
    """Keep libraries that share their work out with Rayon to one thread, whatever the environment says.

    Call it before such a library is used: it reads this once. Where tools are compared, each has one thread.
    """
    os.environ["RAYON_NUM_THREADS"] = "1"


def api_key(model: ModelConfig | EndpointConfig, env: Mapping[str, str]) -> tuple[str | None, str]:
    """Return the key for a model's endpoint and the name of the variable it came from, or should come from.

    The variable that `model.api_key_env` names, else FASTINSTRUCT_API_KEY, else OPENAI_API_KEY; for Azure instead of
    the last AZURE_OPENAI_API_KEY, or AZURE_OPENAI_AD_TOKEN where a token signs in. A further endpoint gets only a key
    that is named for it.

    Raises:
        ConfigError: `model.api_key_env` names a variable that is not set.
    """
    if model.api_key_env is not None:
        if not env.get(model.api_key_env):
            place = "model" if isinstance(model, ModelConfig) else "model.endpoints"
            raise ConfigError(f"{place}.api_key_env: {_unset(model.api_key_env)}")
        return env[model.api_key_env], model.api_key_env
    if isinstance(model, EndpointConfig):
        return None, "api_key_env"
    names = _key_variables(model)
    return next(((env[name], name) for name in names if env.get(name)), (None, names[-1]))


def _key_variables(model: ModelConfig) -> tuple[str, ...]:
    """The variables that may hold the key, the first outranking the next; one for OpenAI is never sent to Azure."""
    if model.azure_api_version is None:
        return "FASTINSTRUCT_API_KEY", "OPENAI_API_KEY"
    return "FASTINSTRUCT_API_KEY", "AZURE_OPENAI_AD_TOKEN" if model.azure_auth == "token" else "AZURE_OPENAI_API_KEY"


def refuse_secrets(config: RunConfig, env: Mapping[str, str]) -> None:
    """Check that nothing that is stored with a run holds a secret, nor a key of its models under whatever name.

    Raises:
        ConfigError: where one stands, and where it belongs.
    """
    own = {f"{place}.model": settings.model for place, settings in config.places().items() if settings.model}
    for place, model in {"model": config.model, **own}.items():
        servers: list[ModelConfig | EndpointConfig] = [model, *model.endpoints]
        keys = [env[name] for server in servers for name in _may_hold_a_key(server) if env.get(name)]
        urls = {f"{place}.endpoints.{at}": further.base_url for at, further in enumerate(model.endpoints)}
        at = f"{place}.extra_body"
        try:
            checked_body(model.extra_body, keys)
            for server, url in {place: model.base_url, **urls}.items():
                at = f"{server}.base_url"
                if url is not None:
                    checked_url(url, keys)
        except ValueError as error:
            raise ConfigError(f"{at}: {error}") from None


def _may_hold_a_key(server: ModelConfig | EndpointConfig) -> tuple[str, ...]:
    if server.api_key_env is not None:
        return (server.api_key_env,)
    return _key_variables(server) if isinstance(server, ModelConfig) else ()


def cache_folder(env: Mapping[str, str]) -> Path:
    """Return where models and calibrations are cached: $XDG_CACHE_HOME/fastinstruct, by default under ~/.cache.

    A relative $XDG_CACHE_HOME is ignored, as its specification asks.

    Raises:
        ConfigError: nothing says where the user's home is.
    """
    base = Path(env.get("XDG_CACHE_HOME") or ".")
    if base.is_absolute():
        return base / "fastinstruct"
    try:
        return Path.home() / ".cache" / "fastinstruct"
    except RuntimeError as error:
        raise ConfigError("XDG_CACHE_HOME: there is no home folder to cache under; set it to a full path") from error


def _unset(name: str) -> str:
    if _VARIABLE_NAME.fullmatch(name):
        return f"the variable {name} is not set; export it"
    return "must be the name of an environment variable that holds the key, and the variable it names is not set"
