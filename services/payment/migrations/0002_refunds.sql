-- Refunds of parts, authorizations that end and chargebacks. Additive: code of before neither writes the new states nor reads the new table, and
-- what it refunds, always in whole, is taken in here by a trigger.

ALTER TABLE payments
    DROP CONSTRAINT payments_state_check,
    ADD CONSTRAINT payments_state_check CHECK (state IN
        ('pending', 'requires_action', 'authorized', 'captured', 'voided', 'refunded', 'declined', 'expired', 'charged_back'));

-- A refund without an id is asked for, and not answered yet: its amount is spoken for.
CREATE TABLE refunds (
    order_id     uuid        NOT NULL CONSTRAINT refunds_order_id_fkey REFERENCES payments (order_id),
    key          text        NOT NULL,
    amount_minor bigint      NOT NULL CONSTRAINT refunds_amount_check CHECK (amount_minor > 0),
    refund_id    text        CONSTRAINT refunds_refund_id_key UNIQUE,
    asked_at     timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT refunds_pkey PRIMARY KEY (order_id, key)
);

-- PAY-1 as a constraint: never more is given back, or promised, than the payment is about.
CREATE FUNCTION refunds_fit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT sum(r.amount_minor) FROM refunds r WHERE r.order_id = NEW.order_id)
       > (SELECT p.amount_minor FROM payments p WHERE p.order_id = NEW.order_id) THEN
        RAISE EXCEPTION 'refunds of order % exceed its payment', NEW.order_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'refunds_fit_check';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER refunds_fit AFTER INSERT OR UPDATE ON refunds
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refunds_fit();

-- The provider named the refunds of before in the same way when it began to name refunds.
INSERT INTO refunds (order_id, key, amount_minor, refund_id)
    SELECT order_id, order_id || '/refund', amount_minor, replace(charge_id, 'ch_', 're_') FROM payments WHERE state = 'refunded';
