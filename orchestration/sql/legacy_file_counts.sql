-- One row per kind of legacy file: rows accepted, and files set aside with their reason.
select
    system,
    kind,
    sum(case when status = 'accepted' then row_count else 0 end) as accepted_rows,
    sum(case when status = 'quarantined' then 1 else 0 end) as quarantined_files,
    min(case when status = 'quarantined' then archive_name || ': ' || code || ' ' || reason end) as first_reason
from raw.legacy_files
group by system, kind
order by system, kind
