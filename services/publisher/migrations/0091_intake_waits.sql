-- migrate:up

-- A case with a contact whose inquiry.received has not come expects it. The release before does not know of the wait,
-- and may read what ends it.
CREATE FUNCTION contact_ends_wait() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- As in the query delete_expectations: what is compared with an empty text added is no search.
    DELETE FROM expectation WHERE subject = NEW.inquiry AND kind || '' = 'intake' AND party = '';
    RETURN NULL;
END $$;
CREATE TRIGGER ends_wait AFTER UPDATE OF wanted, erased ON contact
    FOR EACH ROW WHEN (OLD.wanted IS NULL AND NOT OLD.erased AND (NEW.wanted IS NOT NULL OR NEW.erased))
    EXECUTE FUNCTION contact_ends_wait();

-- migrate:down
DROP TRIGGER ends_wait ON contact;
DROP FUNCTION contact_ends_wait();
