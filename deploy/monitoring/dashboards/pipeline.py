"""Where is the time going?"""

from __future__ import annotations

from deploy.monitoring.dashboards.panels import Board, Query, areas, lines

W = '{instance=~"$instance"}'
_COUNT = f"sum by (stage) (rate(cutstream_stage_duration_seconds_count{W}[$__rate_interval]))"


def _rate(metric: str, by: str = "") -> str:
    return f"sum{f' by ({by}) ' if by else ''}(rate({metric}{W}[$__rate_interval]))"


PIPELINE = Board(
    "Pipeline",
    "Where is the time going?",
    (
        (
            areas(
                "Photos in each stage",
                "How many photos are in a stage on average: waiting for it, in work, or to be tried again. They gather "
                "at the bottleneck.",
                "short",
                Query(
                    f"sum by (stage) (avg_over_time(cutstream_stage_photos{W}[$__rate_interval]))",
                    "{{stage}}",
                ),
                width=12,
            ),
            areas(
                "Photos by state",
                "Photos that wait for a stage, are worked on, or pause until they are tried again because something is "
                "away. If `retrying` is above 0, Reliability says what is waited for.",
                "short",
                Query(f"sum by (state) (cutstream_stage_photos{W})", "{{state}}"),
                width=12,
            ),
        ),
        (
            lines(
                "Work of a stage, 95 %",
                "Time that a stage works on a photo, without waiting for the stage, for the 95th of 100. For `segment` "
                "it includes the wait for a batch. The stage whose time grows is the one to examine.",
                "s",
                Query(
                    "histogram_quantile(0.95, "
                    f"sum by (le, stage) (rate(cutstream_stage_duration_seconds_bucket{W}[$__rate_interval])))",
                    "{{stage}}",
                ),
            ),
            lines(
                "Wait for a stage, mean",
                "Time that a photo waits for a slot or for memory before the stage. Where it is longest, more "
                "processors help, or memory in front of `decode`.",
                "s",
                Query(f"{_rate('cutstream_stage_wait_seconds_total', 'stage')} / ({_COUNT} > 0)", "{{stage}}"),
            ),
            lines(
                "Saturation",
                "The used share of the window, and the share of time in which workers read nothing because it was "
                "full. Near 100 % the workers have all the work that they can do.",
                "percentunit",
                Query(f"sum(cutstream_in_flight{W}) / sum(cutstream_window_photos{W})", "window used"),
                Query(f"avg(rate(cutstream_paused_seconds_total{W}[$__rate_interval]))", "reading paused"),
                maximum=1,
            ),
        ),
        (
            lines(
                "Photos per call to Triton",
                "Mean size of the micro-batches. If it is 1 under load, raise the window or the batches' wait.",
                "short",
                Query(
                    f"{_rate('cutstream_batch_items_sum')} / ({_rate('cutstream_batch_items_count')} > 0)",
                    "photos per call",
                ),
            ),
            lines(
                "Call to Triton, 95 %",
                "Time of one call with the way there and back. Compare it with Triton's own times.",
                "s",
                Query(
                    "histogram_quantile(0.95, "
                    f"sum by (le, profile) (rate(cutstream_inference_duration_seconds_bucket{W}[$__rate_interval])))",
                    "{{profile}}",
                ),
            ),
            lines(
                "Results per transaction",
                "Mean number of results that are committed together. If it is 1 at high rates, raise the interval.",
                "short",
                Query(
                    f"{_rate('cutstream_commit_results_sum')} / ({_rate('cutstream_commit_results_count')} > 0)",
                    "results per transaction",
                ),
            ),
        ),
        (
            lines(
                "Bytes in and out",
                "Bytes of source files fetched, and of outputs stored. For capacity planning.",
                "Bps",
                Query(_rate("cutstream_source_bytes_total"), "fetched"),
                Query(_rate("cutstream_output_bytes_total", "output"), "stored: {{output}}"),
            ),
            lines(
                "Size of a source, mean",
                "Pixels of a source image. If it grows, each photo costs more: decoding, refining and encoding all do.",
                "pixel",
                Query(
                    f"{_rate('cutstream_source_pixels_total')} / (sum(rate(cutstream_stage_duration_seconds_count"
                    '{instance=~"$instance",stage="decode"}[$__rate_interval])) > 0)',
                    "pixels",
                ),
            ),
            lines(
                "Memory of decoded images",
                "Memory reserved for photos in flight. If it stays at the budget, photos wait for memory.",
                "bytes",
                Query(f"sum(cutstream_decoded_bytes{W})", "reserved"),
                Query(f"sum(cutstream_memory_budget_bytes{W})", "budget"),
            ),
        ),
        (
            lines(
                "Requests by profile",
                "Requests a second by the profile that found the subject. Without a name: refused unread.",
                "reqps",
                Query(_rate("cutstream_requests_total", "profile"), "{{profile}}"),
            ),
            lines(
                "Choices of auto",
                "Choices a second for requests of profile `auto`. If `backlog` or `deadline` grows, workers are "
                "too slow.",
                "reqps",
                Query(_rate("cutstream_auto_choices_total", "profile, reason"), "{{profile}}: {{reason}}"),
                empty="no request of profile auto",
            ),
            lines(
                "Cache of backgrounds",
                "Share of the look-ups that find the picture. If it is low although few backgrounds are in use, raise "
                "CUTSTREAM_WORKER__BACKGROUND_BYTES.",
                "percentunit",
                Query(
                    "sum by (kind) (rate(cutstream_background_lookups_total"
                    '{instance=~"$instance",outcome="hit"}[$__rate_interval])) '
                    f"/ ({_rate('cutstream_background_lookups_total', 'kind')} > 0)",
                    "{{kind}}",
                ),
                maximum=1,
                empty="no request with a background picture",
            ),
        ),
    ),
)
