-- Decisions about payments under review: proposed by one person, approved by another.
SET ROLE settla_owner;
SET search_path = settla;
CREATE TABLE review_proposals (
    id uuid PRIMARY KEY,
    tenant integer NOT NULL REFERENCES tenants,
    subject uuid NOT NULL,
    decision jsonb NOT NULL,
    ticket text NOT NULL CHECK (ticket <> ''),
    reason text NOT NULL CHECK (reason <> ''),
    proposed_by text NOT NULL CHECK (proposed_by <> ''),
    proposed_at timestamptz NOT NULL DEFAULT now(),
    -- approved: carried out; withdrawn: taken back, or overtaken by events
    status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'approved', 'withdrawn')),
    closed_by text,
    closed_at timestamptz,
    CONSTRAINT two_people CHECK (status <> 'approved' OR closed_by IS NOT NULL AND closed_by <> proposed_by)
);
CREATE UNIQUE INDEX review_proposals_open ON review_proposals (subject) WHERE status = 'open';
ALTER TABLE review_proposals ENABLE ROW LEVEL SECURITY;
ALTER TABLE review_proposals FORCE ROW LEVEL SECURITY;
CREATE POLICY operator ON review_proposals TO settla_operator USING (true);
CREATE POLICY auditor ON review_proposals FOR SELECT TO settla_auditor USING (true);
GRANT SELECT, INSERT, UPDATE (status, closed_by, closed_at) ON review_proposals TO settla_operator;
GRANT SELECT ON review_proposals TO settla_auditor;
-- A step that is tried again begins its count of attempts and its time anew.
GRANT UPDATE (attempts, first_attempt_at) ON outbox TO settla_runner;
CREATE INDEX withdrawals_open ON withdrawals (state, updated_at) WHERE state IN ('PENDING', 'UNDER_REVIEW');
RESET ROLE;
RESET search_path;
