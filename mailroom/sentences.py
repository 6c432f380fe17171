"""What Relais says of events, deliveries and itself: one catalogue of sentences by code, in English.

Comes in: a code and what is filled in. Goes out: a Sentence, which is plain English text wherever nobody looks closer;
programs find its code and arguments beside it, and the pages write it in other languages from these. Never holds a
value of a person: what is filled in are names of the book, counts, times, places and texts of our own.
"""

from collections.abc import Callable, Mapping
from typing import Any, Self

from rules.matching.truth import Why

#: Code -> sentence; or for one and for several, by `n`. `CODE.mend` is what to do about CODE.
SENTENCES: Mapping[str, str | tuple[str, str]] = {
    # What may stand inside of others.
    "boxes": ("{n} box", "{n} boxes"),
    "dead_letters": ("{n} dead letter", "{n} dead letters"),
    "errors": ("{n} error", "{n} errors"),
    "events": ("{n} event", "{n} events"),
    "replicas": ("{n} replica", "{n} replicas"),
    "rules": ("{n} rule", "{n} rules"),
    "and_more": "{those} and {n} more",
    "until": " until {at}",
    "next_probe": ", next probe at {at}",
    "the_inbox": "the inbox",
    "a_person": "a person",
    # The store.
    "store_answers": "{server} answers",
    "store_away": "the store does not answer",
    "store_away.mend": "start it, or mend REDIS_URL",
    "store_password_wrong": "the store refuses user or password",
    "store_password_wrong.mend": "mend them in REDIS_URL",
    "store_password_missing": "the store asks for a password",
    "store_password_missing.mend": "name it in REDIS_URL (redis://:password@host)",
    "store_right_missing": "the user of REDIS_URL lacks a right",
    "store_right_missing.mend": "{said}; `relais doctor` names all that it lacks",
    "store_database": "the store has no database of that number",
    "store_database.mend": "mend what stands behind the last slash of REDIS_URL",
    "store_too_old": "the store is too old",
    "store_too_old.mend": "{newer}",
    "store_loading": "{server} still reads its data, {seconds} s more",
    "store_loading.mend": "wait for it",
    "store_is_replica": "{server} is a replica, which takes nothing",
    "store_is_replica.mend": "point REDIS_URL at the primary, or the Sentinels",
    "store_is_cluster": (
        "{server} is a node of a cluster: RQ needs keys of several nodes at once, which a cluster refuses"
    ),
    "store_is_cluster.mend": "point REDIS_URL at a single primary, or at its Sentinels",
    "store_is_too_old": "{server} is too old",
    "store_is_too_old.mend": "{newer}",
    "kept_power_cut": "acknowledged events survive a power cut",
    "kept_one_second": ("acknowledged events survive a crash of the store; a power cut may lose up to 1 s of them"),
    "kept_one_second.mend": "set `appendfsync always` in the store to lose nothing",
    "kept_kernel": "acknowledged events survive a crash of the store; a power cut may lose up to 30 s of them",
    "kept_kernel.mend": "set `appendfsync always` in the store to lose nothing",
    "kept_rewrite": ("acknowledged events survive a power cut, but not while the append-only file is being rewritten"),
    "kept_rewrite.mend": "set `no-appendfsync-on-rewrite no` in the store",
    "kept_nothing": "acknowledged events do not survive a restart of the store",
    "kept_nothing.mend": "set `appendonly yes` and `appendfsync always` in the store",
    "kept_unwritten.mend": "the store cannot write its append-only file: is its disk full?",
    "kept_unknown": "the store does not tell how it keeps what is written, so nothing is promised",
    "kept_unknown.mend": "let the user of REDIS_URL read its settings (+config|get), or ask who runs the store",
    "kept_too_little": "{kept}; RELAIS_STRICT={strict} asks for more",
    "evicts": "what waits may be thrown away when memory is full",
    "evicts.mend": "set `maxmemory-policy noeviction` in the store",
    "evicts_nothing": "nothing that waits is evicted",
    "write_failed": "the last write to the append-only file failed",
    "write_failed.mend": "is its disk full? See the log of the store",
    "rewrite_failed": "the last rewrite of the append-only file failed, so it only grows",
    "rewrite_failed.mend": "is its disk full? See the log of the store",
    "snapshot_failed": "the last snapshot failed, and writes are refused until one works",
    "snapshot_failed.mend": "is its disk full? See the log of the store",
    "written": "its last writes to disk went well",
    "memory": "{used} of {most} MiB used",
    "memory_full": "{used} of {most} MiB used: new events wait in the spool",
    "memory_full.mend": "raise `maxmemory`, or see what waits",
    "memory_unlimited": "{used} MiB used, unlimited: the kernel may kill it",
    "memory_unlimited.mend": "set `maxmemory` to two thirds of what it may use",
    "replicas_refuse": "{replicas}, and {least} demanded: the store refuses writes",
    "replicas_refuse.mend": "bring the replicas back",
    "replicas_missing": (
        "{replicas}, and RELAIS_REPLICAS={demanded}: events wait in the spool, and nothing is delivered"
    ),
    "replicas_missing.mend": "bring the replicas back, or set RELAIS_REPLICAS to fewer",
    "replicas_forget": ("{kept} of {count} have on disk what was written a second ago, and RELAIS_REPLICAS={demanded}"),
    "replicas_forget.mend": "set `appendonly yes` and `appendfsync always` in the replicas",
    "replicas_all": (
        "{count}; each event is on {demanded} of them{where} before it is acknowledged, and survives whichever takes "
        "over"
    ),
    "replicas_some": (
        "{count}; each event is on {demanded} of them{where} before it is acknowledged, and survives if one of the "
        "{demanded} takes over"
    ),
    "in_memory": " in memory",
    "replicas_alone.mend": (
        "set `min-replicas-to-write 1` in the store: a primary that is cut off then stops handing out work"
    ),
    "replicas_none": "none: events are on one machine",
    "replicas_lag": "{count}; a failover may lose up to {lag} s, and a little more, of acknowledged events",
    "replicas_lag.mend": "set RELAIS_REPLICAS=1 to lose none",
    "replicas_unbound": "{count}; a failover may lose acknowledged events, however many",
    "replicas_unbound.mend": "set RELAIS_REPLICAS=1 to lose none, and `min-replicas-to-write 1` in the store",
    "rewrite_off": "rewriting is switched off, so what was erased stays in its append-only file",
    "rewrite_off.mend": "set `auto-aof-rewrite-percentage 100` in the store when the backup is done",
    "rewrite_refused": (
        "it refuses BGREWRITEAOF: what was erased stays in its append-only file until it rewrites it by itself"
    ),
    "rewrite_refused.mend": "allow BGREWRITEAOF to the workers, or rewrite it daily some other way",
    "disk": "{free} MiB free",
    "disk_short": "{free} MiB free, a rewrite may need {needed}",
    "disk_short.mend": "free some space on its disk",
    "strict_met": "RELAIS_STRICT={strict} is met",
    "strict_not_met": "RELAIS_STRICT={strict} is not met",
    "strict_not_met.mend": "see the checks above",
    "rights": "its user may do what our processes do",
    "rights_missing": "its user has no right to {rights}, so events cannot go all the way",
    "rights_missing.mend": "give it the rights of docs/operating.md, `A user of its own`",
    "rights_not_tried": "they could not be tried: {said}",
    "rights_not_tried.mend": "give it the rights of docs/operating.md, `A user of its own`",
    "boxes_right": "what waits stands where it must",
    "boxes_wrong": "{faults}",
    "boxes_wrong.mend": "report it: this is a defect of Relais",
    "boxes_not_examined": "what waits could not be examined: {said}",
    "boxes_not_examined.mend": "relais doctor, once more",
    "schema_migrates": (
        "the store speaks schema {former} until it is migrated to {schema}: nobody holds that up, a worker does it "
        "within seconds"
    ),
    "schema_migrates.mend": "relais work; but first replace receivers of 0.1.0, which do not say that they live",
    "schema_held_up": (
        "the store speaks schema {former} until it is migrated to {schema}: these of an older version hold that up: "
        "{holders}"
    ),
    "schema_held_up.mend": "replace them by this version, receivers first",
    # Whether this version can take over from the one that runs.
    "settings_known": "this version knows all of them",
    "settings_wrong": "{said}",
    "settings_wrong.mend": "CHANGELOG.md says which were renamed",
    "store_unfit": "{why}",
    "store_unfit.mend": "upgrade the store first",
    "schema_none": "the store is empty",
    "schema_same": "the store speaks schema {schema}, as this version",
    "schema_former": (
        "the store speaks schema {former}; this version works under it, and migrates it when the last process of the "
        "former version has ended: make a backup before"
    ),
    "schema_other": "the store speaks schema {found}, this version {schema}",
    "schema_other.mend": "use a newer version",
    "book_compiles": "{rules}, version {version}",
    "book_refused": "this version refuses it: {said}",
    "book_refused.mend": "mend the book before the upgrade",
    "tests_pass": "all {n} of the book pass",
    "tests_fail": "of the book fail: {tests}",
    "tests_fail.mend": "relais rules test",
    "deliveries_same": "the same as recorded: {deliveries} deliveries of {events}{beside}",
    "deliveries_differ": "others than recorded: {said}",
    "deliveries_differ.mend": "CHANGELOG.md; relais events show ID",
    "deliveries_none": "no recorded event to compare{beside}",
    "deliveries_none.mend": "retain: 7d under a source keeps payloads for this",
    "deliveries_gone": "; of {n} more the payload is gone, or another book routed them",
    # The spool.
    "spool_none": "there is none: while the store is away, the answer is 503",
    "spool_broken": "{said}",
    "spool_broken.mend": "ask as the user that runs the receiver; is the disk well?",
    "spool_unmade": "no receiver has made one in {folder} yet",
    "spool_holds": "{events} in {folder}, the oldest there for {seconds} s, {size} MiB",
    "spool_holds.mend": "mend the store: they go there by themselves, oldest first",
    "spool_disk_short": "empty, and its disk has only {free} MiB left",
    "spool_disk_short.mend": "free some space",
    "spool_empty": "empty, {free} MiB free",
    "set_aside": "the store refused {events} again and again",
    "set_aside.mend": "relais spool list",
    # Drains, the book, what waits for a person.
    "drains": "{n} alive",
    "no_drain": "no drain is alive, so events wait",
    "no_drain.mend": "start workers: relais work",
    "book": "version {version}, {rules}",
    "book_waits": "version {version} is in force; {waits}",
    "book_waits.mend": "relais rules approve",
    "book_wrong": "{errors}, the book before stays in force; {first}",
    "book_wrong.mend": "relais rules check",
    "no_book": "there is no book at {folder}",
    "held_boxes": "{boxes} held for a person, the first for {since}",
    "held_boxes.mend": "relais boxes list",
    "dead": "{letters} kept for a person",
    "dead.mend": "relais dead list",
    "nothing_sent_unusable": "nothing is sent to {room}: it cannot be served",
    "nothing_sent_unusable.mend": "relais rooms list",
    "nothing_sent": "nothing is sent to {room}: it {why}",
    "nothing_sent.mend": "relais rooms list",
    "quota_waits": "{room} waits: {why}",
    "quota_waits.mend": "relais quotas",
    "source_came": "{source}: last {ago} ago, {at}",
    "source_came_quiet": "{source}: last {ago} ago, {at}, unusually long for it",
    "source_came_quiet.mend": "relais sources list",
    "place_empty": "{source}: {place} found nothing in {events} of {events} events since {since}",
    "place_empty.mend": "is {key} in the book right? relais sources list",
    "held_source": "{source}: held{by} for {since}{until}{why}; what comes is not routed",
    "held_source.mend": "relais sources held {source}, relais sources release {source}",
    "sign_on_right": "single sign-on: {issuer} answers, and is who it should be",
    "sign_on_wrong": "single sign-on by {issuer}: {said}",
    "sign_on_wrong.mend": "can this host reach it, and is RELAIS_OIDC_ISSUER what its discovery document says?",
    "by": " by {who}",
    "key_reads": "it is taken, and may read; what it may write only a delivery shows",
    "key_may_all": "it may do everything that relais asks for",
    "key_may_not": "{missing}",
    "key_may_not.mend": "grant the key these rights there",
    "key_not_tried": "it could not be tried: {said}",
    "key_not_tried.mend": "look at base and key",
    "key_secret_missing": "it could not be tried: {said}",
    "key_secret_missing.mend": "set the secret where relais doctor runs",
    # Why nothing of a room is sent, or of a source is routed.
    "room_unusable": "{room} cannot be served: {why}",
    "room_paused": "{room} {why}",
    "room_rests": "{room} asked to be left alone until {until}",
    "room_waits": "{room} waits: {why}",
    "paused": "is paused by {who} since {since}{until}{why}",
    "down": "is down ({code}) since {since}{probe}",
    "mistaken": "{what} ({code}) since {since}{probe}",
    "refuses_key": "refuses our key",
    "mistake_private_address": (
        "leads to an address inside our own network; if that is meant, say allow_private: true"
    ),
    "mistake_unknown_host": "has a host name that does not exist; look at base",
    "mistake_bad_header": "has a header that cannot be written; look for line ends in its key",
    "quota_unknown": (
        "the quota of {key} is not known: nobody has said which day it is there: is a worker running, and do its clock "
        "and the store's agree?"
    ),
    "its_key": "its key",
    "quota_used": "{used} of {limit} requests of {key} are used until {until}",
    "quota_reserved": ("{used} of {limit} requests of {key} are used until {until}, {left} are kept for urgent ones"),
    "source_held": "{source} is held by {who} since {since}{until}{why}",
    # What became of an event or a delivery, as the ledger tells it.
    "not_before": "not before {until}: {why}",
    "by_newer": "by {by}",
    "overtaken": "{by} came while it waited",
    "asked_again": "{to} did not answer {look_up} ({code}), asked again at {until}",
    "released": "released by a person",
    "skipped_by_a_person": "{code}, skipped by a person",
    "by_hand": "by a person",
    "retried": "retried by a person",
    "rerouted": "by today's rules",
    "forgotten": "somebody whom it is about was forgotten",
    "echo_of": "echo: Relais wrote it there itself, as {delivery}",
    "no_rule": "no rule wanted it",
    # What forgetting a person erases, and what became of it.
    "erased_payloads": "payloads of events",
    "erased_waiting": "waiting deliveries",
    "erased_held": "held deliveries",
    "erased_dead": "dead letters",
    "erased_quarantined": "events in quarantine",
    "erased_refused": "refused requests",
    "erased_spooled": "events in spools",
    "erased_marks": "marks against doing it twice",
    "erased_id_map": "entries that say which object of a system it is",
    "erased_links": "events that lose their link to the person",
    "deletes_contact": "the contact and its statistics",
    "deletes_gdpr": "the contact with its notes, tasks and mails (gdpr-delete)",
    "deletes_by_path": "the contact ({request})",
    "files_done": "The store has written its files anew: nothing of it is on its disk.",
    "files_asked": "The store is writing its files anew; until that ends they hold what was erased.",
    "files_off": "The store's rewriting is switched off: its file holds what was erased until BGREWRITEAOF.",
    "files_refused": "The store refused to write its files anew (see relais doctor): they hold what was erased.",
    "files_none": "The store writes no files.",
    "deleted_there": "deleted",
    "not_there": "nobody has this address",
    "not_deleted": "not deleted ({code}): do it once more, or delete there",
    "not_deleted_secret": "not deleted: the console does not have its secret",
    # What lies aside.
    "refused_request": "{reason}: {size} bytes{whole}, {who}",
    "kept_part": ", {n} kept",
    "verified": "verified",
    "not_verified": "nobody knows from whom",
}

#: Code -> why a delivery or an event is not done: of failures, of what was left out, of what is held or dead.
REASONS: Mapping[str, str] = {
    "bad_address": "the address of the destination is none that a request can go to",
    "bad_answer": "what the destination answered cannot be read",
    "bad_arguments": "the action does not take what the rule gave",
    "bad_certificate": "the certificate of the server is not to be trusted",
    "bad_header": "a header of the request cannot be written",
    "bad_request": "the destination refuses the request",
    "book_gone": "its event, or the book that made it, is gone",
    "broken": "the request failed",
    "bug": "a defect of ours; the log of the workers has its place",
    "conflict": "what is there already contradicts it",
    "connect_timeout": "the destination did not take the connection in time",
    "cut_off": "the answer of the destination broke off",
    "dns_failed": "the name of the server could not be resolved now",
    "draft_stays": "it is a draft, which can neither be issued nor deleted from here",
    "echo": "Relais wrote it there itself",
    "error_in_body": "the destination said success, and its answer says error",
    "exists_already": "the destination says that it exists already",
    "exists_unseen": "the destination says that it exists, and does not show it",
    "forbidden": "the key has no right to do this",
    "gone": "the address is not in use any more",
    "in_order": "an earlier action of this rule is dead",
    "invalid": "the destination refuses a value",
    "labels_unreadable": "the contacts there do not show the field of the labels",
    "lease_lost": "somebody else may be at it already",
    "limited": "the destination asked to be left alone for a while",
    "locked": "the destination is changing it just now",
    "look_up": "what is looked up is not looked up for a rule that is only observed",
    "look_up_refused": "what the rule looks up was not answered",
    "no_auth": "the mail server offers no way to log in that we know",
    "no_consent": "there is no consent for it",
    "no_contact": "there is no such contact",
    "no_destination": "the destination is not in the book any more, or cannot be used",
    "no_group": "there is no group of this name",
    "no_id": "something was made, but no id came back",
    "no_stand_in": "the sandbox does not imitate its kind; nothing was sent",
    "no_starttls": "the mail server offers no STARTTLS, and without TLS nothing is sent",
    "no_such_invoice": "there is no invoice with this reference",
    "not_allowed": "the address does not take this method",
    "not_final": "the invoice is a draft",
    "not_found": "the address or the object does not exist",
    "not_implemented": "the destination cannot do this",
    "not_in_force": "the destination took it, and it is not in force there",
    "not_queued": "the mail server did not take the mail into its queue",
    "not_set_up": "something has to be set up for it first",
    "not_shown": "what was just made is not shown yet",
    "only_if": "a condition of the action is not met",
    "only_once": "it happened once already",
    "outside_sandbox": "this is a sandbox, and the destination lies outside of it",
    "partly_credited": "a part of the invoice was credited already",
    "payment_required": "the contract with the vendor does not cover this",
    "poison": "three workers died of it",
    "private_address": "the destination leads to an address inside our own network",
    "quota_used_up": "its key has no request left",
    "reading_on": "other documents are read first",
    "redirected": "the address answers with a redirect, which is not followed",
    "refused": "nobody listens at the address, or the server refuses it",
    "request_timeout": "the destination did not get the request in time",
    "reset": "the destination broke the connection off",
    "rule_failed": "the rule could not be carried out",
    "search_unreadable": "what the search answered cannot be read",
    "several_objects": "several objects there have one name",
    "stale": "something newer came before",
    "stale_id": "what was known there is gone; the next attempt searches",
    "stale_version": "it was changed meanwhile; the next attempt reads it again",
    "still_a_lead": "it is a lead still, which has no stages",
    "timeout": "the destination did not answer in time",
    "tls_failed": "no secure connection to the server could be made",
    "token_refused": "no token was given",
    "token_unavailable": "the server of tokens gave none that can be used",
    "too_early": "the destination does not want to risk it twice",
    "too_large": "the destination refuses it as too large",
    "too_many": "the list there has more pages than are read",
    "two_objects": "two names of it belong to two objects there",
    "unauthorised": "the key is missing, wrong or has expired",
    "unavailable": "the destination cannot do it now",
    "unknown_action": "the kind has no action of this name any more",
    "unknown_code": "the code is not known there",
    "unknown_field": "the field is not known there",
    "unknown_host": "the host name does not exist",
    "unknown_label": "the label is not known there",
    "unknown_tax": "the tax rate is not known there",
    "unknown_type": "the type is not known there",
    "unreachable": "the destination could not be reached",
    "unreadable_event": "the event cannot be read",
    "unresolved": "it may have been done, and nobody can look: a person decides",
    "unsupported": "the destination does not take the form in which it is sent",
    "value_failed": "a value of the rule could not be made",
    "was_cancelled": "the invoice with this reference was cancelled",
    # Why a rule did not match.
    "missed.absent": "the field is not there",
    "missed.denied": "the value is what the rule does not want",
    "missed.denied_element": "an element of the list is what the rule does not want",
    "missed.differs": "the value is not what the rule wants",
    "missed.disabled": "the rule is switched off",
    "missed.echo": "Relais wrote it there itself",
    "missed.empty": "the list is empty",
    "missed.exists": "the field is there, and the rule wants it not to be",
    "missed.no_element": "no element of the list is what the rule wants",
    "missed.no_group": "no group of any_of holds",
    "missed.nothing_to_compare": "there is nothing to compare the value with",
    "missed.null": "the field is null",
    "missed.other_kind": "the value is of a kind that the condition cannot judge",
    "missed.stopped": "a rule above it ended the file",
    "missed.unless": "everything under unless holds",
    # What an attempt that is done says beside.
    "done.already_cancelled": "it was cancelled already",
    "done.already_confirmed": "this person had confirmed already",
    "done.already_pending": "this person had been asked already, and has not confirmed yet",
    "done.already_sent": "it was sent already",
    "done.already_so": "it was so already",
    "done.already_there": "it was there already",
    "done.draft_deleted": "it was a draft, which was deleted",
    "done.no_such_company": "there is no such company, so nothing was written",
    "done.no_such_contact": "there is no such contact, so nothing was written",
    "done.no_such_lead": "there is no such lead, so nothing was written",
    "done.not_there": "nobody is there to write it at, so nothing was written",
    "done.nothing_to_cancel": "there is nothing to cancel",
    "done.nothing_to_change": "there is nothing to change",
    "done.nothing_to_write": "there is nothing to write",
    # Requests that were refused.
    "refused.unknown_source": "the book has no source of this name",
    "refused.unknown_event": "the URL names no event that this source knows",
    "refused.missing_event": "the URL does not say what happened",
    "refused.not_found": "the URL leads nowhere",
    "refused.unknown_contact": "there is no such contact here",
    "refused.method_not_allowed": "the address does not take this method",
    "refused.missing_credentials": "the credentials are missing",
    "refused.wrong_credentials": "the credentials are wrong",
    "refused.malformed_credentials": "the credentials cannot be read",
    "refused.missing_signature": "the signature is missing",
    "refused.malformed_signature": "the signature cannot be read",
    "refused.wrong_signature": "the signature is not the one of this body",
    "refused.missing_timestamp": "the timestamp is missing",
    "refused.malformed_timestamp": "the timestamp cannot be read",
    "refused.stale_timestamp": "the timestamp is too far away from our clock",
    "refused.ambiguous_header": "a header stands twice",
    "refused.ambiguous_parameter": "a parameter stands twice",
    "refused.address_not_allowed": "the address of the sender is not on the list of the source",
    "refused.malformed_forwarded": "the proxy names no address of the sender",
    "refused.bad_json": "the body is not valid JSON",
    "refused.bad_form": "the form cannot be read",
    "refused.bad_query": "the query of the URL cannot be read",
    "refused.bad_encoding": "the body is not in the charset that it should be in",
    "refused.bad_packing": "the body cannot be unpacked",
    "refused.bad_length": "the length of the body is no number",
    "refused.empty_body": "the body is empty",
    "refused.not_an_object": "the body is not of the shape that this source reads",
    "refused.no_notifications": "the body holds no notifications",
    "refused.too_many_fields": "there are too many fields",
    "refused.cut_short": "the connection ended before the body did",
    "refused.bad_challenge": "what is to be sent back is not allowed",
    "refused.bad_xml": "the body is not valid XML",
    "refused.bad_contact": "the contact does not fit",
    "refused.no_consent": "nothing says that this person wants the newsletter",
    "refused.too_slow": "the request did not arrive in time",
    "refused.too_large": "the body is too large",
    "refused.head_too_large": "the head of the request is too large",
    "refused.unsupported_type": "this source does not read bodies of this type",
    "refused.unsupported_charset": "the charset is not known",
    "refused.unsupported_encoding": "the body is packed in a way that is not read",
    "refused.invalid": "the content does not fit",
    "refused.not_modelled": "this door does not take that",
    "refused.store_unavailable": "the event could not be kept",
    "refused.store_full": "there was no room for new events",
    "refused.spool_full": "neither the store nor the spool had room",
    "refused.spool_failed": "neither the store nor the spool could keep it",
    "refused.busy": "more arrived than could be kept",
    "refused.secret_missing": "the source is not set up completely",
    "refused.internal": "a defect of ours, and nothing was kept",
}
#: What follows the code of an attempt that was the last one.
TOO_OFTEN = "_too_often"


#: Returns a sentence in another language; of one and several, which one it is.
Translate = Callable[[str], str]
TranslateMany = Callable[[str, str, int], str]


class Sentence(str):
    """An English text that knows its code, and what is filled in."""

    code: str
    args: Mapping[str, Any]

    @classmethod
    def of(cls, text: str, code: str, args: Mapping[str, Any]) -> Self:
        """Return a text with its code and arguments."""
        made = cls(text)
        made.code, made.args = code, args
        return made

    def write(self, translate: Translate, many: TranslateMany) -> str:
        """Return it in another language."""
        template = SENTENCES[self.code]
        said = translate(template) if isinstance(template, str) else many(*template, self.args["n"])
        return said.format_map({name: write(each, translate, many) for name, each in self.args.items()})

    def as_json(self) -> dict[str, Any]:
        """Return code and arguments; a sentence among these has its own."""
        args = {}
        for name, each in self.args.items():
            args[name] = {"says": str(each), **each.as_json()} if isinstance(each, Sentence) else each
        return {"code": self.code, "args": args}


class Reason(Sentence):
    """A code as the English text, and what is known beyond it. Other languages say the code in words."""

    def write(self, translate: Translate, many: TranslateMany) -> str:
        """Return it in another language, as far as the code is one of ours."""
        reason, why = find_reason(self.code), self.args.get("why")
        if not reason:
            return str(self)
        return f"{translate(reason)} ({why})" if why else translate(reason)


def find_reason(code: str) -> str:
    """Return what a code of failures means, in English; empty: it is one that the book gave (`errors:`)."""
    return REASONS.get(code.removesuffix(TOO_OFTEN), "")


def say(code: str, /, **args: Any) -> Sentence:
    """Return a sentence of the catalogue, in English."""
    template = SENTENCES[code]
    said = template if isinstance(template, str) else template[args["n"] != 1]
    return Sentence.of(said.format_map(args), code, args)


def give_reason(code: str, why: str = "", *, of: str = "") -> Reason:
    """Return why something is not done. `of`: `refused.` where it is a request."""
    return Reason.of(f"{code}: {why}" if why else code, of + code, {"why": why} if why else {})


def explain_miss(why: Why) -> str:
    """Return why a rule did not match: as a text, which other languages have behind what its code means."""
    return Reason.of(why, f"missed.{why.code}", {"why": str(why)}) if why.code else why


def write(told: Any, translate: Translate, many: TranslateMany) -> Any:
    """Return a text in another language, where it is a sentence of ours; anything else as it is."""
    told = explain_miss(told) if isinstance(told, Why) else told
    return told.write(translate, many) if isinstance(told, Sentence) else told


def spell_out(value: Any) -> Any:
    """Return JSON in which code and arguments stand beside each sentence under `says` or `why`."""
    if isinstance(value, Mapping):
        told = {name: spell_out(each) for name, each in value.items()}
        for name in ("says", "why"):
            if isinstance(sentence := told.get(name), Sentence):
                told = {**sentence.as_json(), **told}
        return told
    return [spell_out(each) for each in value] if isinstance(value, list | tuple) else value
