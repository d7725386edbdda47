-- Keys that left the source in a mode that forgets them: when they come back they are new.
-- {{ stayed }} are keys that did not leave, though the source does not show them.
create or replace temp table plan_forgotten as
select plan_acknowledged.destination_key
from plan_acknowledged
anti join plan_desired
    on plan_desired.destination_key = plan_acknowledged.destination_key
anti join ({{ stayed }}) as stayed
    on stayed.destination_key = plan_acknowledged.destination_key
