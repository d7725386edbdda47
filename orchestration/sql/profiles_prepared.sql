-- Profiles as they are compared: without case, accents, marks and spaces that say nothing, in an order of their own.
-- The table `profiles` has identifier_key and the traits as text, a date of birth as YYYY-MM-DD.
select
    identifier_key,
    nullif(regexp_replace(lower(strip_accents(first_name)), '[^\pL]+', '', 'g'), '') as first_name,
    nullif(regexp_replace(lower(strip_accents(last_name)), '[^\pL]+', '', 'g'), '') as last_name,
    nullif(trim(date_of_birth), '') as date_of_birth,
    nullif(regexp_replace(lower(strip_accents(street)), '[^\pL0-9]+', ' ', 'g'), '') as street,
    nullif(regexp_replace(lower(strip_accents(city)), '[^\pL0-9]+', ' ', 'g'), '') as city,
    nullif(regexp_replace(lower(postal_code), '[^a-z0-9]+', '', 'g'), '') as postal_code,
    nullif(lower(trim(country)), '') as country,
    -- the national part: with and without the country's code it is one number
    nullif(right(regexp_replace(phone, '[^0-9]+', '', 'g'), 9), '') as phone,
    nullif(lower(trim(email)), '') as email
from profiles
order by identifier_key
