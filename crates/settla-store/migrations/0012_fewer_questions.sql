-- Fewer questions to the database, and cheaper ones: what many ask for at the same time is answered by one statement, what
-- seldom changes is asked for when it has changed, and no look-up gets slower with the number of tenants of its batch.
DO $$
DECLARE
    may text := CASE WHEN current_setting('server_version_num')::integer >= 160000 THEN 'SET' ELSE 'MEMBER' END;
BEGIN
    BEGIN
        CREATE ROLE settla_payer NOLOGIN;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; -- roles are per cluster, databases share them
    END;
    IF NOT pg_has_role(current_user, 'settla_payer', may) THEN
        BEGIN
            EXECUTE format('GRANT settla_payer TO %I', current_user);
        EXCEPTION WHEN OTHERS THEN
            -- Another database's migration may just have written it ("tuple concurrently updated").
            IF NOT pg_has_role(current_user, 'settla_payer', may) THEN RAISE; END IF;
        END;
    END IF;
END $$;
GRANT USAGE ON SCHEMA settla TO settla_payer;
SET ROLE settla_owner;
SET search_path = settla;

-- A batch's tenants are a list. As a plain condition on the column it would be one for the index too, which would then be
-- searched once for each of them at every look-up; in a sum it only filters what the look-up by key has found.
DO $$
DECLARE t text;
BEGIN
    FOR t IN SELECT tablename FROM pg_policies WHERE schemaname = 'settla' AND policyname = 'runner' AND qual LIKE '%batch_tenants%' LOOP
        EXECUTE format('ALTER POLICY runner ON %I USING (tenant + 0 = ANY ((SELECT batch_tenants())::integer[]))', t);
    END LOOP;
END $$;
-- Whoever pays reads personal data of those to be paid, and nothing else; requests read none.
CREATE POLICY payer ON personal_data FOR SELECT TO settla_payer
    USING (tenant + 0 = ANY ((SELECT batch_tenants())::integer[]));
GRANT SELECT ON personal_data TO settla_payer;
REVOKE SELECT ON personal_data FROM settla_app;
DROP POLICY app ON personal_data;

-- A transfer on its way changes state four times. As long as no index holds the state, its new version stays in its page
-- and no index has to learn of it; the index of those on their way holds only whether they are.
ALTER TABLE transfers ADD COLUMN live boolean
    GENERATED ALWAYS AS (state NOT IN ('COMPLETED', 'CANCELLED', 'REFUNDED', 'FAILED')) STORED;
CREATE INDEX transfers_live ON transfers (id) WHERE live;
DROP INDEX transfers_open;

-- What was agreed with a tenant changes seldom. Its revision is in the row that every batch of the tenant locks, so
-- whoever holds that row knows whether what it remembers is still so; a change waits for the batch.
ALTER TABLE tenant_locks ADD COLUMN terms_revision bigint NOT NULL DEFAULT 0;
-- Keys, and what comes with them: one number for all tenants, which processes that remember any look at all the time.
CREATE TABLE access_revision (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    revision bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
INSERT INTO access_revision DEFAULT VALUES;
GRANT SELECT ON access_revision TO settla_app, settla_auditor;
GRANT SELECT, UPDATE (revision) ON access_revision TO settla_auth;
GRANT SELECT, UPDATE (terms_revision) ON tenant_locks TO settla_auth;
CREATE POLICY auth ON tenant_locks TO settla_auth USING (true);

-- Keys of many requests are looked up by one statement.
GRANT CREATE ON SCHEMA settla TO settla_auth;
RESET ROLE;
SET ROLE settla_auth;
DROP FUNCTION find_api_key(bytea, text);
-- The plan is kept: one that was made while there were few keys must not read all of them for ever.
CREATE FUNCTION find_api_keys(key_hashes bytea[], key_environment text)
    RETURNS TABLE (hash bytea, id uuid, tenant integer, scopes text[], expires_at timestamptz, quotes_per_minute integer, transfers_per_minute integer,
                   treasury_reads_per_minute integer, other_per_minute integer)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = settla, pg_temp SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
    BEGIN
        RETURN QUERY SELECT k.hash, k.id, k.tenant, k.scopes, k.expires_at, t.quotes_per_minute, t.transfers_per_minute,
                t.treasury_reads_per_minute, t.other_per_minute
            FROM api_keys k JOIN tenants t ON t.tenant = k.tenant
            WHERE k.hash = ANY (key_hashes) AND k.environment = key_environment AND k.revoked_at IS NULL
              AND (k.expires_at IS NULL OR k.expires_at > now()) AND t.status <> 'closed';
    END $$;
REVOKE EXECUTE ON FUNCTION find_api_keys(bytea[], text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION find_api_keys(bytea[], text) TO settla_app;
-- Whoever makes a change need not be allowed to touch the revisions.
CREATE FUNCTION terms_changed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = settla, pg_temp AS $$
    BEGIN
        UPDATE tenant_locks SET terms_revision = terms_revision + 1 WHERE tenant = coalesce(NEW.tenant, OLD.tenant);
        RETURN NULL;
    END $$;
CREATE FUNCTION access_changed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = settla, pg_temp AS $$
    BEGIN
        UPDATE access_revision SET revision = revision + 1;
        RETURN NULL;
    END $$;
REVOKE EXECUTE ON FUNCTION terms_changed(), access_changed() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION terms_changed(), access_changed() TO settla_owner;
RESET ROLE;
SET ROLE settla_owner;
DO $$
DECLARE t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['tenants', 'fee_schedules', 'limits'] LOOP
        EXECUTE format('CREATE TRIGGER terms_changed AFTER INSERT OR UPDATE OR DELETE ON %I FOR EACH ROW EXECUTE FUNCTION terms_changed()', t);
    END LOOP;
    FOREACH t IN ARRAY ARRAY['tenants', 'fee_schedules', 'limits', 'api_keys'] LOOP
        EXECUTE format('CREATE TRIGGER access_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON %I EXECUTE FUNCTION access_changed()', t);
    END LOOP;
END $$;
CREATE TRIGGER terms_changed AFTER INSERT OR DELETE OR UPDATE OF status, events ON webhook_endpoints
    FOR EACH ROW EXECUTE FUNCTION terms_changed();
RESET ROLE;
REVOKE CREATE ON SCHEMA settla FROM settla_auth;
RESET search_path;
