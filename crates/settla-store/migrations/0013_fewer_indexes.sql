-- Fewer index entries for each payment, and none of what is open looked for among everything that ever was.
SET ROLE settla_owner;
SET search_path = settla;

-- The id of a posting begins with the first 14 bytes of its subject's (a bank credit's is its subject's), so the primary key
-- finds all postings of a subject; an index on the subject would say the same again. That it is so is held here, for what is
-- there already by the next migration, which keeps nobody waiting while it reads all postings.
ALTER TABLE postings ADD CONSTRAINT postings_id_of_subject
    CHECK (substr(uuid_send(id), 1, 14) = substr(uuid_send(subject), 1, 14)) NOT VALID;
DROP INDEX postings_by_subject;
-- Effects are looked for by their ids alone.
DROP INDEX outbox_by_subject;
-- With outbox_open, all that is open.
CREATE INDEX outbox_batched ON outbox (kind, created_at) WHERE status = 'batched';
RESET ROLE;
RESET search_path;
