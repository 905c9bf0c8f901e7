"""What the tokens of a run's models cost: from the configuration's table, else from the one that genai-prices carries.

The embedded model costs nothing. genai-prices (extra `prices`) is loaded only where a model stands in no table; it
knows a model by the address that serves it, so a name alone never takes another provider's price.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from fastinstruct.config import PriceConfig, RunConfig
from fastinstruct.errors import ConfigError
from fastinstruct.pipeline.budget.ledger import Price, dollars, picodollars

__all__ = ["described", "find_prices"]

_MILLION = 1_000_000
_TYPICAL_TOKENS = 16_000  # some prices rise with the prompt's length; ours are shorter than this


def find_prices(config: RunConfig, stages: Sequence[str]) -> dict[str, Price | None]:
    """Return the price of each of these stages; None where it is unknown. May import a package: call it off the loop.

    Raises:
        ConfigError: `budget.max_cost` is set and the price of a model is unknown.
    """
    prices: dict[str, Price | None] = {}
    for stage in stages:
        model = config.model_of(stage)
        prices[stage] = Price() if model.base_url is None else _price(config, model.base_url, str(model.name))
        if prices[stage] is None and config.budget.max_cost is not None:
            raise ConfigError(
                f"budget.max_cost: no price is known for the model {model.name}; set prices to "
                f"{{{model.name}: {{input: ..., output: ...}}}}, in dollars per million tokens"
                f"{_or_install()}"
            )
    return prices


def described(prices: Mapping[str, Price | None], config: RunConfig) -> list[str]:
    """Say what each model that costs something costs, in dollars per million tokens, one line a model."""
    lines: dict[str, None] = {}
    for stage, price in prices.items():
        if price is not None and price != Price():
            figures = [f"{dollars(price.input * _MILLION):g} in", f"{dollars(price.output * _MILLION):g} out"]
            if price.cached_input != price.input:
                figures.insert(1, f"{dollars(price.cached_input * _MILLION):g} from the cache")
            if price.request:
                figures.append(f"{dollars(price.request):g} a request")
            name = config.model_of(stage).name
            lines[f"{name} costs {', '.join(figures)}: dollars per million tokens, {price.source}"] = None
    return list(lines)


def _price(config: RunConfig, base_url: str, name: str) -> Price | None:
    return _from_table(config.prices[name]) if name in config.prices else _published(name, base_url)


def _from_table(price: PriceConfig) -> Price:
    cached_input = price.input if price.cached_input is None else price.cached_input
    return Price(
        input=picodollars(price.input, _MILLION),
        cached_input=picodollars(cached_input, _MILLION),
        output=picodollars(price.output, _MILLION),
        source="as configured",
    )


def _published(name: str, base_url: str) -> Price | None:
    """The price that genai-prices has for this model at this address; the highest of a day's, where hours matter."""
    try:
        from genai_prices import Usage, __version__, calc_price
    except ImportError:
        return None
    fresh = Usage(input_tokens=_TYPICAL_TOKENS, output_tokens=_TYPICAL_TOKENS)
    cached = Usage(input_tokens=_TYPICAL_TOKENS, cache_read_tokens=_TYPICAL_TOKENS)
    now = datetime.now(UTC)
    hours = [now + timedelta(hours=hour) for hour in range(24)]
    try:
        full = [calc_price(fresh, name, provider_api_url=base_url, genai_request_timestamp=hour) for hour in hours]
        less = [calc_price(cached, name, provider_api_url=base_url, genai_request_timestamp=hour) for hour in hours]
    except (LookupError, ValueError):
        return None
    return Price(
        input=max(picodollars(each.input_price, _TYPICAL_TOKENS) for each in full),
        cached_input=max(picodollars(each.input_price, _TYPICAL_TOKENS) for each in less),
        output=max(picodollars(each.output_price, _TYPICAL_TOKENS) for each in full),
        request=max(picodollars(each.total_price - each.input_price - each.output_price) for each in full),
        source=f"from genai-prices {__version__}",
    )


def _or_install() -> str:
    from importlib.util import find_spec

    return "" if find_spec("genai_prices") else ", or pip install 'fastinstruct[prices]'"
