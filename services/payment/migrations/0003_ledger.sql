-- The ledger as a ledger: a chart of accounts, a group of entries for each cause and source, and no way to change what was entered.
-- Code of before enters captures and refunds with the accounts psp and sales and without a source; `ledger_entry_of_before` completes that.

CREATE TABLE ledger_accounts (
    account text NOT NULL CONSTRAINT ledger_accounts_pkey PRIMARY KEY,
    kind    text NOT NULL CONSTRAINT ledger_accounts_kind_check CHECK (kind IN ('asset', 'revenue', 'expense')),
    meaning text NOT NULL
);
INSERT INTO ledger_accounts (account, kind, meaning) VALUES
    ('psp_receivable', 'asset', 'what the payment provider owes us'),
    ('bank', 'asset', 'what it paid out'),
    ('sales', 'revenue', 'what was sold'),
    ('refunds', 'expense', 'what was given back of it'),
    ('chargebacks', 'expense', 'what banks took back of it');

ALTER TABLE ledger_entries DROP CONSTRAINT ledger_entries_pkey;
ALTER TABLE ledger_entries
    ADD COLUMN source_id text,
    ADD COLUMN occurred_at timestamptz,
    ALTER COLUMN order_id DROP NOT NULL,
    DROP CONSTRAINT ledger_entries_account_check,
    DROP CONSTRAINT ledger_entries_cause_check,
    ADD CONSTRAINT ledger_entries_cause_check CHECK (cause IN ('capture', 'refund', 'chargeback', 'settlement'));

UPDATE ledger_entries AS entry SET
    source_id = CASE entry.cause WHEN 'capture' THEN p.charge_id ELSE replace(p.charge_id, 'ch_', 're_') END,
    occurred_at = entry.entered_at,
    account = CASE WHEN entry.account = 'psp' THEN 'psp_receivable' WHEN entry.cause = 'refund' THEN 'refunds' ELSE entry.account END
FROM payments p WHERE p.order_id = entry.order_id;
-- A table with checks still to come cannot be altered.
SET CONSTRAINTS ledger_entries_balanced IMMEDIATE;

CREATE FUNCTION ledger_entry_of_before() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.occurred_at := now();
    NEW.source_id := (SELECT CASE NEW.cause WHEN 'capture' THEN charge_id ELSE replace(charge_id, 'ch_', 're_') END
                      FROM payments WHERE order_id = NEW.order_id);
    IF NEW.cause = 'refund' THEN
        INSERT INTO refunds (order_id, key, amount_minor, refund_id)
            VALUES (NEW.order_id, NEW.order_id || '/refund', abs(NEW.amount_minor), NEW.source_id) ON CONFLICT DO NOTHING;
    END IF;
    NEW.account := CASE WHEN NEW.account = 'psp' THEN 'psp_receivable' WHEN NEW.cause = 'refund' THEN 'refunds' ELSE NEW.account END;
    RETURN NEW;
END $$;
CREATE TRIGGER ledger_entry_of_before BEFORE INSERT ON ledger_entries
    FOR EACH ROW WHEN (NEW.source_id IS NULL) EXECUTE FUNCTION ledger_entry_of_before();

ALTER TABLE ledger_entries
    ALTER COLUMN source_id SET NOT NULL,
    ALTER COLUMN occurred_at SET NOT NULL,
    ADD CONSTRAINT ledger_entries_account_fkey FOREIGN KEY (account) REFERENCES ledger_accounts (account),
    ADD CONSTRAINT ledger_entries_order_check CHECK ((order_id IS NULL) = (cause = 'settlement')),
    ADD CONSTRAINT ledger_entries_pkey PRIMARY KEY (cause, source_id, account);
-- PAY-1 as a key: an order is captured once.
CREATE UNIQUE INDEX ledger_entries_capture_key ON ledger_entries (order_id, account) WHERE cause = 'capture';
CREATE INDEX ledger_entries_order ON ledger_entries (order_id);
CREATE INDEX ledger_entries_day ON ledger_entries (occurred_at) WHERE account = 'psp_receivable';

-- PAY-2 as a constraint: a group adds up to nothing in each currency by the time the transaction commits. And PAY-1: what the provider owes us
-- for an order is never less than nothing.
CREATE OR REPLACE FUNCTION ledger_is_balanced() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT sum(amount_minor) FROM ledger_entries
        WHERE cause = NEW.cause AND source_id = NEW.source_id AND currency = NEW.currency) <> 0 THEN
        RAISE EXCEPTION 'ledger entries in % for % % do not balance', NEW.currency, NEW.cause, NEW.source_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_entries_balanced_check';
    END IF;
    IF NEW.account = 'psp_receivable' AND NEW.amount_minor < 0 AND NEW.order_id IS NOT NULL AND
       (SELECT sum(amount_minor) FROM ledger_entries WHERE order_id = NEW.order_id AND account = 'psp_receivable') < 0 THEN
        RAISE EXCEPTION 'more is given back for order % than was taken', NEW.order_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_entries_order_credit_check';
    END IF;
    RETURN NULL;
END $$;

-- Append-only, for the owner of the table too.
CREATE FUNCTION ledger_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'ledger entries are never changed or deleted; enter what makes them good'
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'ledger_entries_append_only';
END $$;
CREATE TRIGGER ledger_entries_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_entries
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_append_only();
REVOKE UPDATE, DELETE, TRUNCATE ON ledger_entries FROM PUBLIC, CURRENT_USER;
