-- A workflow is started under an epoch of its order's home. When the home went to the other region and came back, the workflow may have ended with
-- nothing done, so it is started again, which is no harm to one that goes on. Additive: code of before notes epoch 0, and its orders are started once more.

ALTER TABLE sagas ADD COLUMN epoch bigint NOT NULL DEFAULT 0;
ALTER TABLE returns ADD COLUMN epoch bigint NOT NULL DEFAULT 0;
