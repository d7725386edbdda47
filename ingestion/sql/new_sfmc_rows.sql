-- The rows of one file with their row_id, without those that an earlier file brought. {key} are the columns
-- that name a row; identical ones inside a file are told apart by their order.
with numbered as (
    select
        incoming.*,
        row_number() over (
            partition by {key}
            order by incoming.line
        ) as ordinal,
    from incoming
),

identified as (
    select
        numbered.* exclude (ordinal),
        sha256(to_json([$system, $kind, {key}, ordinal::varchar])::varchar) as row_id,
        $file_sha256 as file_sha256,
    from numbered
)

select identified.*
from identified
anti join raw.{table} as loaded on identified.row_id = loaded.row_id
order by identified.line
