-- What is wanted of a payment is kept before the provider is asked, so that a workflow can go on with it. Additive: code of before leaves the new
-- columns empty, and what it asks for is followed by its callers, as ever.

ALTER TABLE payments
    ADD COLUMN wanted    text CONSTRAINT payments_wanted_check CHECK (wanted IN ('capture', 'void')),
    ADD COLUMN wanted_at timestamptz,
    ADD CONSTRAINT payments_wanted_at_check CHECK ((wanted IS NULL) = (wanted_at IS NULL));

-- What the sweeper looks for: few at any time.
CREATE INDEX payments_open ON payments (order_id) WHERE state IN ('pending', 'requires_action') OR state = 'authorized' AND wanted IS NOT NULL;
CREATE INDEX refunds_open ON refunds (asked_at) WHERE refund_id IS NULL;
