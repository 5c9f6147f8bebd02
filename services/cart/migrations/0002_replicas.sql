-- A cart is one state that both regions change and merge (crate crdt). Additive: lines written by older code are taken into `state` when the
-- new code migrates, and `cart_lines` goes one release later.
-- Older code cannot run beside this: it would not see the state.

ALTER TABLE carts ADD COLUMN state bytea, ADD COLUMN changed_at timestamptz NOT NULL DEFAULT now();

-- The name under which this database writes to carts. One that is lost or set back to an older copy gets a new row, so that no two events have
-- one name: its upper byte is the region, the rest is drawn.
CREATE TABLE replica (
    id      bigint  NOT NULL,
    is_only boolean NOT NULL DEFAULT true CONSTRAINT replica_is_only_key UNIQUE CONSTRAINT replica_is_only_check CHECK (is_only),
    CONSTRAINT replica_pkey PRIMARY KEY (id)
);

-- Regions compare their carts bucket by bucket.
CREATE INDEX carts_bucket ON carts ((hashtext(cart_id) & 255), cart_id);
