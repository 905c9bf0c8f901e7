"""Where a price comes from, what a run says that has a budget in dollars and no price, and what a price is."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from types import ModuleType, SimpleNamespace

import pytest

from fastinstruct.config import load_config
from fastinstruct.errors import ConfigError
from fastinstruct.pipeline.budget.ledger import Price
from fastinstruct.pipeline.budget.prices import described, find_prices
from run_stages import STAGES

OPENAI = {"model.base_url": "https://api.openai.com/v1", "model.name": "gpt-5-mini"}
LOCAL = {"model.base_url": "http://127.0.0.1:8000/v1", "model.name": "m"}


def found(flags: Mapping[str, object]) -> dict[str, Price | None]:
    return find_prices(load_config(flags=flags), STAGES)


@pytest.fixture
def no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "genai_prices", None)


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that knows one model at one address, dearer between 12 and 13 o'clock, with a fee for each request."""
    module = ModuleType("genai_prices")

    def calc_price(
        usage: SimpleNamespace, model_ref: str, *, provider_api_url: str, genai_request_timestamp: datetime
    ) -> SimpleNamespace:
        if (model_ref, provider_api_url) != ("gpt-5-mini", "https://api.openai.com/v1"):
            raise LookupError(model_ref)
        factor = 2 if genai_request_timestamp.hour == 12 else 1
        cached = getattr(usage, "cache_read_tokens", 0)
        input_price = Decimal(usage.input_tokens - cached) * factor / 4_000_000 + Decimal(cached) / 40_000_000
        output_price = Decimal(getattr(usage, "output_tokens", 0)) * factor / 500_000
        total = input_price + output_price + Decimal("0.01")
        return SimpleNamespace(input_price=input_price, output_price=output_price, total_price=total)

    module.calc_price = calc_price  # type: ignore[attr-defined]  # a module made here
    module.Usage = SimpleNamespace  # type: ignore[attr-defined]  # as above
    module.__version__ = "9.9"  # type: ignore[attr-defined]  # as above
    monkeypatch.setitem(sys.modules, "genai_prices", module)


@pytest.mark.usefixtures("package")
def test_the_configurations_table_outranks_the_package() -> None:
    prices = found({**OPENAI, "prices": {"gpt-5-mini": {"input": 3, "output": 5.5}}})
    assert set(prices.values()) == {Price(input=3_000_000, cached_input=3_000_000, output=5_500_000)}
    cached = found({**OPENAI, "prices": {"gpt-5-mini": {"input": 3, "output": 5.5, "cached_input": 0.3}}})
    assert cached["instances"] == Price(input=3_000_000, cached_input=300_000, output=5_500_000)


@pytest.mark.usefixtures("package")
def test_the_package_tells_the_highest_price_of_the_day_for_a_model_at_its_address() -> None:
    prices = found({**OPENAI, "budget.max_cost": 1})
    assert prices["instructions"] == Price(input=500_000, cached_input=25_000, output=4_000_000, request=10_000_000_000)


@pytest.mark.usefixtures("package")
def test_a_name_alone_never_takes_another_providers_price() -> None:
    assert found({**OPENAI, "model.base_url": "http://127.0.0.1:8000/v1"})["instructions"] is None


@pytest.mark.usefixtures("no_package")
def test_a_budget_in_dollars_without_a_price_is_refused_with_what_to_do() -> None:
    with pytest.raises(ConfigError) as caught:
        found({**LOCAL, "budget.max_cost": 5})
    assert str(caught.value) == (
        "budget.max_cost: no price is known for the model m; set prices to {m: {input: ..., output: ...}}, in dollars "
        "per million tokens, or pip install 'fastinstruct[prices]'"
    )
    assert set(found(LOCAL).values()) == {None}


@pytest.mark.usefixtures("no_package")
def test_each_stage_has_the_price_of_its_own_model() -> None:
    flags = {
        **LOCAL,
        "instances.model": {"base_url": "http://127.0.0.1:9000/v1", "name": "large"},
        "prices": {"m": {"input": 1, "output": 1}, "large": {"input": 2, "output": 2}},
    }
    prices = found(flags)
    assert prices["instances"] == Price(input=2_000_000, cached_input=2_000_000, output=2_000_000)
    assert prices["instructions"] == prices["classification"] != prices["instances"]
    with pytest.raises(ConfigError, match="no price is known for the model large"):
        found({**flags, "prices": {"m": {"input": 1, "output": 1}}, "budget.max_cost": 1})


@pytest.mark.usefixtures("no_package")
def test_the_embedded_model_costs_nothing() -> None:
    config = load_config(flags={"budget.max_cost": 1})
    assert set(find_prices(config, STAGES).values()) == {Price()}


@pytest.mark.usefixtures("package")
def test_what_a_model_costs_is_said_once_with_where_it_is_from() -> None:
    config = load_config(flags=OPENAI)
    (line,) = described(find_prices(config, STAGES), config)
    assert line == (
        "gpt-5-mini costs 0.5 in, 0.025 from the cache, 4 out, 0.01 a request: dollars per million tokens, "
        "from genai-prices 9.9"
    )
    assert described(dict.fromkeys(STAGES), config) == []


def test_the_real_package_knows_openais_models_at_openais_address() -> None:
    pytest.importorskip("genai_prices")
    price = found(OPENAI)["instructions"]
    assert price is not None
    assert 0 < price.cached_input < price.input < price.output
    assert price.source.startswith("from genai-prices ")
