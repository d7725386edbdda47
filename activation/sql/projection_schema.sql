create schema if not exists activation;

create table if not exists activation.sync_runs (
    sync_run_id varchar,
    sync_name varchar,
    destination varchar,
    planned_at timestamp,
    finished_at timestamp,
    adds bigint,
    updates bigint,
    removes bigint,
    erases bigint,
    sends bigint,
    delivered bigint,
    rejected bigint,
    suppressed bigint,
    deferred bigint,
    accepted bigint,
    in_doubt bigint,
    ledger_seq bigint
);

create table if not exists activation.operations (
    operation_id varchar,
    sync_run_id varchar,
    sync_name varchar,
    destination varchar,
    operation varchar,
    holds bigint,
    destination_key_hash varchar,
    canonical_id varchar,
    identifier_key varchar,
    channel varchar,
    state varchar,
    reason varchar,
    attempts bigint,
    batch_id bigint,
    receipt varchar,
    planned_at timestamp,
    finished_at timestamp,
    superseded_at timestamp,
    definition_hash varchar,
    payload_hash varchar,
    ledger_seq bigint
);

create table if not exists activation.attempts (
    batch_id bigint,
    sync_name varchar,
    sync_run_id varchar,
    token bigint,
    finished_at timestamp,
    delivered bigint,
    accepted bigint,
    rejected bigint,
    deferred bigint,
    unknown bigint,
    reason varchar,
    is_late bigint,
    ledger_seq bigint
);

create table if not exists activation.acknowledged (
    sync_name varchar,
    destination_key varchar,
    canonical_id varchar,
    identifier_key varchar,
    payload_hash varchar,
    acknowledged_at timestamp,
    ledger_seq bigint
);

create table if not exists activation.projection_state (
    ledger_id varchar,
    ledger_seq bigint
)
