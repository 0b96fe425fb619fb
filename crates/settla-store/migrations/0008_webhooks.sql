-- Webhooks: secrets that are replaced with an overlap, deliveries of an event again, and test events.
SET ROLE settla_owner;
SET search_path = settla;

-- The secret before the present one, which signs as well until then; a worker erases it afterwards.
ALTER TABLE webhook_endpoints
    ADD COLUMN old_secret_sealed bytea,
    ADD COLUMN old_secret_until timestamptz,
    ADD CONSTRAINT old_secret_ends CHECK ((old_secret_sealed IS NULL) = (old_secret_until IS NULL));
CREATE INDEX webhook_endpoints_old_secrets ON webhook_endpoints (old_secret_until) WHERE old_secret_until IS NOT NULL;

-- An event may be delivered to an endpoint more than once, each time as a delivery of its own: `round` counts them.
-- A test event has no number and is about nothing but its endpoint.
ALTER TABLE webhook_deliveries
    ALTER COLUMN event_sequence DROP NOT NULL,
    ADD COLUMN round integer NOT NULL DEFAULT 0 CHECK (round >= 0),
    ADD COLUMN test_at timestamptz,
    ADD CONSTRAINT event_or_test CHECK ((event_sequence IS NULL) = (test_at IS NOT NULL)),
    DROP CONSTRAINT webhook_deliveries_endpoint_event_id_key,
    ADD CONSTRAINT webhook_deliveries_endpoint_event_id_round_key UNIQUE (endpoint, event_id, round);
CREATE INDEX webhook_deliveries_by_endpoint ON webhook_deliveries (endpoint, id);
CREATE INDEX webhook_deliveries_failed ON webhook_deliveries (tenant, id) WHERE status = 'failed';

-- Ranges of events that were to be delivered again, and how many deliveries that made.
CREATE TABLE webhook_redeliveries (
    tenant integer NOT NULL,
    id uuid NOT NULL,
    endpoint uuid NOT NULL,
    from_sequence bigint NOT NULL CHECK (from_sequence > 0),
    to_sequence bigint NOT NULL CHECK (to_sequence >= from_sequence),
    which text NOT NULL CHECK (which IN ('all', 'undelivered')),
    deliveries bigint NOT NULL CHECK (deliveries >= 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, endpoint) REFERENCES webhook_endpoints (tenant, id)
);
ALTER TABLE webhook_redeliveries ENABLE ROW LEVEL SECURITY;
ALTER TABLE webhook_redeliveries FORCE ROW LEVEL SECURITY;
CREATE POLICY app ON webhook_redeliveries TO settla_app USING (tenant = (SELECT current_tenant()));
CREATE POLICY auditor ON webhook_redeliveries FOR SELECT TO settla_auditor USING (true);
GRANT SELECT, INSERT ON webhook_redeliveries TO settla_app;
GRANT SELECT ON webhook_redeliveries TO settla_auditor;

GRANT INSERT ON webhook_deliveries TO settla_app;
GRANT UPDATE (url, events, secret_sealed, old_secret_sealed, old_secret_until) ON webhook_endpoints TO settla_app;
GRANT UPDATE (old_secret_sealed, old_secret_until) ON webhook_endpoints TO settla_worker;
RESET ROLE;
RESET search_path;
