"""What does it take, and what does it cost?"""

from __future__ import annotations

from deploy.monitoring.dashboards.panels import Board, Query, bars, lines, number, text

W = '{instance=~"$instance"}'
_WORKERS = '{job="cutstream",instance=~"$instance"}'  # gateways have this metric, too
_OK = 'sum(rate(cutstream_requests_total{instance=~"$instance",status="ok"}[$__rate_interval]))'
_CPU = 'rate(process_cpu_seconds_total{job="cutstream",instance=~"$instance"}[$__rate_interval])'

CAPACITY = Board(
    "Capacity",
    "What does it take, and what does it cost?",
    (
        (
            number(
                "Workers",
                "Workers that Prometheus reads.",
                "none",
                f"count(cutstream_build_info{_WORKERS})",
                decimals=0,
            ),
            number(
                "Images per worker",
                "Images a second that a worker finishes, on average.",
                "reqps",
                f"{_OK} / count(cutstream_build_info{_WORKERS})",
            ),
            number(
                "Cost of 1,000 images",
                "What 1,000 images cost at the present rate, from the price of a worker's hour above. Include in the "
                "price what Triton and Kafka cost. It is high while there is little work.",
                "currencyUSD",
                f"$price / 3600 * count(cutstream_build_info{_WORKERS}) / ({_OK} > 0) * 1000",
                empty="no work",
            ),
            number(
                "Processor time of an image",
                "Processor seconds of the workers' main processes for each image, without decoders and Triton.",
                "s",
                f"sum({_CPU}) / ({_OK} > 0)",
                empty="no work",
            ),
            number(
                "Saturation",
                "Share of time in which workers read nothing because their window was full. Near 100 % more work needs "
                "more workers.",
                "percentunit",
                f"avg(rate(cutstream_paused_seconds_total{W}[$__rate_interval]))",
                maximum=1,
            ),
            number(
                "Partitions",
                "Partitions that workers have. More workers than partitions of a topic have nothing to do.",
                "none",
                f"sum(cutstream_assigned_partitions{W})",
                decimals=0,
            ),
        ),
        (
            lines(
                "Images by worker",
                "Images a second that each worker finishes. If one is slower, compare its processor and its device.",
                "reqps",
                Query(
                    'sum by (instance) (rate(cutstream_requests_total{instance=~"$instance",status="ok"}'
                    "[$__rate_interval]))",
                    "{{instance}}",
                ),
            ),
            lines(
                "Saturation by worker",
                "Share of time in which a worker read nothing because its window was full.",
                "percentunit",
                Query(f"rate(cutstream_paused_seconds_total{W}[$__rate_interval])", "{{instance}}"),
                maximum=1,
            ),
            lines(
                "Partitions by worker",
                "Partitions that each worker has. A worker with none is idle.",
                "short",
                Query(f"cutstream_assigned_partitions{W}", "{{instance}}"),
                decimals=0,
            ),
        ),
        (
            lines(
                "Processors in use by worker",
                "Processors that each worker's main process uses, without its decoders.",
                "short",
                Query(_CPU, "{{instance}}"),
            ),
            lines(
                "Memory by worker",
                "Resident memory of each worker's main process. It should not grow for hours under an even load.",
                "bytes",
                Query('process_resident_memory_bytes{job="cutstream",instance=~"$instance"}', "{{instance}}"),
            ),
            lines(
                "Memory budget in use",
                "Share of the budget for decoded images that is reserved. At 100 % photos wait for memory.",
                "percentunit",
                Query(f"cutstream_decoded_bytes{W} / cutstream_memory_budget_bytes{W}", "{{instance}}"),
                maximum=1,
                steps=((0.9, "orange"),),
            ),
        ),
        (
            bars(
                "Engines, precisions and devices",
                "How many workers have which engine, precision and device. They should be alike.",
                "none",
                Query(
                    f"count by (engine, precision, device) (cutstream_worker_info{W})",
                    "{{engine}}, {{precision}}, {{device}}",
                ),
                decimals=0,
            ),
            bars(
                "Releases",
                "How many workers have which release. Several are normal only while a release is rolled out.",
                "none",
                Query(f"count by (version, python) (cutstream_build_info{_WORKERS})", "{{version}}, Python {{python}}"),
                decimals=0,
            ),
            lines(
                "Memory of the GPU",
                "Memory of the workers' GPUs, of all processes. Near the total, lower CUTSTREAM_WORKER__WINDOW.",
                "bytes",
                Query(f"cutstream_device_memory_bytes{W}", "{{instance}}: {{kind}}"),
                empty="no GPU",
                gpu=True,
            ),
        ),
    ),
    (text("price", "Price of a worker's hour", "0.20"),),
)
