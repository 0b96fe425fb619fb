-- Settlement batches: every signed transaction of a batch, what closed it, and who may see it.
SET ROLE settla_owner;
SET search_path = settla;

-- How a transfer's tokens go to the off-ramp: together with others, or in a transaction of their own.
ALTER TABLE transfers ADD COLUMN settlement text NOT NULL DEFAULT 'batched' CHECK (settlement IN ('batched', 'alone'));

-- window: its oldest member had waited long enough; amount, members: there was enough of it; alone: for one member
ALTER TABLE settlements
    ADD COLUMN closed_by text NOT NULL DEFAULT 'window' CHECK (closed_by IN ('window', 'amount', 'members', 'alone')),
    ADD COLUMN currency text NOT NULL DEFAULT 'USDC',
    -- why it failed, a stable code
    ADD COLUMN failure text,
    -- its block is so deep that it is not looked at any more
    ADD COLUMN final boolean NOT NULL DEFAULT false;
ALTER TABLE settlements ALTER COLUMN closed_by DROP DEFAULT, ALTER COLUMN currency DROP DEFAULT;
CREATE INDEX settlements_not_final ON settlements (updated_at) WHERE status = 'done' AND NOT final;
-- One row a signature, stored before its bytes are broadcast. All of a batch have its nonce, so at most one of them
-- ever gets into a block.
CREATE TABLE settlement_transactions (
    batch uuid NOT NULL REFERENCES settlements,
    tx_hash text NOT NULL UNIQUE,
    raw bytea NOT NULL,
    max_fee_per_gas bigint NOT NULL CHECK (max_fee_per_gas > 0),
    max_priority_fee_per_gas bigint NOT NULL CHECK (max_priority_fee_per_gas >= 0),
    signed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (batch, max_fee_per_gas)
);
-- What an earlier version has signed; its fees are in the bytes alone.
INSERT INTO settlement_transactions (batch, tx_hash, raw, max_fee_per_gas, max_priority_fee_per_gas, signed_at)
    SELECT batch, tx_hash, raw, 1, 0, created_at FROM settlements WHERE raw IS NOT NULL;
ALTER TABLE settlements DROP COLUMN raw;
CREATE INDEX settlement_members_by_tenant ON settlement_members (tenant, batch);

-- A tenant sees the batches that its transfers are in, and of their members its own.
ALTER TABLE settlements ENABLE ROW LEVEL SECURITY;
ALTER TABLE settlements FORCE ROW LEVEL SECURITY;
CREATE POLICY worker ON settlements TO settla_worker USING (true);
CREATE POLICY auditor ON settlements FOR SELECT TO settla_auditor USING (true);
CREATE POLICY app ON settlements FOR SELECT TO settla_app USING
    (EXISTS (SELECT FROM settlement_members m WHERE m.batch = settlements.batch AND m.tenant = (SELECT current_tenant())));
ALTER TABLE settlement_transactions ENABLE ROW LEVEL SECURITY;
ALTER TABLE settlement_transactions FORCE ROW LEVEL SECURITY;
CREATE POLICY worker ON settlement_transactions TO settla_worker USING (true);
CREATE POLICY auditor ON settlement_transactions FOR SELECT TO settla_auditor USING (true);
CREATE POLICY app ON settlement_transactions FOR SELECT TO settla_app USING
    (EXISTS (SELECT FROM settlement_members m WHERE m.batch = settlement_transactions.batch AND m.tenant = (SELECT current_tenant())));
GRANT SELECT, INSERT ON settlement_transactions TO settla_worker;
GRANT SELECT ON settlement_transactions TO settla_auditor;
GRANT SELECT ON settlements, settlement_members, settlement_transactions TO settla_app;
GRANT UPDATE (failure, final) ON settlements TO settla_worker;
RESET ROLE;
RESET search_path;
