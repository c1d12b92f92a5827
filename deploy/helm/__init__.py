"""The Helm chart (`cutstream/`), and what its autoscaling makes of metrics (`autoscaling.py`)."""
