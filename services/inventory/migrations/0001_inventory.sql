-- The catalog, its stock and the reservations of this region. First migration: there is no older code to survive.
-- SKUs sort by byte (COLLATE "C"), so that pages and row locks follow one order whatever the server's locale.

CREATE TABLE items (
    sku         text COLLATE "C" NOT NULL CONSTRAINT items_pkey PRIMARY KEY,
    title       text   NOT NULL,
    description text   NOT NULL,
    category    text   NOT NULL,
    price_minor bigint NOT NULL CONSTRAINT items_price_check CHECK (price_minor >= 0),
    currency    text   NOT NULL,
    version     bigint NOT NULL
);

-- STOCK-1 as constraints: a unit is free, held or sold, never two of them and never lost.
CREATE TABLE stock (
    sku      text COLLATE "C" NOT NULL
        CONSTRAINT stock_pkey PRIMARY KEY
        CONSTRAINT stock_sku_fkey REFERENCES items (sku),
    stocked  bigint NOT NULL,
    on_hand  bigint NOT NULL CONSTRAINT stock_on_hand_check CHECK (on_hand >= 0),
    reserved bigint NOT NULL DEFAULT 0 CONSTRAINT stock_reserved_check CHECK (reserved >= 0),
    sold     bigint NOT NULL DEFAULT 0 CONSTRAINT stock_sold_check CHECK (sold >= 0),
    CONSTRAINT stock_conserved_check CHECK (on_hand + reserved + sold = stocked)
);
-- Every order changes stock rows in place; room on the page keeps these updates off the index.
ALTER TABLE stock SET (fillfactor = 50);

CREATE TABLE reservations (
    order_id uuid   NOT NULL CONSTRAINT reservations_pkey PRIMARY KEY,
    state    text   NOT NULL CONSTRAINT reservations_state_check CHECK (state IN ('reserved', 'committed', 'released')),
    version  bigint NOT NULL
);
-- What STOCK-2 looks for.
CREATE INDEX reservations_open ON reservations (order_id) WHERE state = 'reserved';

-- Empty for the tombstone of an order that was released before it was reserved.
CREATE TABLE reservation_lines (
    order_id uuid   NOT NULL CONSTRAINT reservation_lines_order_id_fkey REFERENCES reservations (order_id),
    sku      text COLLATE "C" NOT NULL CONSTRAINT reservation_lines_sku_fkey REFERENCES stock (sku),
    quantity bigint NOT NULL CONSTRAINT reservation_lines_quantity_check CHECK (quantity > 0),
    CONSTRAINT reservation_lines_pkey PRIMARY KEY (order_id, sku)
);
