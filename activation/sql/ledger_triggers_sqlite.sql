create trigger routes_never_change before update on routes
begin select raise(abort, 'routes are changed only by appending'); end;

create trigger routes_never_leave before delete on routes
begin select raise(abort, 'routes are changed only by appending'); end;
