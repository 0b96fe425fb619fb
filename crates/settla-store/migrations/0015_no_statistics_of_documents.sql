-- No statistics of what nobody searches by. ANALYZE reads 30,000 rows of a table, whatever its size, and sorts the values of
-- each column: of documents (JSON) and sealed data that took four fifths of all that autovacuum did, under load half a
-- core for ten seconds of every minute, with a snapshot for which Postgres kept every version of every position.
SET ROLE settla_owner;
SET search_path = settla;

CREATE FUNCTION leave_documents_out_of_statistics(part regclass) RETURNS void LANGUAGE plpgsql
    SET search_path = settla, pg_temp AS $$
DECLARE name text;
BEGIN
    FOR name IN SELECT attname FROM pg_attribute WHERE attrelid = part AND attnum > 0 AND NOT attisdropped
            AND atttypid IN ('jsonb'::regtype, 'bytea'::regtype) LOOP
        EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS 0', part, name);
    END LOOP;
END $$;
REVOKE EXECUTE ON FUNCTION leave_documents_out_of_statistics(regclass) FROM PUBLIC;

SELECT leave_documents_out_of_statistics(oid) FROM pg_class WHERE relnamespace = 'settla'::regnamespace AND relkind IN ('r', 'p');

-- A new partition takes columns, defaults, checks and storage over, but not this.
ALTER FUNCTION make_partition(text, date) RENAME TO make_bare_partition;
CREATE FUNCTION make_partition(parent text, month date) RETURNS void LANGUAGE plpgsql SET search_path = settla, pg_temp AS $$
DECLARE part text := parent || to_char(month, '_YYYY_MM');
BEGIN
    IF to_regclass(format('settla.%I', part)) IS NOT NULL THEN RETURN; END IF;
    PERFORM make_bare_partition(parent, month);
    PERFORM leave_documents_out_of_statistics(format('settla.%I', part)::regclass);
END $$;
REVOKE EXECUTE ON FUNCTION make_partition(text, date) FROM PUBLIC;
RESET ROLE;
RESET search_path;
