-- Reconciliation: how far the books have been compared, what waits for its other side, and what does not agree.
DO $$
DECLARE
    may text := CASE WHEN current_setting('server_version_num')::integer >= 160000 THEN 'SET' ELSE 'MEMBER' END;
BEGIN
    BEGIN
        CREATE ROLE settla_reconciler NOLOGIN;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; -- roles are per cluster, databases share them
    END;
    IF NOT pg_has_role(current_user, 'settla_reconciler', may) THEN
        BEGIN
            EXECUTE format('GRANT settla_reconciler TO %I', current_user);
        EXCEPTION WHEN OTHERS THEN
            -- Another database's migration may just have written it ("tuple concurrently updated").
            IF NOT pg_has_role(current_user, 'settla_reconciler', may) THEN RAISE; END IF;
        END;
    END IF;
END $$;
GRANT USAGE ON SCHEMA settla TO settla_reconciler;
SET ROLE settla_owner;
SET search_path = settla;

-- One row: whose turn it is, and the fence of what a round writes.
CREATE TABLE reconciliation_rounds (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    number bigint NOT NULL DEFAULT 0,
    next_at timestamptz NOT NULL DEFAULT now(), -- not before; while a round runs, the end of its lease
    completed_at timestamptz
);
INSERT INTO reconciliation_rounds DEFAULT VALUES;
-- How far the statements and the chain have been read, and where the sweeps over old payments stand.
CREATE TABLE reconciliation_cursors (
    name text PRIMARY KEY,
    value text NOT NULL
);
-- Each tenant's postings added up, up to one of them. A tenant's postings are written under its lock, so nothing appears
-- below that one later.
CREATE TABLE ledger_folds (
    tenant integer PRIMARY KEY CHECK (tenant >= 0),
    sequence bigint NOT NULL,
    max_at timestamptz NOT NULL, -- the latest instant of a posting so far
    unmarked integer NOT NULL, -- postings since the last checkpoint
    sums jsonb NOT NULL, -- account/currency: credits less debits
    days jsonb NOT NULL -- the last days' volume: day/currency
) WITH (fillfactor = 50);
-- Balances after one posting in so many, so that those of any past instant take few postings to work out.
CREATE TABLE ledger_checkpoints (
    tenant integer NOT NULL CHECK (tenant > 0),
    sequence bigint NOT NULL,
    max_at timestamptz NOT NULL,
    balances jsonb NOT NULL,
    PRIMARY KEY (tenant, sequence)
);
CREATE INDEX ledger_checkpoints_by_time ON ledger_checkpoints (tenant, max_at, sequence);
-- What is in one book and not yet, or not in the same amount, in the other.
CREATE TABLE reconciliation_items (
    flow text NOT NULL,
    key text NOT NULL,
    tenant integer NOT NULL CHECK (tenant >= 0), -- 0: not known, or the platform
    subject text,
    ours jsonb NOT NULL, -- currency: minor units
    theirs jsonb NOT NULL,
    PRIMARY KEY (flow, key)
);
CREATE TABLE reconciliation_breaks (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL,
    key text NOT NULL,
    tenant integer NOT NULL CHECK (tenant >= 0),
    subject text,
    currency text,
    ours bigint,
    theirs bigint,
    detail text NOT NULL,
    first_seen timestamptz NOT NULL,
    last_seen timestamptz NOT NULL,
    opened_at timestamptz, -- nothing: money on its way looks like this too; not yet for so long that it is none
    resolved_at timestamptz
);
CREATE UNIQUE INDEX reconciliation_breaks_unresolved ON reconciliation_breaks (kind, key) WHERE resolved_at IS NULL;
CREATE INDEX reconciliation_breaks_resolved ON reconciliation_breaks (resolved_at) WHERE resolved_at IS NOT NULL;

-- A bank credit's posting is named by its line of the statement from now on. Those from before cannot be told apart.
INSERT INTO reconciliation_cursors (name, value)
    SELECT 'credits_named_after', to_char(max(applied_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
    FROM bank_entries HAVING max(applied_at) IS NOT NULL;

DO $$
DECLARE t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['ledger_folds', 'ledger_checkpoints', 'reconciliation_items', 'reconciliation_breaks'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY reconciler ON %I TO settla_reconciler USING (true)', t);
        EXECUTE format('CREATE POLICY auditor ON %I FOR SELECT TO settla_auditor USING (true)', t);
    END LOOP;
END $$;
CREATE POLICY app ON ledger_checkpoints FOR SELECT TO settla_app USING (tenant = (SELECT current_tenant()));

GRANT SELECT, UPDATE (number, next_at, completed_at) ON reconciliation_rounds TO settla_reconciler;
GRANT SELECT, INSERT, UPDATE (value) ON reconciliation_cursors TO settla_reconciler;
GRANT SELECT, INSERT, UPDATE (sequence, max_at, unmarked, sums, days) ON ledger_folds TO settla_reconciler;
GRANT SELECT, INSERT ON ledger_checkpoints TO settla_reconciler;
GRANT SELECT, INSERT, DELETE, UPDATE (ours, theirs, subject) ON reconciliation_items TO settla_reconciler;
GRANT SELECT, INSERT, DELETE, UPDATE (subject, currency, ours, theirs, detail, last_seen, opened_at, resolved_at)
    ON reconciliation_breaks TO settla_reconciler;
GRANT SELECT ON reconciliation_rounds, reconciliation_cursors, ledger_folds, ledger_checkpoints, reconciliation_items,
    reconciliation_breaks TO settla_auditor;
GRANT SELECT ON ledger_checkpoints TO settla_app;
RESET ROLE;
RESET search_path;
