-- Orders and their lines. Both tables hold the rows of both regions: the publication below is what the other region subscribes to
-- (origin = none, so nothing goes in circles). A row is written by its home region only.

CREATE TABLE orders (
    order_id      uuid        NOT NULL CONSTRAINT orders_pkey PRIMARY KEY,
    session_id    text        NOT NULL,
    state         text        NOT NULL CONSTRAINT orders_state_check CHECK (state IN ('placed', 'confirmed', 'shipped', 'cancelled')),
    home_region   text        NOT NULL CONSTRAINT orders_home_region_check CHECK (home_region IN ('eu', 'us')),
    payment_token text        NOT NULL,
    address       jsonb       NOT NULL,
    total_minor   bigint      NOT NULL CONSTRAINT orders_total_check CHECK (total_minor >= 0),
    currency      text        NOT NULL,
    cancel_reason text        NOT NULL DEFAULT '',
    version       bigint      NOT NULL,
    placed_at     timestamptz NOT NULL DEFAULT now()
);
-- What the sweeper looks for.
CREATE INDEX orders_open ON orders (placed_at) WHERE state IN ('placed', 'confirmed');

CREATE TABLE order_lines (
    order_id   uuid   NOT NULL,
    line_no    int    NOT NULL,
    sku        text   NOT NULL,
    quantity   int    NOT NULL CONSTRAINT order_lines_quantity_check CHECK (quantity > 0),
    title      text   NOT NULL,
    unit_minor bigint NOT NULL CONSTRAINT order_lines_unit_check CHECK (unit_minor >= 0),
    CONSTRAINT order_lines_pkey PRIMARY KEY (order_id, line_no)
);

CREATE PUBLICATION order_mirror FOR TABLE orders, order_lines;

-- Local to the region: which workflows were started, and which wait for the shopper's bank.
CREATE TABLE sagas (
    order_id   uuid        NOT NULL CONSTRAINT sagas_pkey PRIMARY KEY,
    started_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE step_ups (
    order_id uuid        NOT NULL CONSTRAINT step_ups_pkey PRIMARY KEY,
    asked_at timestamptz NOT NULL DEFAULT now()
);
