-- A stream that was given up is still answered for: which of its numbers moved into the next one, as a JSON array of
-- inclusive ranges. The rest of them stand in the cloud, or a cloud that went back in time has lost them.

ALTER TABLE streams ADD COLUMN moved TEXT;  -- NULL: still in use, or closed before anybody wrote it down
