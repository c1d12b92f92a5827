"""The local stack: embedded Kafka and Triton, and the supervisor of their processes."""
