-- Tenants make, list, rotate and revoke their own keys. A key can be limited to addresses, notes when it was used last, and
-- is hashed anew under the present secret when it is used.
SET ROLE settla_owner;
SET search_path = settla;
ALTER TABLE api_keys
    ADD COLUMN allowed_ips cidr[] NOT NULL DEFAULT '{}' CHECK (cardinality(allowed_ips) <= 32),
    -- The key that a request made it with: whoever had that one has had this one.
    ADD COLUMN made_by uuid,
    -- A rotation ends the older key here, and leaves what its answers said as it was.
    ADD COLUMN retires_at timestamptz,
    ADD COLUMN replaces uuid,
    ADD COLUMN replaced_until timestamptz CHECK ((replaced_until IS NULL) = (replaces IS NULL)),
    ADD CONSTRAINT api_keys_scopes CHECK (cardinality(scopes) BETWEEN 1 AND 16),
    ADD CONSTRAINT api_keys_name CHECK (length(name) BETWEEN 1 AND 64),
    ADD CONSTRAINT api_keys_of_tenant UNIQUE (tenant, id),
    ADD CONSTRAINT api_keys_replaces FOREIGN KEY (tenant, replaces) REFERENCES api_keys (tenant, id),
    ADD CONSTRAINT api_keys_made_by FOREIGN KEY (tenant, made_by) REFERENCES api_keys (tenant, id);
DROP INDEX api_keys_by_tenant;
-- What was revoked is never deleted, and must not be walked through when a key is made or contained.
CREATE INDEX api_keys_good ON api_keys (tenant, environment) WHERE revoked_at IS NULL;
CREATE INDEX api_keys_made_by ON api_keys (tenant, made_by) WHERE made_by IS NOT NULL;
GRANT INSERT, UPDATE (retires_at, revoked_at) ON api_keys TO settla_app;
GRANT UPDATE (hash, hash_version, last_used_at) ON api_keys TO settla_auth;
CREATE POLICY auth_use ON api_keys FOR UPDATE TO settla_auth USING (true);

-- That a key was used, or hashed under another secret, changes nothing that is remembered of it; what is no key yet is not
-- remembered at all.
DROP TRIGGER access_changed ON api_keys;
CREATE TRIGGER access_changed AFTER DELETE OR TRUNCATE OR UPDATE OF scopes, allowed_ips, expires_at, retires_at, revoked_at ON api_keys
    EXECUTE FUNCTION access_changed();

GRANT CREATE ON SCHEMA settla TO settla_auth;
RESET ROLE;
SET ROLE settla_auth;
DROP FUNCTION find_api_keys(bytea[], text);
-- The plan is kept: one that was made while there were few keys must not read all of them for ever.
CREATE FUNCTION find_api_keys(key_hashes bytea[], key_environment text)
    RETURNS TABLE (hash bytea, id uuid, tenant integer, scopes text[], allowed_ips text[], expires_at timestamptz, quotes_per_minute integer,
                   transfers_per_minute integer, treasury_reads_per_minute integer, other_per_minute integer)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = settla, pg_temp SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
    BEGIN
        RETURN QUERY SELECT k.hash, k.id, k.tenant, k.scopes, k.allowed_ips::text[], least(k.expires_at, k.retires_at), t.quotes_per_minute,
                t.transfers_per_minute, t.treasury_reads_per_minute, t.other_per_minute
            FROM api_keys k JOIN tenants t ON t.tenant = k.tenant
            WHERE k.hash = ANY (key_hashes) AND k.environment = key_environment AND k.revoked_at IS NULL
              AND coalesce(least(k.expires_at, k.retires_at) > now(), true) AND t.status <> 'closed';
    END $$;
-- Uses of many keys are written down by one statement, in one order everywhere; a key that is being changed is left for the
-- next time. What was noted is never taken back, nor is it ever in the future.
CREATE FUNCTION note_key_uses(ids uuid[], used_at timestamptz[]) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = settla, pg_temp SET enable_seqscan = off AS $$
        WITH u AS (
            SELECT k.id, u.used_at FROM unnest(ids, used_at) AS u (id, used_at) JOIN api_keys k ON k.id = u.id
            WHERE k.last_used_at IS NULL OR k.last_used_at < u.used_at ORDER BY k.id FOR NO KEY UPDATE OF k SKIP LOCKED)
        UPDATE api_keys k SET last_used_at = least(u.used_at, now()) FROM u WHERE k.id = u.id
    $$;
-- Whoever presents a key can hash it under the present secret. It stays the same key, and never goes back to an older secret.
CREATE FUNCTION rehash_api_key(old_hash bytea, new_hash bytea, new_version smallint) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = settla, pg_temp SET enable_seqscan = off AS $$
        UPDATE api_keys SET hash = new_hash, hash_version = new_version WHERE hash = old_hash AND hash_version < new_version
    $$;
REVOKE EXECUTE ON FUNCTION find_api_keys(bytea[], text), note_key_uses(uuid[], timestamptz[]),
    rehash_api_key(bytea, bytea, smallint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION find_api_keys(bytea[], text), note_key_uses(uuid[], timestamptz[]),
    rehash_api_key(bytea, bytea, smallint) TO settla_app;
RESET ROLE;
REVOKE CREATE ON SCHEMA settla FROM settla_auth;
RESET search_path;
