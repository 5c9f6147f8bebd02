-- Why an order's reservation was refused: the refusal is final, and a repeat gets the same answer. Additive: rows of before have neither.
ALTER TABLE reservations
    ADD COLUMN refused text CONSTRAINT reservations_refused_check CHECK (refused IN ('out_of_stock', 'unknown_sku')),
    ADD COLUMN refused_skus text[];
