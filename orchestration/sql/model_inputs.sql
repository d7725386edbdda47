-- One row per schema that the models read: a text that changes whenever its content does. The tables of `raw`
-- only grow, and their commits carry the time of the load; those of `activation` carry the ledger's number.
select
    'raw' as source_name,
    concat_ws(
        '/',
        (select count(*) from raw.event_batches),
        (select max(loaded_at) from raw.event_batches),
        (select count(*) from raw.events),
        (select count(*) from raw.events_quarantined),
        (select count(*) from raw.events_duplicated),
        (select count(*) from raw.identifiers),
        (select count(*) from raw.legacy_files),
        (select max(loaded_at) from raw.legacy_files),
        -- replaced as a whole, so by content
        (
            select coalesce(bit_xor(hash(from_key, to_key, score, agreement, suspected_at)), 0)
            from raw.identity_suspicions
        ),
        (select count(*) from raw.definitions),
        (select max(loaded_at) from raw.definitions)
    ) as state

union all

select
    'activation' as source_name,
    concat_ws(
        '/',
        (select count(*) from activation.operations),
        (select max(ledger_seq) from activation.operations),
        (select count(*) from activation.sync_runs),
        (select max(ledger_seq) from activation.sync_runs),
        (select count(*) from activation.acknowledged),
        (select max(ledger_seq) from activation.acknowledged)
    ) as state
