-- Lift what the marts no longer deny: rows of the marts feed itself, and rows of other feeds only
-- when the marts have already seen the moment at which they were denied.
delete from denials
where
    (feed = :feed or denied_at <= :watermark)
    and not exists (
        select 1
        from fresh_denials
        where
            fresh_denials.identifier_key = denials.identifier_key
            and fresh_denials.channel in (denials.channel, '*')
    )
    and not exists (
        select 1
        from fresh_denials
        where
            fresh_denials.canonical_id = denials.canonical_id
            and fresh_denials.channel in (denials.channel, '*')
    )
