-- Payments can be taken over with their orders (crates/store/src/region.sql): payments, refunds and the ledger are mirrored, written by the holder of
-- their home only, and the home's account at the provider is credited whoever asks. What is kept before the provider is asked is in both regions
-- before it is asked. Additive: code of before writes its own region's rows as ever.

ALTER TABLE payments
    ADD COLUMN home  text   NOT NULL DEFAULT region.self(),
    ADD COLUMN epoch bigint NOT NULL DEFAULT 0;
ALTER TABLE refunds
    ADD COLUMN home  text   NOT NULL DEFAULT region.self(),
    ADD COLUMN epoch bigint NOT NULL DEFAULT 0;
ALTER TABLE ledger_entries
    ADD COLUMN home  text   NOT NULL DEFAULT region.self(),
    ADD COLUMN epoch bigint NOT NULL DEFAULT 0,
    -- Both homes settle the same days.
    DROP CONSTRAINT ledger_entries_pkey,
    ADD CONSTRAINT ledger_entries_pkey PRIMARY KEY (home, cause, source_id, account);

CREATE OR REPLACE FUNCTION ledger_is_balanced() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT sum(amount_minor) FROM ledger_entries
        WHERE home = NEW.home AND cause = NEW.cause AND source_id = NEW.source_id AND currency = NEW.currency) <> 0 THEN
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

CREATE TRIGGER fence BEFORE INSERT OR UPDATE OR DELETE ON payments FOR EACH ROW EXECUTE FUNCTION region.fence('waits');
CREATE TRIGGER fence BEFORE INSERT OR UPDATE OR DELETE ON refunds FOR EACH ROW EXECUTE FUNCTION region.fence('waits');
CREATE TRIGGER fence BEFORE INSERT ON ledger_entries FOR EACH ROW EXECUTE FUNCTION region.fence();

CREATE TRIGGER admit BEFORE INSERT OR UPDATE ON payments FOR EACH ROW EXECUTE FUNCTION region.admit('order_id');
CREATE TRIGGER admit BEFORE INSERT OR UPDATE ON refunds FOR EACH ROW EXECUTE FUNCTION region.admit('order_id', 'key');
CREATE TRIGGER admit BEFORE INSERT ON ledger_entries FOR EACH ROW EXECUTE FUNCTION region.admit('home', 'cause', 'source_id', 'account');
ALTER TABLE payments ENABLE REPLICA TRIGGER admit;
ALTER TABLE refunds ENABLE REPLICA TRIGGER admit;
ALTER TABLE ledger_entries ENABLE REPLICA TRIGGER admit;
CREATE PUBLICATION payment_mirror FOR TABLE payments, refunds, ledger_entries;
