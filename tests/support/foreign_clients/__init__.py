"""Programs of other people that write requests and read results: kafka-python, librdkafka and Kafka's own Java client.

rows          a record of a foreign client, and what the worker makes of it
table         the rows of each client
log_forms     rows in logs that were compacted, deleted from, or hold what cannot be read
kafka_python  writes rows with kafka-python
librdkafka    writes rows with confluent-kafka, and reads topics
java          writes rows and reads topics with the tools of Kafka, in the Java runtime of the embedded broker
old_formats   asks a broker for what clients before Kafka 0.11 wrote
"""
