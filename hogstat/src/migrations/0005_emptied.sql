-- When a later session found nothing in a spool any more; no session looks for it after that.
ALTER TABLE spools ADD COLUMN emptied INTEGER;
