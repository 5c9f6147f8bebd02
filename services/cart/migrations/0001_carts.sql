-- Carts and their lines. First migration: there is no older code to survive.
-- SKUs sort by byte (COLLATE "C"), so that lines come in one order whatever the server's locale.

CREATE TABLE carts (
    cart_id text COLLATE "C" NOT NULL CONSTRAINT carts_pkey PRIMARY KEY,
    version bigint NOT NULL
);

CREATE TABLE cart_lines (
    cart_id  text COLLATE "C" NOT NULL CONSTRAINT cart_lines_cart_id_fkey REFERENCES carts (cart_id),
    sku      text COLLATE "C" NOT NULL,
    quantity bigint NOT NULL CONSTRAINT cart_lines_quantity_check CHECK (quantity BETWEEN 1 AND 999),
    CONSTRAINT cart_lines_pkey PRIMARY KEY (cart_id, sku)
);
