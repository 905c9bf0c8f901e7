"""Ask an endpoint one cheap question before a run depends on it."""

from __future__ import annotations

from fastinstruct.escaping import package_logger
from fastinstruct.lm import Fatal, HttpTransport, fatal_error, unreachable_error

__all__ = ["probe"]

_LOG = package_logger("fastinstruct.pipeline")


async def probe(transport: HttpTransport) -> list[str]:
    """Return the models that the endpoint lists; empty where it lists none.

    A model that is not listed is only worth a warning: aliases often are not, and the first request will tell.

    Raises:
        EndpointError: no connection, a refused key, or an answer that is no OpenAI-compatible endpoint's.
    """
    endpoint = transport.endpoint
    found = await transport.probe()
    if isinstance(found, Fatal):
        raise fatal_error(found)
    if not isinstance(found, list):
        raise unreachable_error(found, endpoint.address)
    if found and endpoint.model not in found:
        listed = ", ".join(found[:5]) + (", …" if len(found) > 5 else "")
        _LOG.warning("%s does not list the model %s; it lists %s", endpoint.address, endpoint.model, listed)
    return found
