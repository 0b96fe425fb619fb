-- Every posting that is there has an id that begins as its subject's.
SET ROLE settla_owner;
SET search_path = settla;
ALTER TABLE postings VALIDATE CONSTRAINT postings_id_of_subject;
RESET ROLE;
RESET search_path;
