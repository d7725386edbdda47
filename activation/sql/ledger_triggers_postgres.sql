create function refuse_change_of_routes() returns trigger language plpgsql as $$
begin
    raise exception 'routes are changed only by appending';
end
$$;

create trigger routes_never_change before update on routes
for each row execute function refuse_change_of_routes();

create trigger routes_never_leave before delete on routes
for each row execute function refuse_change_of_routes();
