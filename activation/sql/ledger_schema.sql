-- The operational store, in SQLite's types; activation/ledger_schema.py puts PostgreSQL's in their place.
-- Times are microseconds since 1970 in UTC. Every write transaction takes one ledger_seq and stamps the rows it
-- touches, so "what changed since" is one indexed range.

create table ledger_identity (
    ledger_id text not null,
    ledger_seq integer not null,
    removals_pruned_to integer not null
);

create table sync_runs (
    sync_run_id text primary key,
    sync_name text not null,
    run_number integer not null,
    destination text not null,
    list_name text not null,
    channel text not null,
    plan_id text,
    plan_hash text not null,
    definition_hash text not null,
    made_of text not null,
    planned_at integer not null,
    finished_at integer,
    undo_until integer,
    undoes text,
    first_operation integer not null,
    last_operation integer not null,
    adds integer not null,
    updates integer not null,
    removes integer not null,
    erases integer not null,
    sends integer not null,
    delivered integer not null default 0,
    rejected integer not null default 0,
    suppressed integer not null default 0,
    deferred integer not null default 0,
    accepted integer not null default 0,
    in_doubt integer not null default 0,
    ledger_seq integer not null,
    unique (sync_name, run_number)
);

create index sync_runs_by_ledger_seq on sync_runs (ledger_seq);

-- States: planned, in_flight, accepted, delivered, rejected, deferred, in_doubt, suppressed, expired, cancelled.
-- Being claimed and being in flight are one row of batches, committed together before a byte leaves.
-- A run's operations are one range of numbers, and whatever changes one of them stamps the run's row too, so
-- no index on ledger_seq is needed here. The order of a batch is the order of the numbers.
-- lane 0 (removals and erasures) leaves before lane 1. The payload is kept only while it may have to be sent again.
-- former_hash and former_payload are what acknowledged had of the key before this was delivered: what undoing it needs.
-- The payload of both is kept while the sync's undo_days last. superseded_at: what ended badly and was planned again since.
-- The key of a send is its occurrence key, and expires_at is the moment from which on it does not leave any more.
-- holds says whether acknowledged has the key once this was delivered: 1 for what a mode brings about, 0 for what
-- takes a key out again.
-- The checks ask for one value after the other, because SQLite builds the list of an `in` anew for each row of an insert:
-- that took half of the time.
create table operations (
    operation_number integer primary key,
    operation_id text not null,
    sync_run_id text not null,
    sync_name text not null,
    operation text not null check (
        operation = 'add'
        or operation = 'update'
        or operation = 'remove'
        or operation = 'send'
        or operation = 'erase'
    ),
    lane integer not null check (lane in (0, 1)),
    holds integer not null check (holds in (0, 1)),
    destination_key text not null,
    canonical_id text,
    identifier_key text,
    payload text,
    payload_hash text not null,
    state text not null,
    reason text,
    receipt text,
    attempts integer not null default 0,
    not_before integer not null default 0,
    expires_at integer,
    batch_id integer,
    finished_at integer,
    superseded_at integer,
    former_hash text,
    former_payload text,
    ledger_seq integer not null,
    is_open integer default 1,
    check (
        (is_open is not null)
        = (
            state = 'planned'
            or state = 'deferred'
            or state = 'in_flight'
            or state = 'accepted'
            or state = 'in_doubt'
        )
    )
);

-- At most one open operation per sync and key: nothing can be sent twice side by side.
-- is_open is 1 or null, and not derived from state, so that a claim need not touch this index.
create unique index operations_open_by_key on operations (sync_name, destination_key)
where is_open is not null;

create index operations_claimable on operations (sync_name, lane, operation_number)
where state in ('planned', 'deferred');

-- What ended badly and was not planned again since. It is rare; asking for the end first spares an intent, which has
-- none, the rest of the condition, and writing intents a fifth of its time.
create index operations_ended_badly on operations (sync_name, operation_number)
where finished_at is not null and state in ('rejected', 'expired') and superseded_at is null;

create index operations_by_batch on operations (batch_id) where batch_id is not null;

-- One row per claim. The token is the fence: an answer with an older token changes nothing.
-- accepted_at: when the destination last accepted some of its operations, as long as one of them has no answer yet.
-- It stands here, not in an index on operations, so that an intent pays nothing for it.
create table batches (
    batch_id integer primary key,
    sync_name text not null,
    sync_run_id text not null,
    idempotency_key text not null,
    state text not null check (state in ('in_flight', 'unknown', 'settled')),
    owner text not null,
    token integer not null,
    lease_until integer not null,
    attempts integer not null,
    first_attempt_at integer not null,
    last_attempt_at integer not null,
    accepted_at integer,
    ledger_seq integer not null
);

create index batches_by_ledger_seq on batches (sync_name, ledger_seq);

create index batches_unsettled on batches (sync_name, batch_id) where state in ('in_flight', 'unknown');

create index batches_accepted on batches (sync_name, batch_id) where accepted_at is not null;

create view dead_letters as
with

standing as (

    select *
    from operations
    where
        finished_at is not null
        and state in ('rejected', 'expired')
        and superseded_at is null
    union all
    select *
    from operations
    where
        batch_id in (select batch_id from batches where state in ('in_flight', 'unknown'))
        and state = 'in_doubt'
    union all
    select *
    from operations
    where
        batch_id in (select batch_id from batches where accepted_at is not null and state = 'settled')
        and state = 'in_doubt'

)

select
    standing.sync_name,
    standing.operation_number,
    standing.operation_id,
    standing.sync_run_id,
    standing.operation,
    standing.destination_key,
    standing.state,
    standing.reason,
    sync_runs.planned_at
from standing
inner join sync_runs
    on sync_runs.sync_run_id = standing.sync_run_id;

-- What each attempt answered, with late answers of lost leases kept as evidence.
create table attempts (
    batch_id integer not null,
    token integer not null,
    finished_at integer not null,
    delivered integer not null,
    accepted integer not null,
    rejected integer not null,
    deferred integer not null,
    unknown integer not null,
    reason text,
    is_late integer not null,
    ledger_seq integer not null
);

create index attempts_by_ledger_seq on attempts (ledger_seq);

-- What a person may look at, approve and have applied. Its operations are hashes in a file beside the ledger.
-- States: open, approved, applied, refused (it had moved too far), discarded.
create table plans (
    plan_id text primary key,
    sync_name text not null,
    plan_number integer not null,
    plan_hash text not null,
    definition_hash text not null,
    destination_hash text not null,
    route text,
    content text not null,
    state text not null check (state in ('open', 'approved', 'applied', 'refused', 'discarded')),
    state_reason text,
    planned_by text not null,
    planned_at integer not null,
    approved_by text,
    approved_at integer,
    approval_reason text,
    sync_run_id text,
    ledger_seq integer not null,
    unique (sync_name, plan_number)
);

-- What a destination has acknowledged. Of messages: the occurrences that need nothing more, because theirs was delivered,
-- or, with an empty hash, because it was too late for it, a person gave it up, or the sync began after it.
create table acknowledged (
    sync_name text not null,
    destination_key text not null,
    canonical_id text,
    identifier_key text,
    payload_hash text not null,
    payload text,
    acknowledged_at integer not null,
    ledger_seq integer not null,
    primary key (sync_name, destination_key)
) without rowid;

create index acknowledged_by_ledger_seq on acknowledged (ledger_seq);

-- Keys that left acknowledged, kept only until the projection has seen them.
create table acknowledged_removals (
    sync_name text not null,
    destination_key text not null,
    ledger_seq integer not null
);

-- The gate. Deny-only; one of identifier_key and canonical_id is set; channel '*' means every channel.
create table denials (
    feed text not null,
    identifier_key text,
    canonical_id text,
    channel text not null,
    reason text not null,
    denied_at integer not null,
    check ((identifier_key is null) <> (canonical_id is null))
);

create unique index denials_by_address on denials (identifier_key, channel, feed) where identifier_key is not null;

create unique index denials_by_person on denials (canonical_id, channel, feed) where canonical_id is not null;

create table denial_feeds (
    feed text primary key,
    watermark integer not null,
    refreshed_at integer not null
);

create table routes (
    route_number integer primary key,
    sync_name text not null,
    route text not null check (route in ('legacy', 'shadow', 'canary', 'live')),
    reason text not null,
    set_by text not null,
    set_at integer not null
);

create index routes_by_sync on routes (sync_name, route_number);

-- sync_name '*' freezes everything. A lifted freeze stays as history. The run but_sync_run_id may go on all the same:
-- it undoes what made somebody freeze.
create table freezes (
    freeze_number integer primary key,
    sync_name text not null,
    reason text not null,
    set_by text not null,
    frozen_at integer not null,
    but_sync_run_id text,
    lifted_at integer
);

create table caps (
    channel text primary key,
    max_operations integer not null,
    window_seconds integer not null
);

create table cap_uses (
    operation_id text primary key,
    channel text not null,
    canonical_id text not null,
    used_at integer not null
);

create index cap_uses_by_person on cap_uses (channel, canonical_id, used_at);
