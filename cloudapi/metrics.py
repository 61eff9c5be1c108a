"""The service's own counters, in Prometheus text format. Labels are route templates, never paths: few and known."""

from bisect import bisect_left
from collections import defaultdict

BUCKETS_S = (0.001, 0.005, 0.02, 0.1, 0.5, 2.0)


class Metrics:
    """Counts since the process started."""

    def __init__(self) -> None:
        self.requests: dict[tuple[str, str, int], int] = defaultdict(int)
        self.bucket_counts = [0] * (len(BUCKETS_S) + 1)
        self.duration_sum_s = 0.0

    def note_request(self, method: str, route: str, status: int, duration_s: float | None) -> None:
        """One answered request; duration None where the router refused it before any work."""
        self.requests[method, route, status] += 1
        if duration_s is None:
            return
        self.duration_sum_s += duration_s
        self.bucket_counts[bisect_left(BUCKETS_S, duration_s)] += 1

    def render(self, gauges: dict[str, float], counters: dict[str, float], landed: dict[str, int]) -> str:
        """The page a scraper reads."""
        lines = ["# TYPE oddsd_http_requests_total counter"]
        for (method, route, status), count in sorted(self.requests.items()):
            lines.append(f'oddsd_http_requests_total{{method="{method}",route="{route}",status="{status}"}} {count}')
        lines += self._render_durations()
        lines.append("# TYPE oddsd_landed_rows_total counter")
        lines += [f'oddsd_landed_rows_total{{kind="{kind}"}} {count}' for kind, count in sorted(landed.items())]
        for kind, values in (("counter", counters), ("gauge", gauges)):
            for name, value in values.items():
                lines += [f"# TYPE oddsd_{name} {kind}", f"oddsd_{name} {value:g}"]
        return "\n".join(lines) + "\n"

    def _render_durations(self) -> list[str]:
        lines = ["# TYPE oddsd_http_request_seconds histogram"]
        running = 0
        for bound, count in zip((*map(str, BUCKETS_S), "+Inf"), self.bucket_counts, strict=True):
            running += count
            lines.append(f'oddsd_http_request_seconds_bucket{{le="{bound}"}} {running}')
        lines.append(f"oddsd_http_request_seconds_sum {self.duration_sum_s:g}")
        lines.append(f"oddsd_http_request_seconds_count {running}")
        return lines
