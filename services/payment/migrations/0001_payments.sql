-- Payments of this region's orders and their ledger. First migration: there is no older code to survive.

-- A payment without an amount is a tombstone: the order's payment was voided before it was asked for.
CREATE TABLE payments (
    order_id      uuid        NOT NULL CONSTRAINT payments_pkey PRIMARY KEY,
    state         text        NOT NULL CONSTRAINT payments_state_check CHECK
        (state IN ('pending', 'requires_action', 'authorized', 'captured', 'voided', 'refunded', 'declined')),
    amount_minor  bigint      CONSTRAINT payments_amount_check CHECK (amount_minor > 0),
    currency      text,
    payment_token text,
    charge_id     text        CONSTRAINT payments_charge_id_key UNIQUE,
    decline_code  text,
    version       bigint      NOT NULL,
    updated_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT payments_terms_check CHECK (num_nonnulls(amount_minor, currency, payment_token) IN (0, 3)),
    CONSTRAINT payments_tombstone_check CHECK (amount_minor IS NOT NULL OR state = 'voided')
);
ALTER TABLE payments SET (fillfactor = 70);

-- PAY-1 as a key: an order is captured once and refunded once.
CREATE TABLE ledger_entries (
    order_id     uuid        NOT NULL CONSTRAINT ledger_entries_order_id_fkey REFERENCES payments (order_id),
    cause        text        NOT NULL CONSTRAINT ledger_entries_cause_check CHECK (cause IN ('capture', 'refund')),
    account      text        NOT NULL CONSTRAINT ledger_entries_account_check CHECK (account IN ('psp', 'sales')),
    amount_minor bigint      NOT NULL,
    currency     text        NOT NULL,
    entered_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ledger_entries_pkey PRIMARY KEY (order_id, cause, account)
);

-- PAY-2 as a constraint: what is entered for one cause adds up to nothing by the time the transaction commits.
CREATE FUNCTION ledger_is_balanced() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT sum(amount_minor) FROM ledger_entries WHERE order_id = NEW.order_id AND cause = NEW.cause) <> 0 THEN
        RAISE EXCEPTION 'ledger entries of % for the % of order % do not balance', NEW.currency, NEW.cause, NEW.order_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_entries_balanced_check';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER ledger_entries_balanced AFTER INSERT OR UPDATE ON ledger_entries
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_is_balanced();
