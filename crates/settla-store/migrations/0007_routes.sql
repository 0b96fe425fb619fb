-- Several providers a side: who takes over, what they have achieved, and what is switched off.
SET ROLE settla_owner;
SET search_path = settla;
-- The payout that a member's tokens are for, as the off-ramp knows it. Members from before have none: it is their
-- transfer's first.
ALTER TABLE settlement_members ADD COLUMN payout uuid;
-- How providers did, a row a provider, step and minute: what the router's speed and reliability are measured by.
CREATE TABLE provider_minutes (
    provider text NOT NULL,
    step text NOT NULL CHECK (step IN ('on_ramp', 'settle', 'off_ramp', 'sell_back')),
    minute timestamptz NOT NULL,
    succeeded bigint NOT NULL CHECK (succeeded >= 0),
    failed bigint NOT NULL CHECK (failed >= 0),
    -- From its order to its result, of those that succeeded.
    milliseconds bigint NOT NULL CHECK (milliseconds >= 0),
    PRIMARY KEY (minute, provider, step)
) WITH (fillfactor = 50);
-- Providers and corridors that operators have switched off. What is not here is on.
CREATE TABLE switched_off (
    kind text NOT NULL CHECK (kind IN ('provider', 'corridor')),
    name text NOT NULL CHECK (name <> ''),
    reason text NOT NULL CHECK (reason <> ''),
    by text NOT NULL CHECK (by <> ''),
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, name)
);
GRANT SELECT, INSERT, UPDATE (succeeded, failed, milliseconds), DELETE ON provider_minutes TO settla_worker;
GRANT SELECT ON provider_minutes, switched_off TO settla_app;
GRANT SELECT, INSERT, UPDATE (reason, by, at), DELETE ON switched_off TO settla_operator;
GRANT SELECT ON provider_minutes, switched_off TO settla_auditor;
RESET ROLE;
RESET search_path;
