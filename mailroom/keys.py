"""Names of keys, and how long the store keeps things. The table of all keys stands in `lua/00-keys.lua`."""

#: The room of events that wait to be routed.
INBOX = "in"
#: One partition; the hash tag keeps its keys on one node of a cluster.
PREFIX = "relais:{p0}:"
#: Version of the key schema. Ours runs side by side with the former ones: a store that an older version began stays as
#: that one knows it until nobody needs it so any more; a store of any other version is refused. Since 2 an id knows its
#: content, and events and deliveries have further names and a class; since 3 a box of one element needs no list.
SCHEMA, FORMER_SCHEMAS = "3", ("1", "2")
#: Sender's message ids are remembered in pages of a day, in ms: four of them, so that a platform that retries for three
#: days is still recognised; two of them in schema 1.
ID_PAGE = 86_400_000
#: Without a sender's id a body counts as sent twice only this long, in ms (docs/architecture.md, "The clocks").
BODY_WINDOW = 60_000
#: How long the id map keeps what was not confirmed, in seconds.
ID_MAP = 180 * 86_400
#: How long a dead letter is kept, in ms.
DEAD_KEEPS = 30 * 86_400_000
#: How long a quarantined event is kept, in ms.
QUARANTINE_KEEPS = 30 * 86_400_000
#: How long the store knows which receivers carried out a receipt of who was forgotten, in seconds.
REPORTS_KEEP = 7 * 86_400
#: Seconds for one call. A synced write takes milliseconds; what takes longer is better treated as unknown.
CALL_TIMEOUT = 5.0
#: Instead of the pool of workers: what a receiver has.
NO_POOL = "-"
#: Seconds between two beats of a drain, and of a receiver.
BEAT = 1.0
#: Milliseconds that replicas have to keep what was written: a replica that syncs each write takes one or two, one that
#: syncs once a second up to a thousand. Well within the time for one call.
REPLICA_PATIENCE = 2_500
