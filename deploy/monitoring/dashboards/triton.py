"""Does Triton wait or compute? From Triton's own metrics; an ensemble's times are those of its steps together."""

from __future__ import annotations

from deploy.monitoring.dashboards.panels import Board, Query, choice, lines, number

M = '{model=~"$model"}'
_DONE = f"(sum by (model) (rate(nv_inference_request_success{M}[$__rate_interval])) > 0)"
_PARTS = [f"nv_inference_{part}_duration_us" for part in ("queue", "compute_input", "compute_infer", "compute_output")]


def _all(metric: str) -> str:
    return f"sum(rate({metric}{M}[$__rate_interval]))"


def _per_request(metric: str) -> Query:
    """A mean time in seconds of each model. Triton counts microseconds."""
    return Query(f"sum by (model) (rate({metric}{M}[$__rate_interval])) / {_DONE} / 1e6", "{{model}}")


TRITON = Board(
    "Triton",
    "Does Triton wait or compute?",
    (
        (
            number(
                "Images",
                "Images a second through the models, ensembles and their steps counted apart.",
                "reqps",
                _all("nv_inference_count"),
                width=6,
            ),
            number(
                "Share of time in the queue",
                "Part of the models' time that requests wait in Triton's queue. If it is high, give Triton more "
                "processors or instances (CUTSTREAM_MODELS__INSTANCES).",
                "percentunit",
                f"{_all('nv_inference_queue_duration_us')} / ({' + '.join(map(_all, _PARTS))} > 0)",
                width=6,
                steps=((0.5, "orange"), (0.9, "red")),
                maximum=1,
            ),
            number(
                "Pending",
                "Requests that wait in Triton's queues. It moves with the window of the workers.",
                "short",
                f"sum(nv_inference_pending_request_count{M})",
                width=6,
                decimals=0,
            ),
            number(
                "Failures",
                "Requests a second that Triton has refused or failed. Read Triton's log.",
                "reqps",
                _all("nv_inference_request_failure"),
                width=6,
                steps=((0.001, "red"),),
            ),
        ),
        (
            lines(
                "Queue, mean",
                "Time that a request waits in Triton before its model computes.",
                "s",
                _per_request("nv_inference_queue_duration_us"),
            ),
            lines(
                "Compute, mean",
                "Time that a model computes for a request. If it grows at the same batch size, processors are scarce.",
                "s",
                _per_request("nv_inference_compute_infer_duration_us"),
            ),
            lines(
                "Moving tensors, mean",
                "Time in which inputs and outputs are copied for a request. It should be small beside the computing.",
                "s",
                Query(
                    f"(sum by (model) (rate(nv_inference_compute_input_duration_us{M}[$__rate_interval])) + "
                    f"sum by (model) (rate(nv_inference_compute_output_duration_us{M}[$__rate_interval]))) "
                    f"/ {_DONE} / 1e6",
                    "{{model}}",
                ),
            ),
        ),
        (
            lines(
                "Images by model",
                "Images a second through each model.",
                "reqps",
                Query(f"sum by (model) (rate(nv_inference_count{M}[$__rate_interval]))", "{{model}}"),
            ),
            lines(
                "Images per execution",
                "Mean batch size of each model. Larger batches are cheaper for each image, up to a point.",
                "short",
                Query(
                    f"sum by (model) (rate(nv_inference_count{M}[$__rate_interval])) "
                    f"/ (sum by (model) (rate(nv_inference_exec_count{M}[$__rate_interval])) > 0)",
                    "{{model}}",
                ),
            ),
            lines(
                "Pending by model",
                "Requests that wait in the queue of each model.",
                "short",
                Query(f"sum by (model) (nv_inference_pending_request_count{M})", "{{model}}"),
            ),
        ),
        (
            lines(
                "Failures by reason",
                "Requests a second that Triton did not answer: `BACKEND` is an error of the engine, `REJECTED` a full "
                "queue, `CANCELED` a client that hung up.",
                "reqps",
                Query(
                    f"sum by (model, reason) (rate(nv_inference_request_failure{M}[$__rate_interval]))",
                    "{{model}}: {{reason}}",
                ),
            ),
            lines(
                "Processors of Triton's machine",
                "Busy share of the machine's processors, by Triton's own measurement.",
                "percentunit",
                Query("nv_cpu_utilization", "{{instance}}"),
                maximum=1,
            ),
            lines(
                "Memory of Triton's machine",
                "Used memory of the machine that Triton runs on.",
                "bytes",
                Query("nv_cpu_memory_used_bytes", "{{instance}}: used"),
                Query("nv_cpu_memory_total_bytes", "{{instance}}: total"),
            ),
        ),
        (
            lines(
                "Utilisation of the GPU",
                "Share of time in which the GPU computes. Near 100 % it is the bottleneck.",
                "percentunit",
                Query("nv_gpu_utilization", "{{gpu_uuid}}"),
                width=12,
                maximum=1,
                empty="no GPU",
                gpu=True,
            ),
            lines(
                "Memory of the GPU",
                "Used memory of the GPU, of all processes.",
                "bytes",
                Query("nv_gpu_memory_used_bytes", "{{gpu_uuid}}: used"),
                Query("nv_gpu_memory_total_bytes", "{{gpu_uuid}}: total"),
                width=12,
                empty="no GPU",
                gpu=True,
            ),
        ),
    ),
    (choice("model", "Model", "label_values(nv_inference_count, model)"),),
)
