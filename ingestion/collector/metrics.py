"""What a worker counts, as Prometheus reads it.

No label ever holds an identifier, a key or a path as sent."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_COMMIT_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)


class Metrics:
    """The counters of one worker. Each worker answers with its own, told apart by the label `worker`."""

    def __init__(self, worker: str) -> None:
        self._registry = CollectorRegistry()
        constant = {"worker": worker}
        self._requests = Counter(
            "cdp_collector_requests",
            "Requests answered, by route and status.",
            ("worker", "route", "status"),
            registry=self._registry,
        )
        self._messages = Counter(
            "cdp_collector_messages",
            "Messages made durable, by wire format.",
            ("worker", "wire"),
            registry=self._registry,
        )
        self.queued = Gauge(
            "cdp_collector_queued_bytes",
            "Bytes that wait to be written.",
            ("worker",),
            registry=self._registry,
        ).labels(**constant)
        self.commit_seconds = Histogram(
            "cdp_collector_commit_seconds",
            "Time of one group commit, in seconds.",
            ("worker",),
            buckets=_COMMIT_SECONDS,
            registry=self._registry,
        ).labels(**constant)
        self._worker = worker
        # finding a counter by its labels costs more than counting
        self._by_answer: dict[tuple[str, int], Counter] = {}
        self._by_wire: dict[str, Counter] = {}

    def answered(self, route: str, status: int) -> None:
        """Count a request; `route` is one of the names that the routes have here."""
        counter = self._by_answer.get((route, status))
        if counter is None:
            counter = self._requests.labels(self._worker, route, str(status))
            self._by_answer[route, status] = counter
        counter.inc()

    def appended(self, wire: str, count: int) -> None:
        """Count messages that are on the disk."""
        counter = self._by_wire.get(wire)
        if counter is None:
            counter = self._by_wire[wire] = self._messages.labels(self._worker, wire)
        counter.inc(count)

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self._registry)
