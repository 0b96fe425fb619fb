-- Data growth: tables that grow without bound are kept in monthly partitions, and what need not be kept is swept.
--
-- Partitioned: postings, outbox, events, audit_log, BY RANGE (id). Their ids begin with the millisecond they were made
-- in (UUIDv7; those of effects and postings with that of their transfer or withdrawal), so a month is a range of ids, a
-- look-up by id goes to one partition, and the primary key on the id alone still holds over all of them: the same id
-- always comes to the same partition. A key with a timestamp beside the id would hold nothing.
--
-- Not partitioned: transfers, quotes, withdrawals, top-ups, bank entries and settlements' members, whose other keys (a
-- quote once, a reference once for ever, a line of the statement once, a member in one live batch) must hold over all
-- time; personal_data, whose rows are erased one by one; idempotency, provider_events, commit_markers, which are swept;
-- webhooks' deliveries.
SET ROLE settla_owner;
SET search_path = settla;

-- The least id of an instant. A month is what lies between two of them.
CREATE FUNCTION id_floor(at timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE STRICT AS
    $$ SELECT (lpad(to_hex(floor(extract(epoch FROM at) * 1000)::bigint), 12, '0') || '00000000000000000000')::uuid $$;
-- Whether an id says when it was made.
CREATE FUNCTION has_time(id uuid) RETURNS boolean LANGUAGE sql IMMUTABLE STRICT AS
    $$ SELECT substr(id::text, 15, 1) = '7' $$;

-- How rows live decides how their pages are filled and when they are vacuumed. Partitioned tables themselves hold no
-- rows and take no settings, so each partition is given its table's.
CREATE FUNCTION partition_settings(parent text) RETURNS text LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT CASE parent
        -- Each effect is changed three to five times in its first minutes, then never: room on the page for that (hot
        -- updates where no index changes), and a vacuum after 1,000 dead rows and 1 %, because claims go through the
        -- index of what is open, where dead entries stand in the way at its very beginning.
        WHEN 'outbox' THEN 'fillfactor = 70, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0.01,
            autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02'
        -- Written once: full pages. A vacuum per 5 % of new rows marks pages as all-visible and freezes them while they
        -- are still cached, so that no late one for wrap-around reads the whole month again.
        ELSE 'fillfactor = 100, autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02'
    END
$$;

-- Makes one partition. Nobody reads or writes a partition itself: no role has a privilege on it, row-level security is
-- forced without a policy, and what guards the table against changes guards it too.
CREATE FUNCTION make_partition(parent text, month date) RETURNS void LANGUAGE plpgsql SET search_path = settla, pg_temp AS $$
DECLARE
    part text := parent || to_char(month, '_YYYY_MM');
    rest text := parent || '_rest';
    low uuid := id_floor(month::timestamp AT TIME ZONE 'UTC');
    high uuid := id_floor((month + interval '1 month')::timestamp AT TIME ZONE 'UTC');
    definition text;
    early boolean;
BEGIN
    IF to_regclass(format('settla.%I', part)) IS NOT NULL THEN RETURN; END IF;
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)', part, parent);
    EXECUTE format('ALTER TABLE %I SET (%s)', part, partition_settings(parent));
    -- Rows that came before their partition, by a clock that was far ahead, move into it.
    EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', rest);
    EXECUTE format('SELECT EXISTS (SELECT FROM %I WHERE id >= $1 AND id < $2)', rest) INTO early USING low, high;
    IF early THEN
        EXECUTE format('ALTER TABLE %1$I NO FORCE ROW LEVEL SECURITY, DISABLE TRIGGER USER', rest);
        EXECUTE format('WITH moved AS (DELETE FROM %I WHERE id >= $1 AND id < $2 RETURNING *) INSERT INTO %I SELECT * FROM moved',
            rest, part) USING low, high;
        EXECUTE format('ALTER TABLE %1$I FORCE ROW LEVEL SECURITY, ENABLE TRIGGER USER', rest);
    END IF;
    EXECUTE format('ALTER TABLE %1$I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', part);
    -- Attached, not made as a partition: that would keep everybody from the table meanwhile.
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, part, low, high);
    FOR definition IN SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = parent::regclass
            AND NOT tgisinternal AND tgfoid = 'refuse_change'::regproc LOOP
        EXECUTE replace(definition, format(' ON settla.%I ', parent), format(' ON settla.%I ', part));
    END LOOP;
END $$;
REVOKE EXECUTE ON FUNCTION make_partition(text, date) FROM PUBLIC;

-- Makes the partitions of this and the next three months. Whoever comes second finds them made. A table that is too
-- busy to be locked for a moment is left for the next time, and does not keep the others from theirs.
CREATE FUNCTION make_partitions() RETURNS void LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = settla, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    parent text;
    this_month date := date_trunc('month', now() AT TIME ZONE 'UTC');
    month date;
BEGIN
    FOR parent IN SELECT relname FROM pg_class WHERE relnamespace = 'settla'::regnamespace AND relkind = 'p' ORDER BY 1 LOOP
        FOR ahead IN 0..3 LOOP
            month := this_month + ahead * interval '1 month';
            CONTINUE WHEN to_regclass(format('settla.%I', parent || to_char(month, '_YYYY_MM'))) IS NOT NULL;
            BEGIN
                PERFORM pg_advisory_xact_lock(hashtext('settla partitions'));
                PERFORM make_partition(parent, month);
            EXCEPTION WHEN lock_not_available THEN
                RAISE WARNING 'partition % of % has to wait', month, parent;
            END;
        END LOOP;
    END LOOP;
END $$;
REVOKE EXECUTE ON FUNCTION make_partitions() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION make_partitions() TO settla_worker;

-- The number of an event within its tenant was its table's primary key, which deliveries referred to. A partitioned
-- table cannot have such a key; see number_events below for what holds it now. Tables that grow with every transfer
-- have no foreign keys among one another: a month of one could not be detached before all others'.
DO $$
DECLARE key text;
BEGIN
    FOR key IN SELECT conname FROM pg_constraint WHERE contype = 'f' AND conrelid = 'webhook_deliveries'::regclass
            AND confrelid = 'events'::regclass LOOP
        EXECUTE format('ALTER TABLE webhook_deliveries DROP CONSTRAINT %I', key);
    END LOOP;
    ALTER TABLE events DROP CONSTRAINT events_pkey;
    -- In this order: of two indexes that seem as good to a plan made for an empty table, the later one is taken.
    DROP INDEX events_by_subject;
    CREATE INDEX events_by_number ON events (tenant, sequence);
    CREATE INDEX events_by_subject ON events (tenant, subject, sequence);
    ALTER TABLE events ADD PRIMARY KEY (id);
END $$;

-- Rebuilds a table as a partitioned one with everything it has: columns, defaults, identity, checks, indexes, triggers,
-- policies, privileges. What it would have to leave behind stops it. It takes as long as copying the rows does, and
-- nobody reads or writes them meanwhile.
CREATE FUNCTION partition_by_month(parent text) RETURNS void LANGUAGE plpgsql SET search_path = settla, pg_temp AS $$
DECLARE
    before text := parent || '_before';
    old oid := parent::regclass;
    this_month date := date_trunc('month', now() AT TIME ZONE 'UTC');
    afterwards text[] := '{}';
    counters jsonb := '{}';
    counter jsonb;
    statement text;
    month date;
    r record;
BEGIN
    IF EXISTS (SELECT FROM pg_constraint WHERE (conrelid = old AND contype NOT IN ('c', 'p', 'n')) OR confrelid = old) THEN
        RAISE EXCEPTION '% has keys that a partitioned table cannot have', parent;
    END IF;
    afterwards := afterwards || ARRAY(SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = old AND NOT indisprimary ORDER BY indexrelid);
    afterwards := afterwards || ARRAY(SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = old AND NOT tgisinternal);
    afterwards := afterwards || ARRAY(
        SELECT format('CREATE POLICY %I ON %I AS %s FOR %s TO %s', policyname, parent, permissive, cmd,
                (SELECT string_agg(quote_ident(role), ', ') FROM unnest(roles) role))
            || coalesce(' USING (' || qual || ')', '') || coalesce(' WITH CHECK (' || with_check || ')', '')
        FROM pg_policies WHERE schemaname = 'settla' AND tablename = parent);
    afterwards := afterwards || ARRAY(
        SELECT format('GRANT %s ON %I TO %s', privilege_type, parent, grantee::regrole)
        FROM pg_class, aclexplode(relacl) WHERE oid = old AND grantee <> relowner
        UNION ALL
        SELECT format('GRANT %s (%I) ON %I TO %s', privilege_type, attname, parent, grantee::regrole)
        FROM pg_attribute, aclexplode(attacl) WHERE attrelid = old AND NOT attisdropped);
    FOR r IN SELECT attname FROM pg_attribute WHERE attrelid = old AND attidentity <> '' AND NOT attisdropped LOOP
        EXECUTE format('SELECT jsonb_build_object(%L, CASE WHEN is_called THEN last_value END) FROM %s', r.attname,
            pg_get_serial_sequence('settla.' || parent, r.attname)) INTO counter;
        counters := counters || counter;
    END LOOP;

    EXECUTE format('ALTER TABLE %I RENAME TO %I', parent, before);
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING IDENTITY INCLUDING STORAGE)
        PARTITION BY RANGE (id)', parent, before);
    -- What belongs to no month: ids without a time in them, and what came by a wrong clock. Without a place for the
    -- latter such a clock would stop everything; so there is one, it is watched, and it should hold none.
    EXECUTE format('CREATE TABLE %I PARTITION OF %I DEFAULT', parent || '_rest', parent);
    EXECUTE format('ALTER TABLE %I SET (%s)', parent || '_rest', partition_settings(parent));
    EXECUTE format('CREATE POLICY owner ON %I FOR SELECT TO settla_owner USING (true)', parent || '_rest');
    EXECUTE format('CREATE POLICY auditor ON %I FOR SELECT TO settla_auditor USING (true)', parent || '_rest');
    EXECUTE format('GRANT SELECT ON %I TO settla_auditor', parent || '_rest');
    EXECUTE format('CREATE INDEX %I ON %I (id) WHERE has_time(id)', parent || '_strays', parent || '_rest');
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', parent || '_rest');
    -- To the owner, too, rows are hidden: not while they are copied.
    EXECUTE format('ALTER TABLE %I NO FORCE ROW LEVEL SECURITY', before);
    -- From the month before this one on: the clocks of other machines may be a little behind.
    FOR month IN EXECUTE format(
        'SELECT (date_trunc(''month'', to_timestamp((''x'' || substr(replace(id::text, ''-'', ''''), 1, 12))::bit(48)::bigint / 1000.0) AT TIME ZONE ''UTC''))::date
         FROM %I WHERE has_time(id) AND id >= id_floor(now() - interval ''10 years'') AND id < id_floor(now() + interval ''3 months'')
         UNION SELECT (%L::date + n * interval ''1 month'')::date FROM generate_series(-1, 3) n ORDER BY 1', before, this_month) LOOP
        PERFORM make_partition(parent, month);
    END LOOP;
    EXECUTE format('INSERT INTO %I OVERRIDING SYSTEM VALUE SELECT * FROM %I', parent, before);
    EXECUTE format('DROP TABLE %I', before);
    EXECUTE format('ALTER TABLE %I ADD PRIMARY KEY (id)', parent);
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', parent);
    FOREACH statement IN ARRAY afterwards LOOP
        EXECUTE statement;
    END LOOP;
    FOR r IN SELECT key, value::bigint FROM jsonb_each_text(counters) WHERE value IS NOT NULL LOOP
        PERFORM setval(pg_get_serial_sequence('settla.' || parent, r.key), r.value);
    END LOOP;
    -- The partitions were made before the table had its guards.
    FOR statement IN SELECT replace(pg_get_triggerdef(t.oid), format(' ON settla.%I ', parent), format(' ON %s ', i.inhrelid::regclass))
            FROM pg_trigger t JOIN pg_inherits i ON i.inhparent = t.tgrelid
            WHERE t.tgrelid = parent::regclass AND NOT t.tgisinternal AND t.tgfoid = 'refuse_change'::regproc LOOP
        EXECUTE statement;
    END LOOP;
END $$;
SELECT partition_by_month(t) FROM unnest(ARRAY['postings', 'outbox', 'events', 'audit_log']) t;
DROP FUNCTION partition_by_month(text);

-- A tenant's events are numbered by its lock's row, which moves up to the last number of what is inserted, from the one
-- just before the first, or else nothing is inserted: no number is given twice, and none is left out. It never moves
-- down.
CREATE FUNCTION number_events() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE astray integer;
BEGIN
    WITH numbers AS (
        SELECT tenant, min(sequence) AS first, max(sequence) AS last, count(*) AS n, count(DISTINCT sequence) AS different
        FROM inserted GROUP BY tenant),
    moved AS (
        UPDATE settla.tenant_locks l SET event_sequence = k.last FROM numbers k
        WHERE l.tenant = k.tenant AND l.event_sequence = k.first - 1 AND k.n = k.different AND k.last = k.first + k.n - 1
        RETURNING l.tenant)
    SELECT count(*) INTO astray FROM numbers WHERE tenant NOT IN (SELECT tenant FROM moved);
    IF astray > 0 THEN
        RAISE EXCEPTION 'events are numbered one after the other' USING ERRCODE = 'unique_violation', CONSTRAINT = 'events_numbered';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER numbered AFTER INSERT ON events REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION number_events();
CREATE FUNCTION refuse_lower_number() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'numbers of events only grow' USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'events_numbered'; END $$;
CREATE TRIGGER numbers_grow BEFORE UPDATE OF event_sequence ON tenant_locks FOR EACH ROW
    WHEN (NEW.event_sequence < OLD.event_sequence) EXECUTE FUNCTION refuse_lower_number();

-- Months that are taken out ------------------------------------------------------------------------------------

-- For how many months after its own a month is kept at least; nothing: for ever. The books are added up from all
-- postings.
CREATE FUNCTION months_kept(parent text) RETURNS integer LANGUAGE sql IMMUTABLE STRICT AS
    $$ SELECT CASE parent WHEN 'outbox' THEN 3 WHEN 'events' THEN 13 WHEN 'audit_log' THEN 84 END $$;
GRANT CREATE ON SCHEMA settla TO settla_auditor;
RESET ROLE;
SET ROLE settla_auditor;
-- What a month of a table is still needed for. It belongs to the role that reads everybody's rows and changes none.
CREATE FUNCTION partition_needed_for(parent text, low uuid, high uuid) RETURNS text
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = settla, pg_temp AS $$
    SELECT CASE
        WHEN EXISTS (SELECT FROM transfers WHERE id < high AND state NOT IN ('COMPLETED', 'CANCELLED', 'REFUNDED', 'FAILED'))
            THEN 'a transfer of that month or an earlier one has not ended'
        WHEN EXISTS (SELECT FROM withdrawals WHERE id < high AND state IN ('PENDING', 'UNDER_REVIEW'))
            THEN 'a withdrawal of that month or an earlier one has not ended'
        WHEN parent = 'outbox' AND EXISTS (SELECT FROM outbox WHERE id >= low AND id < high AND status NOT IN ('done', 'cancelled'))
            THEN 'an effect of that month has not ended'
        WHEN parent = 'outbox' AND EXISTS (
            SELECT FROM settlements s JOIN settlement_members m ON m.batch = s.batch
            WHERE (s.status NOT IN ('done', 'failed') OR s.status = 'done' AND NOT s.final)
              AND NOT m.released AND m.effect >= low AND m.effect < high)
            THEN 'a settlement batch with an effect of that month is not final'
        WHEN parent = 'events' AND EXISTS (SELECT FROM webhook_deliveries WHERE status = 'pending' AND event_id >= low AND event_id < high)
            THEN 'an event of that month is not delivered'
    END
$$;
REVOKE EXECUTE ON FUNCTION partition_needed_for(text, uuid, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION partition_needed_for(text, uuid, uuid) TO settla_owner;
RESET ROLE;
SET ROLE settla_owner;
REVOKE CREATE ON SCHEMA settla FROM settla_auditor;

-- Takes a month out of a table, into a table of its own that nobody but the owner reaches: to be copied away and
-- dropped. Says why not, if it does not. Not CONCURRENTLY, which Postgres does not do beside a default partition: the
-- table is locked for the moment that this takes, and waited for no longer than two seconds.
CREATE FUNCTION detach_partition(parent text, month date) RETURNS text LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = settla, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    part text := parent || to_char(month, '_YYYY_MM');
    needed_for text;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_inherits WHERE inhparent = to_regclass(format('settla.%I', parent))
                   AND inhrelid = to_regclass(format('settla.%I', part))) OR extract(day FROM month) <> 1 THEN
        RETURN 'there is no such month of such a table';
    END IF;
    IF months_kept(parent) IS NULL THEN RETURN 'this table is kept for ever'; END IF;
    IF month + (months_kept(parent) + 1) * interval '1 month' > now() AT TIME ZONE 'UTC' THEN
        RETURN format('a month of it is kept for %s months after it', months_kept(parent));
    END IF;
    EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', parent);
    needed_for := partition_needed_for(parent, id_floor(month::timestamp AT TIME ZONE 'UTC'),
        id_floor((month + interval '1 month')::timestamp AT TIME ZONE 'UTC'));
    IF needed_for IS NULL THEN
        EXECUTE format('ALTER TABLE %I DETACH PARTITION %I', parent, part);
    END IF;
    RETURN needed_for;
END $$;
REVOKE EXECUTE ON FUNCTION detach_partition(text, date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION detach_partition(text, date) TO settla_operator;

-- What need not be kept ----------------------------------------------------------------------------------------

-- Workers delete it a bounded number of rows at a time. How old it has to be is a policy: to whoever sweeps, nothing
-- else is there.
CREATE POLICY sweep ON idempotency TO settla_worker USING (created_at < now() - interval '24 hours');
GRANT SELECT, DELETE ON idempotency TO settla_worker;
-- A day more than the key that made it, whose answer it is.
CREATE POLICY sweep ON quotes TO settla_worker USING (NOT used AND expires_at < now() - interval '2 days');
GRANT SELECT, DELETE ON quotes TO settla_worker;
CREATE INDEX quotes_unused ON quotes (expires_at) WHERE NOT used;
-- A batch is asked about while its process waits for it, at most as long as the database is out of that one's reach.
ALTER TABLE commit_markers ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY runner ON commit_markers TO settla_runner USING (true);
CREATE POLICY auditor ON commit_markers FOR SELECT TO settla_auditor USING (true);
CREATE POLICY sweep ON commit_markers TO settla_worker USING (at < now() - interval '7 days');
GRANT SELECT, DELETE ON commit_markers TO settla_worker;
-- A provider gives up on a webhook within days. One that comes after this is a finding that is known already.
ALTER TABLE provider_events ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY worker_reads ON provider_events FOR SELECT TO settla_worker USING (true);
CREATE POLICY worker_keeps ON provider_events FOR INSERT TO settla_worker WITH CHECK (true);
CREATE POLICY worker_moves ON provider_events FOR UPDATE TO settla_worker USING (true);
CREATE POLICY auditor ON provider_events FOR SELECT TO settla_auditor USING (true);
CREATE POLICY sweep ON provider_events FOR DELETE TO settla_worker USING (processed AND received_at < now() - interval '30 days');
GRANT DELETE ON provider_events TO settla_worker;
CREATE INDEX provider_events_processed ON provider_events (received_at) WHERE processed;

-- How the other tables that every payment writes to are kept in shape. fillfactor is explained by what changes: rows
-- that are updated in place need room for their next version on the same page.
-- transfers: five to eight updates in the first minutes, of which each changes an index (state); then none.
ALTER TABLE transfers SET (autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02);
-- quotes: one update (used), and what is not used is deleted after two days.
ALTER TABLE quotes SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.02);
-- Deleted as fast as inserted: as many dead rows as 5 % of what they keep, which a vacuum gives to the next ones.
ALTER TABLE idempotency SET (autovacuum_vacuum_scale_factor = 0.05);
ALTER TABLE commit_markers SET (autovacuum_vacuum_scale_factor = 0.05);
ALTER TABLE provider_events SET (autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0.02);
-- A row a tenant (and currency), updated by every batch: half of each page is free (fillfactor 50), so that updates are
-- hot and pruned by the next reader; a vacuum counts dead rows alone, for a share of so few rows would be nothing.
ALTER TABLE positions SET (autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);
ALTER TABLE tenant_locks SET (autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);
RESET ROLE;
RESET search_path;
