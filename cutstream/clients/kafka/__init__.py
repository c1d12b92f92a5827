"""The only package that talks to kafka-python. docs/adr/0002-use-kafka-python.md explains the choice and the guards.

records         the values that go in and come out
protocols       RequestSource and Committer: what the worker's loop needs from a broker
request_reader  reads requests as a member of the workers' group
stalls          finds partitions that stand still
assignor        shares the partitions of each topic among the workers
checksums       the checksum of batches, in a fraction of the client's time
fetching        the client's consumer, with a fetcher that loses nothing and loops on nothing
record_batches  reads the batches of a fetch, within limits
unread_records  stands in for what senders made unreadable, so that it fails by itself
compression     unpacks what is compressed, within limits
obstacles       remembers which partitions cannot be read on, and when to try them again
buffers         holds what was fetched and not delivered yet, and decides the order of delivery
committers      commit results and offsets, in a transaction or at least once
transactions    the transactions themselves, and a writer that uses them for tools
producers       what every producer has in common: acknowledged by all replicas, once, in order
record_writer   writes records outside a transaction
topic_reader    reads a whole topic without a group
group_lag       asks how many requests wait for the workers
partition_ends  asks where partitions end, and whether their topics are there
topics          creates and checks the topics, and removes records from their beginning
connection      connection settings and type conversions
tls             what a client trusts, and its own certificate
logins          connections that tell a refused login from a broker that is away
reachability    which broker answers, before a client is opened
client_log      kafka-python's own log, folded
errors          kafka-python's errors, in the product's terms

kafka-python 3.0 has fifteen traps. Each guard has a regression test, which also shows whether a new version of the
client still needs it.

1. After an aborted transaction, a producer keeps that transaction's offsets and commits them with its next one.
   Guard: `TransactionalCommitter` (committers.py) discards its producer after every refusal and opens a new one.
2. A member that was thrown out and comes back keeps its old positions. If it was about to rejoin anyway, the client
   does not call the listener. Guard: `RequestReader` (request_reader.py) seeks to the committed offsets after every
   assignment and for every new member id, and drops the records it polled before.
3. The rebalance listener runs on the client's event loop, where blocking calls are refused, and a new generation number
   can be visible before its assignment. Guard: the listener in request_reader.py only notes the change, and the
   membership is a snapshot taken right after a poll that ended in a stable group.
4. When a leader joins again because its topic changed, and a poll ends during that join, the client forgets the join
   and stays outside the stable group for ever. Guard: every `RequestReader.poll` that begins during a join requests
   the join again.
5. A partition that is paused while its records are half delivered is set aside. Once another partition has been
   delivered completely, the client never takes it up again, and never fetches it. Guard: every `RequestReader.poll`
   takes all records that the client has; the reader's own buffers hold what it does not deliver yet.
6. After an error about a corrupt record, the next poll never returns, and a transaction's marker that the log cleaner
   has emptied is such an error. Guard: `CarefulFetcher` (fetching.py) goes past the marker, and sets the partition of a
   corrupt record aside. The reader tries it again ever more rarely (obstacles.py).
7. The sticky assignors share out the partitions of all topics together: a worker that joins another may get all of the
   retry topic and none of the requests. Guard: `TopicAssignor` (assignor.py) shares out each topic by itself.
8. A producer forgets a request of its transaction when it cannot connect to the coordinator, and waits for its result
   without limit. Guard: `make_producer` (producers.py) makes a failed connection an answer, and `run_transaction`
   (transactions.py) waits no longer than the transaction may be open.
9. A producer that cannot send its records in time raises an error when it is closed, and its thread goes on. Guard:
   `close_producer` (producers.py) ends the thread.
10. A record that a producer gives up in time does not end its transaction: the client commits the rest. Guard:
   `run_transaction` (transactions.py) waits for every record before it commits.
11. A question for committed offsets that was given up stays with the client, and its answer goes to whoever asks next,
   however late. Guard: `RequestReader.rewind` forgets these questions.
12. Header names that are not UTF-8 are errors, and batches are unpacked and read without a limit. Guard: `Batches`
   (record_batches.py) reads every name that the protocol allows, and unpacks no further than a limit. What is beyond it
   comes without its content (unread_records.py).
13. If a poll cannot send its next requests, the records that it has taken are lost. Guard: `CarefulFetcher`
   (fetching.py) puts the positions back.
14. A refused login is tried again for ever, and nobody is told; the broker's reason is lost if the end of the
   connection comes with it. Guard: the connections of logins.py deliver the reason, and remember it for
   `map_kafka_errors` (errors.py) and for those who wait in polls. The client's own way to remember it makes its
   threads spin.
15. The client looks up partitions that are not there: in its answers, which leave out those without a leader or without
   a topic, and in its assignment, which its own thread changes. Guard: `CarefulFetcher` expects no complete answer, and
   `map_kafka_errors` takes such a KeyError for what it is.

`StallWatch` (stalls.py) finds a partition that stands still for any other reason. The reader then starts it again, and
if that does not help, opens a new client.
"""

from cutstream.clients.kafka.client_log import fold_client_log
from cutstream.clients.kafka.committers import AtLeastOnceCommitter, TransactionalCommitter
from cutstream.clients.kafka.errors import CommitRefused, NoTopic, UnreadableRecords, map_kafka_errors
from cutstream.clients.kafka.group_lag import GroupLag
from cutstream.clients.kafka.partition_ends import PartitionEnds
from cutstream.clients.kafka.protocols import Committer, RequestSource
from cutstream.clients.kafka.record_writer import RecordWriter
from cutstream.clients.kafka.records import Headers, Membership, OutgoingRecord, Partition, Polled, Record
from cutstream.clients.kafka.request_reader import RequestReader
from cutstream.clients.kafka.topic_reader import TopicReader
from cutstream.clients.kafka.topics import (
    check_topics,
    cluster_and_ends,
    delete_records,
    ensure_topics,
    topics_with_senders_times,
)
from cutstream.clients.kafka.transactions import TransactionalWriter

__all__ = [
    "AtLeastOnceCommitter",
    "CommitRefused",
    "Committer",
    "GroupLag",
    "Headers",
    "Membership",
    "NoTopic",
    "OutgoingRecord",
    "Partition",
    "PartitionEnds",
    "Polled",
    "Record",
    "RecordWriter",
    "RequestReader",
    "RequestSource",
    "TopicReader",
    "TransactionalCommitter",
    "TransactionalWriter",
    "UnreadableRecords",
    "check_topics",
    "cluster_and_ends",
    "delete_records",
    "ensure_topics",
    "fold_client_log",
    "map_kafka_errors",
    "topics_with_senders_times",
]
