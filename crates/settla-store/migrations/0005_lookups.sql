-- Look-ups by key with prepared statements. Their plans are made once, when the tables are still empty, and kept: an
-- index that begins with the tenant and can answer half of a key look-up would then be taken for the primary key's.
SET ROLE settla_owner;
SET search_path = settla;
ALTER TABLE transfers DROP CONSTRAINT transfers_tenant_quote_key;
ALTER TABLE transfers ADD CONSTRAINT transfers_quote_tenant_key UNIQUE (quote, tenant); -- a quote is used once
DROP INDEX transfers_by_reference;
CREATE INDEX transfers_by_reference ON transfers (reference, tenant, id);
RESET ROLE;
RESET search_path;
