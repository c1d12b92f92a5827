"""What Prometheus and Grafana need to watch workers and Triton. `make dashboards` writes it.

rules       what Prometheus computes and when it alerts; deploy/prometheus/
dashboards  what Grafana shows; deploy/grafana/ (ADR 15)
files       all generated files
"""
