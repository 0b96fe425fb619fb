-- Work that fails again and again is set aside with a reason, so that it is in nobody's way; people look at it and put
-- it back.
SET ROLE settla_owner;
SET search_path = settla;
ALTER TABLE outbox ADD COLUMN failures integer NOT NULL DEFAULT 0, ADD COLUMN set_aside text;
CREATE INDEX outbox_set_aside ON outbox (kind) WHERE set_aside IS NOT NULL;
GRANT UPDATE (failures, set_aside) ON outbox TO settla_worker;
-- Lines of the bank's statement that could not be read. What they say is asked of the bank again; they may name payers.
CREATE TABLE statement_lines_set_aside (
    bank text NOT NULL,
    sequence bigint NOT NULL,
    set_aside_at timestamptz NOT NULL DEFAULT now(),
    replay boolean NOT NULL DEFAULT false, -- people want it to be looked at again
    resolved_at timestamptz,
    PRIMARY KEY (bank, sequence)
);
GRANT SELECT, INSERT, UPDATE (replay, resolved_at) ON statement_lines_set_aside TO settla_worker;
GRANT SELECT ON statement_lines_set_aside TO settla_auditor;
RESET ROLE;
RESET search_path;
