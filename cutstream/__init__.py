"""cutstream: image references in on a Kafka topic, finished cutouts out."""

__version__ = "0.1.0"
