-- The operational store, in SQLite's types; activation/ledger_schema.py puts PostgreSQL's in their place.
-- Times are microseconds since 1970 in UTC. Every write transaction takes one ledger_seq and stamps the rows it
-- touches, so "what changed since" is one indexed range.

create table ledger_identity (
    ledger_id text not null,
    ledger_seq integer not null,
    removals_pruned_to integer not null
);

-- A run's intents are one range of numbers, removals and erasures before first_write. They are claimed in this order:
-- next_operation is the first that was not. rest is the state of those from there on, 'claimed' when none is left; they end
-- together, for rest_reason at rest_at, when no route serves the sync or it is planned again.
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
    first_write integer not null,
    last_operation integer not null,
    next_operation integer not null,
    rest text not null check (rest in ('planned', 'claimed', 'suppressed', 'cancelled')),
    rest_reason text,
    rest_at integer,
    rest_seq integer not null,
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
    unique (sync_name, run_number),
    check (first_write >= first_operation and first_write <= last_operation + 1),
    check (last_operation - first_operation + 1 = adds + updates + removes + erases + sends)
);

create index sync_runs_by_ledger_seq on sync_runs (ledger_seq);

-- One run of a sync at a time can be claimed.
create unique index sync_runs_claimable on sync_runs (sync_name) where rest = 'planned';

-- What a run is to do, written once, under numbers that whoever writes it gives without a gap. Where it stands is told by its run while it was not claimed, by its batch from then
-- on, and by a row of outcomes where it fared otherwise than its batch: so what is delivered at the first try, which is
-- nearly all, is written once and never changed but for its payload, which is kept only while it may have to be sent again.
-- The key of a send is its occurrence key, and expires_at is the moment from which on it does not leave any more.
-- holds says whether acknowledged has the key once this was delivered: 1 for what a mode brings about, 0 for what
-- takes a key out again.
-- The check asks for one value after the other, because SQLite builds the list of an `in` anew for each row of an insert:
-- that took half of the time.
create table intents (
    operation_number integer not null primary key,
    operation_id text not null,
    sync_run_id text not null,
    operation text not null check (
        operation = 'add'
        or operation = 'update'
        or operation = 'remove'
        or operation = 'send'
        or operation = 'erase'
    ),
    holds integer not null check (holds in (0, 1)),
    destination_key text not null,
    canonical_id text,
    identifier_key text,
    payload text,
    payload_hash text not null,
    expires_at integer
);

-- At most one operation per run and key; open_run sees to it that no former run has one without an answer.
create unique index intents_by_key on intents (sync_run_id, destination_key);

-- Operations that were not simply delivered with their batch: put off, refused, accepted, in doubt, not let pass.
-- batch_id is empty for what is in no batch, or not any more: its number may lie in the range of one all the same.
-- superseded_at: what ended badly and was planned again since.
create table outcomes (
    operation_number integer not null primary key,
    sync_name text not null,
    lane integer not null check (lane in (0, 1)),
    state text not null,
    reason text,
    receipt text,
    attempts integer not null default 0,
    not_before integer not null default 0,
    batch_id integer,
    finished_at integer,
    superseded_at integer,
    ledger_seq integer not null,
    check (
        (finished_at is null and state in ('in_flight', 'accepted', 'deferred', 'in_doubt'))
        or (
            finished_at is not null
            and state in ('delivered', 'rejected', 'suppressed', 'expired', 'cancelled')
        )
    )
);

create index outcomes_claimable on outcomes (sync_name, lane, operation_number) where state = 'deferred';

create index outcomes_open on outcomes (sync_name, operation_number) where finished_at is null;

create index outcomes_ended_badly on outcomes (sync_name, operation_number)
where finished_at is not null and state in ('rejected', 'expired') and superseded_at is null;

create index outcomes_by_batch on outcomes (batch_id) where batch_id is not null;

-- What acknowledged had of the key of an operation before it was delivered: what undoing it needs. The payload is kept
-- while the sync's undo_days last.
create table formers (
    operation_number integer not null primary key,
    former_hash text not null,
    former_payload text
);

-- One row per claim: being claimed and being in flight are one, committed before a byte leaves. The token is the fence: an
-- answer with an older token changes nothing. Its members are the intents from first_operation to last_operation that have
-- no row of outcomes, none where it holds only what was put off before, and the outcomes with its batch_id; their order is
-- that of the numbers. The former are in flight until answered_at, and delivered from then on.
-- accepted_at: when the destination last accepted some of its operations, as long as one of them has no answer yet.
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
    first_operation integer,
    last_operation integer,
    claimed_seq integer not null,
    answered_at integer,
    answered_seq integer,
    ledger_seq integer not null
);

-- Which batch has a number is asked by the greatest first_operation up to it.
create unique index batches_by_first_operation on batches (first_operation) where first_operation is not null;

create index batches_by_ledger_seq on batches (sync_name, ledger_seq);

create index batches_unsettled on batches (sync_name, batch_id) where state in ('in_flight', 'unknown');

create index batches_accepted on batches (sync_name, batch_id) where accepted_at is not null;

-- Every operation with its state: planned, in_flight, accepted, delivered, rejected, deferred, in_doubt, suppressed, expired,
-- cancelled. To be asked by run or by number; whatever changes an operation stamps its run's row too, so no index on
-- ledger_seq is needed.
create view operations as
select
    intents.operation_number,
    intents.operation_id,
    sync_runs.sync_run_id,
    sync_runs.sync_name,
    intents.operation,
    case when intents.operation_number < sync_runs.first_write then 0 else 1 end as lane,
    intents.holds,
    intents.destination_key,
    intents.canonical_id,
    intents.identifier_key,
    intents.payload,
    intents.payload_hash,
    intents.expires_at,
    case
        when outcomes.operation_number is not null then outcomes.state
        when batches.answered_at is not null then 'delivered'
        when batches.batch_id is not null then 'in_flight'
        else sync_runs.rest
    end as state,
    case
        when outcomes.operation_number is not null then outcomes.reason
        when batches.batch_id is null then sync_runs.rest_reason
    end as reason,
    outcomes.receipt,
    case
        when outcomes.operation_number is not null then outcomes.attempts
        when batches.answered_at is not null then 1
        else 0
    end as attempts,
    coalesce(outcomes.not_before, 0) as not_before,
    case when outcomes.operation_number is not null then outcomes.batch_id else batches.batch_id end as batch_id,
    case
        when outcomes.operation_number is not null then outcomes.finished_at
        when batches.batch_id is not null then batches.answered_at
        else sync_runs.rest_at
    end as finished_at,
    outcomes.superseded_at,
    coalesce(outcomes.ledger_seq, batches.answered_seq, batches.claimed_seq, sync_runs.rest_seq) as ledger_seq
from sync_runs
inner join intents
    on intents.operation_number between sync_runs.first_operation and sync_runs.last_operation
left join outcomes
    on outcomes.operation_number = intents.operation_number
left join batches
    on batches.first_operation = (
        select max(claimed.first_operation)
        from batches as claimed
        where claimed.first_operation <= intents.operation_number
    )
    and batches.last_operation >= intents.operation_number;

-- The operations of each batch; to be asked by batch. Whether an intent has an outcome is asked of each by itself: of
-- `not exists` PostgreSQL makes a join with all outcomes that there ever were.
create view members as
select
    batches.batch_id,
    intents.operation_number,
    intents.operation_id,
    intents.sync_run_id,
    batches.sync_name,
    intents.operation,
    case when intents.operation in ('remove', 'erase') then 0 else 1 end as lane,
    intents.holds,
    intents.destination_key,
    intents.canonical_id,
    intents.identifier_key,
    intents.payload,
    intents.payload_hash,
    case when batches.answered_at is null then 'in_flight' else 'delivered' end as state,
    coalesce(batches.answered_seq, batches.claimed_seq) as ledger_seq
from batches
inner join intents
    on intents.operation_number between batches.first_operation and batches.last_operation
where
    (
        select outcomes.operation_number
        from outcomes
        where outcomes.operation_number = intents.operation_number
    ) is null
union all
select
    outcomes.batch_id,
    intents.operation_number,
    intents.operation_id,
    intents.sync_run_id,
    outcomes.sync_name,
    intents.operation,
    outcomes.lane,
    intents.holds,
    intents.destination_key,
    intents.canonical_id,
    intents.identifier_key,
    intents.payload,
    intents.payload_hash,
    outcomes.state,
    outcomes.ledger_seq
from outcomes
inner join intents
    on intents.operation_number = outcomes.operation_number
where outcomes.batch_id is not null;

-- The keys at whose destination something may be on its way, or have been done, and nobody knows; to be asked by sync.
create view unsettled as
select
    batches.sync_name,
    intents.destination_key,
    intents.payload_hash
from batches
inner join intents
    on intents.operation_number between batches.first_operation and batches.last_operation
where
    batches.state in ('in_flight', 'unknown')
    and batches.answered_at is null
    and (
        select outcomes.operation_number
        from outcomes
        where outcomes.operation_number = intents.operation_number
    ) is null
union all
select
    outcomes.sync_name,
    intents.destination_key,
    intents.payload_hash
from outcomes
inner join intents
    on intents.operation_number = outcomes.operation_number
where
    outcomes.finished_at is null
    and outcomes.state <> 'deferred';

create view dead_letters as
with

standing as (

    select *
    from outcomes
    where
        finished_at is null
        and state = 'in_doubt'
    union all
    select *
    from outcomes
    where
        finished_at is not null
        and state in ('rejected', 'expired')
        and superseded_at is null

)

select
    standing.sync_name,
    standing.operation_number,
    intents.operation_id,
    intents.sync_run_id,
    intents.operation,
    intents.destination_key,
    standing.state,
    standing.reason,
    sync_runs.planned_at
from standing
inner join intents
    on intents.operation_number = standing.operation_number
inner join sync_runs
    on sync_runs.sync_run_id = intents.sync_run_id;

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
