-- Orders can be taken over: a row is written by the holder of its home only, and carries the epoch of that (crates/store/src/region.sql). Keys travel
-- to the other region with their orders, so a repeat there gets the same answer. Additive: code of before writes its own region's rows as ever.

ALTER TABLE orders ADD COLUMN epoch bigint NOT NULL DEFAULT 0;
ALTER TABLE order_lines
    ADD COLUMN home  text   NOT NULL DEFAULT region.self(),
    ADD COLUMN epoch bigint NOT NULL DEFAULT 0;
UPDATE order_lines AS line SET home = home_region FROM orders WHERE orders.order_id = line.order_id AND line.home <> home_region;
ALTER TABLE idempotency_keys
    ADD COLUMN home  text   NOT NULL DEFAULT region.self(),
    ADD COLUMN epoch bigint NOT NULL DEFAULT 0;

CREATE TRIGGER fence BEFORE INSERT OR UPDATE OR DELETE ON orders FOR EACH ROW EXECUTE FUNCTION region.fence('home_region', 'waits');
CREATE TRIGGER fence BEFORE INSERT OR UPDATE OR DELETE ON order_lines FOR EACH ROW EXECUTE FUNCTION region.fence();
-- Keys that are old are deleted in each region, whosever they are.
CREATE TRIGGER fence BEFORE INSERT OR UPDATE ON idempotency_keys FOR EACH ROW EXECUTE FUNCTION region.fence();

CREATE TRIGGER admit BEFORE INSERT OR UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION region.admit('home_region', 'order_id');
CREATE TRIGGER admit BEFORE INSERT OR UPDATE ON order_lines FOR EACH ROW EXECUTE FUNCTION region.admit('order_id', 'line_no');
ALTER TABLE orders ENABLE REPLICA TRIGGER admit;
ALTER TABLE order_lines ENABLE REPLICA TRIGGER admit;

-- As region.admit(); and what a key was answered with here stays, unless that was when this region no longer held its home.
CREATE FUNCTION admit_key() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    held "order".idempotency_keys;
    is_refused boolean;
BEGIN
    IF region.is_filling() THEN RETURN NEW; END IF;
    is_refused := region.is_over(NEW.home, NEW.epoch);
    IF TG_OP = 'UPDATE' THEN
        is_refused := is_refused OR OLD.home <> NEW.home;
    ELSE
        SELECT * INTO held FROM "order".idempotency_keys WHERE scope = NEW.scope AND key = NEW.key;
        IF FOUND AND NOT is_refused THEN
            is_refused := NOT region.is_abandoned(held.home, held.epoch);
            IF NOT is_refused THEN
                DELETE FROM "order".idempotency_keys WHERE scope = NEW.scope AND key = NEW.key;
            END IF;
        END IF;
    END IF;
    IF is_refused THEN
        PERFORM region.refuse('"order".idempotency_keys', TG_OP, ARRAY['scope', 'key'], NEW.home, NEW.epoch, to_jsonb(NEW));
        RETURN NULL;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER admit BEFORE INSERT OR UPDATE ON idempotency_keys FOR EACH ROW EXECUTE FUNCTION admit_key();
ALTER TABLE idempotency_keys ENABLE REPLICA TRIGGER admit;
CREATE PUBLICATION order_keys_mirror FOR TABLE idempotency_keys WITH (publish = 'insert, update');
