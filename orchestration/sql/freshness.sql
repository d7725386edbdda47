-- One row: the newest fact of each kind and when it was loaded.
select
    (select max(received_at) from raw.events) as newest_event_received_at,
    (select max(occurred_at) from raw.events) as newest_event_occurred_at,
    (select max(loaded_at) from raw.event_batches) as last_load_at,
    (select max(loaded_at) from raw.legacy_files) as last_legacy_file_at
