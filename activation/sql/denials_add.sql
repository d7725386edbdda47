-- Add what the marts deny now and the feed does not hold yet.
insert into denials (feed, identifier_key, canonical_id, channel, reason, denied_at)
select
    :feed,
    fresh_denials.identifier_key,
    fresh_denials.canonical_id,
    fresh_denials.channel,
    min(fresh_denials.reason),
    min(fresh_denials.denied_at)
from fresh_denials
where true
group by fresh_denials.identifier_key, fresh_denials.canonical_id, fresh_denials.channel
on conflict do nothing
