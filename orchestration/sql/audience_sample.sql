-- A few members of one audience, the same ones each time, with their addresses masked.
select
    canonical_id,
    channel,
    case identifier_type
        when 'email' then
            left(identifier_value, 1) || '***@' || split_part(identifier_value, '@', 2)
        else left(identifier_value, 3) || '***' || right(identifier_value, 2)
    end as address,
    consent_rule
from marts.audience_memberships
where audience_name = $audience
order by md5(canonical_id), channel
limit $sample_size
