"""What the controllers come to against whole servers, in virtual time: goodput, refusals, busy slots, queues."""

from __future__ import annotations

import math
import random

import pytest

from fastinstruct.lm.limits.concurrency import Aimd, QueueAware
from fastinstruct.lm.outcomes.outcomes import Outcome, Transient
from simulated_server import (
    Client,
    Job,
    Latency,
    PlacesServer,
    QueueServer,
    Timeline,
    TokenBucketServer,
    fixed,
    goodput,
    log_normal,
    poll,
    refused_share,
)

SIGMA = 0.8


def latency_of(median_s: float, kind: str, rng: random.Random) -> Latency:
    return fixed(median_s) if kind == "fixed" else log_normal(median_s, SIGMA, rng)


def token_bucket(
    rate: float, median_s: float, kind: str, seed: int, *, burst_s: float = 1.0, maximum: int = 8000
) -> tuple[Timeline, TokenBucketServer, Client]:
    """A server with at least ten requests' burst, which tells when to come back in every second case."""
    rng = random.Random(f"{rate} {median_s} {kind} {seed}")
    timeline = Timeline()
    burst = max(10.0, rate * burst_s)
    server = TokenBucketServer(rate, burst, latency_of(median_s, kind, rng), hints=seed % 2 == 0)
    return timeline, server, Client(timeline, server, Aimd(maximum=maximum), rng)


# ------------------------------------------------------------------------------------------------- G14: a limit on rate


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("kind", ["fixed", "log-normal"])
@pytest.mark.parametrize(
    ("rate", "median_s", "seconds", "most_refused"),
    [
        (5, 0.5, 300, 0.03),
        (5, 4, 300, 0.03),
        (50, 0.2, 180, 0.01),
        (50, 1, 180, 0.01),
        (50, 4, 180, 0.01),
        (500, 1, 100, 0.01),
    ],
)
def test_g14_aimd_reaches_a_rate_limit_and_is_hardly_refused(
    rate: float, median_s: float, seconds: float, most_refused: float, kind: str, seed: int
) -> None:
    timeline, _, client = token_bucket(rate, median_s, kind, seed)
    timeline.run(seconds + 10 * median_s)
    assert goodput(client.answers, 60.0, seconds) >= 0.95 * rate
    assert refused_share(client.answers, 60.0, seconds) <= most_refused
    assert client.num_given_up == 0


def test_g14_holds_for_two_thousand_requests_in_flight() -> None:
    timeline, _, client = token_bucket(500, 4, "log-normal", 0)
    timeline.run(110.0)
    assert goodput(client.answers, 60.0, 80.0) >= 0.95 * 500
    assert refused_share(client.answers, 60.0, 100.0) <= 0.01
    assert max(client.num_in_flight, 2000) < 4000


@pytest.mark.parametrize("factor", [0.5, 2.0])
@pytest.mark.parametrize("kind", ["fixed", "log-normal"])
@pytest.mark.parametrize(("rate", "median_s"), [(5, 0.5), (5, 2), (5, 4), (50, 0.2), (50, 1), (50, 4), (500, 0.5)])
def test_g14_a_rate_that_doubles_or_halves_is_found_within_thirty_seconds(
    rate: float, median_s: float, kind: str, factor: float
) -> None:
    timeline, server, client = token_bucket(rate, median_s, kind, 1)
    timeline.at(45.0, lambda: server.change_rate(factor))
    timeline.run(95.0 + 5 * median_s)
    assert goodput(client.answers, 75.0, 95.0) >= 0.9 * rate * factor


@pytest.mark.parametrize(("rate", "burst_s"), [(50, 0.2), (300, 0.05)])
def test_paced_starts_reach_ninety_percent_even_where_bursts_are_hardly_borne(rate: float, burst_s: float) -> None:
    timeline, _, client = token_bucket(rate, 1, "log-normal", 0, burst_s=burst_s)
    timeline.run(160.0)
    assert goodput(client.answers, 60.0, 150.0) >= 0.9 * rate
    assert refused_share(client.answers, 60.0, 150.0) <= 0.01


@pytest.mark.parametrize("kind", ["fixed", "log-normal"])
@pytest.mark.parametrize(("rate", "median_s"), [(1 / 6, 0.5), (1 / 6, 2), (1, 0.5), (1, 8)])
def test_slow_free_tiers_are_used_up_with_less_than_one_request_in_flight(
    rate: float, median_s: float, kind: str
) -> None:
    timeline, _, client = token_bucket(rate, median_s, kind, 0)
    timeline.run(2000.0)
    assert goodput(client.answers, 300.0, 1900.0) >= 0.95 * rate
    assert refused_share(client.answers, 300.0, 1900.0) <= 0.15  # one probe a minute


def test_a_server_that_also_fails_now_and_then_is_still_used_up() -> None:
    class Failing(TokenBucketServer):
        def send(self, job: Job, now: float) -> tuple[float, Outcome]:
            latency_s, outcome = super().send(job, now)
            return latency_s, Transient("server", "500") if rng.random() < 0.03 else outcome

    rng = random.Random(3)
    timeline = Timeline()
    client = Client(timeline, Failing(50, 50, log_normal(1, SIGMA, rng)), Aimd(maximum=4000), rng)
    timeline.run(180.0)
    assert goodput(client.answers, 60.0, 170.0) >= 0.95 * 0.97 * 50


@pytest.mark.parametrize("num_places", [8, 64, 256])
def test_a_limit_on_requests_at_once_is_used_to_ninety_percent(num_places: int) -> None:
    rng = random.Random(num_places)
    timeline = Timeline()
    client = Client(timeline, PlacesServer(num_places, log_normal(1, SIGMA, rng)), Aimd(maximum=4000), rng)
    timeline.run(200.0)
    mean_s = math.exp(SIGMA**2 / 2)
    assert goodput(client.answers, 60.0, 190.0) >= 0.9 * num_places / mean_s
    assert refused_share(client.answers, 60.0, 190.0) <= 0.02


def test_the_same_traffic_gives_the_same_limits() -> None:
    ends = []
    for _ in range(2):
        timeline, _, client = token_bucket(50, 1, "log-normal", 7)
        timeline.run(60.0)
        ends.append((len(client.answers), client.controller.statistics(60.0)))
    assert ends[0] == ends[1]


# ------------------------------------------------------------------------------------------------ G15: a server's queue


@pytest.mark.parametrize("kind", ["fixed", "log-normal"])
@pytest.mark.parametrize(("median_s", "seconds"), [(0.2, 40), (1, 60), (10, 120)])
def test_g15_256_slots_are_found_in_seconds_and_kept_busy_with_a_short_queue(
    median_s: float, seconds: float, kind: str
) -> None:
    rng = random.Random(1)
    timeline = Timeline()
    server = QueueServer(256, latency_of(median_s, kind, rng))
    controller = QueueAware(maximum=4000)
    client = Client(timeline, server, controller, rng)
    poll(client, server, controller)
    samples: list[tuple[float, int, int]] = []
    timeline.every(0.037, lambda: samples.append((timeline.now, *server.queue(timeline.now))))
    timeline.run(seconds)
    assert next(now for now, running, _ in samples if running == 256) < 6.0
    steady = [(running, waiting) for now, running, waiting in samples if now > 20.0]
    assert sum(running for running, _ in steady) / len(steady) >= 0.99 * 256
    assert sum(waiting for _, waiting in steady) / len(steady) <= 0.06 * 256
    assert sum(waiting for _, waiting in steady) / sum(running for running, _ in steady) <= 0.10


@pytest.mark.parametrize("num_slots", [1, 8])
def test_a_small_server_has_one_request_waiting(num_slots: int) -> None:
    rng = random.Random(2)
    timeline = Timeline()
    server = QueueServer(num_slots, log_normal(2, SIGMA, rng))
    controller = QueueAware(maximum=64)
    poll(Client(timeline, server, controller, rng), server, controller)
    timeline.run(120.0)
    assert controller.limit(120.0) in {num_slots + 1, num_slots + 2}
    assert server.queue(120.0)[0] == num_slots


def test_a_second_client_gets_in_and_the_queue_stays_short() -> None:
    rng = random.Random(4)
    timeline = Timeline()
    server = QueueServer(256, log_normal(1, SIGMA, rng))
    clients = []
    for start in (0.0, 30.0):
        controller = QueueAware(maximum=4000)

        def begin(controller: QueueAware = controller) -> None:
            client = Client(timeline, server, controller, rng)
            poll(client, server, controller)
            clients.append(client)

        timeline.at(start, begin)
    samples: list[tuple[int, int]] = []
    timeline.at(60.0, lambda: timeline.every(0.1, lambda: samples.append(server.queue(timeline.now))))
    timeline.run(120.0)
    assert sum(running for running, _ in samples) / len(samples) >= 0.99 * 256
    assert sum(waiting for _, waiting in samples) / len(samples) <= 0.15 * 256
    assert min(client.num_in_flight for client in clients) > 20
