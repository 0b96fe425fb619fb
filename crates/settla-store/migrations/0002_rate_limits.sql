-- Requests a minute that a tenant may make, where other than usual. They are found together with the key, so that
-- a change counts from the next look-up on.
SET ROLE settla_owner;
SET search_path = settla;
ALTER TABLE tenants
    ADD COLUMN quotes_per_minute integer CHECK (quotes_per_minute > 0),
    ADD COLUMN transfers_per_minute integer CHECK (transfers_per_minute > 0),
    ADD COLUMN treasury_reads_per_minute integer CHECK (treasury_reads_per_minute > 0),
    ADD COLUMN other_per_minute integer CHECK (other_per_minute > 0);
GRANT UPDATE (quotes_per_minute, transfers_per_minute, treasury_reads_per_minute, other_per_minute) ON tenants TO settla_operator;
GRANT CREATE ON SCHEMA settla TO settla_auth;
RESET ROLE;
SET ROLE settla_auth;
DROP FUNCTION find_api_key(bytea, text);
-- In plpgsql, which keeps the plan; as a query in SQL it would be planned at each of the many calls.
CREATE FUNCTION find_api_key(key_hash bytea, key_environment text)
    RETURNS TABLE (id uuid, tenant integer, scopes text[], quotes_per_minute integer, transfers_per_minute integer,
                   treasury_reads_per_minute integer, other_per_minute integer)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = settla, pg_temp AS $$
    BEGIN
        RETURN QUERY SELECT k.id, k.tenant, k.scopes, t.quotes_per_minute, t.transfers_per_minute,
                t.treasury_reads_per_minute, t.other_per_minute
            FROM api_keys k JOIN tenants t ON t.tenant = k.tenant
            WHERE k.hash = key_hash AND k.environment = key_environment AND k.revoked_at IS NULL
              AND (k.expires_at IS NULL OR k.expires_at > now()) AND t.status <> 'closed';
    END $$;
REVOKE EXECUTE ON FUNCTION find_api_key(bytea, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION find_api_key(bytea, text) TO settla_app;
RESET ROLE;
REVOKE CREATE ON SCHEMA settla FROM settla_auth;
RESET search_path;
