-- Stock can be taken over: what each home may sell, its reservations and its half of each transfer are mirrored, and written by the holder of the home
-- only (crates/store/src/region.sql). They commit in their own region; orders, whose commits come later and wait, take them along. Code of before names
-- a SKU's stock without its home, so it is stopped before both homes' rows are here.

ALTER TABLE reservation_lines DROP CONSTRAINT reservation_lines_sku_fkey;
ALTER TABLE rights_asked DROP CONSTRAINT rights_asked_sku_fkey;

ALTER TABLE stock
    ADD COLUMN home  text   NOT NULL DEFAULT region.self(),
    ADD COLUMN epoch bigint NOT NULL DEFAULT 0,
    DROP CONSTRAINT stock_pkey,
    ADD CONSTRAINT stock_pkey PRIMARY KEY (home, sku);
ALTER TABLE reservations
    ADD COLUMN home  text   NOT NULL DEFAULT region.self(),
    ADD COLUMN epoch bigint NOT NULL DEFAULT 0;
ALTER TABLE reservation_lines
    ADD COLUMN home  text   NOT NULL DEFAULT region.self(),
    ADD COLUMN epoch bigint NOT NULL DEFAULT 0,
    ADD CONSTRAINT reservation_lines_sku_fkey FOREIGN KEY (home, sku) REFERENCES stock (home, sku);
ALTER TABLE rights_moved
    ADD COLUMN home  text   NOT NULL DEFAULT region.self(),
    ADD COLUMN epoch bigint NOT NULL DEFAULT 0,
    DROP CONSTRAINT rights_moved_pkey,
    ADD CONSTRAINT rights_moved_pkey PRIMARY KEY (home, transfer_id);
-- Local to the region, and for each home that asks. The answer is the home's half of the transfer, also when the other region took it in.
ALTER TABLE rights_asked
    ADD COLUMN home text NOT NULL DEFAULT region.self(),
    DROP COLUMN given,
    DROP COLUMN answered_at,
    DROP CONSTRAINT rights_asked_pkey,
    ADD CONSTRAINT rights_asked_pkey PRIMARY KEY (home, sku),
    ADD CONSTRAINT rights_asked_sku_fkey FOREIGN KEY (home, sku) REFERENCES stock (home, sku);

CREATE TRIGGER fence BEFORE INSERT OR UPDATE OR DELETE ON stock FOR EACH ROW EXECUTE FUNCTION region.fence();
CREATE TRIGGER fence BEFORE INSERT OR UPDATE OR DELETE ON reservations FOR EACH ROW EXECUTE FUNCTION region.fence();
CREATE TRIGGER fence BEFORE INSERT OR UPDATE OR DELETE ON reservation_lines FOR EACH ROW EXECUTE FUNCTION region.fence();
CREATE TRIGGER fence BEFORE INSERT OR UPDATE OR DELETE ON rights_moved FOR EACH ROW EXECUTE FUNCTION region.fence();

-- As region.admit(), for a key without the home: a tombstone may have been made for an order whose home nobody told. The first stays, unless it was
-- written when this region no longer held its home.
CREATE FUNCTION admit_reservation() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    held inventory.reservations;
    is_refused boolean;
BEGIN
    IF region.is_filling() THEN RETURN NEW; END IF;
    is_refused := region.is_over(NEW.home, NEW.epoch);
    IF TG_OP = 'UPDATE' THEN
        is_refused := is_refused OR OLD.home <> NEW.home;
    ELSE
        SELECT * INTO held FROM inventory.reservations WHERE order_id = NEW.order_id;
        IF FOUND AND NOT is_refused THEN
            is_refused := held.home <> NEW.home AND NOT region.is_abandoned(held.home, held.epoch);
            IF NOT is_refused THEN
                DELETE FROM inventory.reservations WHERE order_id = NEW.order_id;
            END IF;
        END IF;
    END IF;
    IF is_refused THEN
        PERFORM region.refuse('inventory.reservations', TG_OP, ARRAY['order_id'], NEW.home, NEW.epoch, to_jsonb(NEW));
        RETURN NULL;
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER admit BEFORE INSERT OR UPDATE ON stock FOR EACH ROW EXECUTE FUNCTION region.admit('home', 'sku');
CREATE TRIGGER admit BEFORE INSERT OR UPDATE ON reservations FOR EACH ROW EXECUTE FUNCTION admit_reservation();
CREATE TRIGGER admit BEFORE INSERT OR UPDATE ON reservation_lines FOR EACH ROW EXECUTE FUNCTION region.admit('order_id', 'sku');
CREATE TRIGGER admit BEFORE INSERT OR UPDATE ON rights_moved FOR EACH ROW EXECUTE FUNCTION region.admit('home', 'transfer_id');
ALTER TABLE stock ENABLE REPLICA TRIGGER admit;
ALTER TABLE reservations ENABLE REPLICA TRIGGER admit;
ALTER TABLE reservation_lines ENABLE REPLICA TRIGGER admit;
ALTER TABLE rights_moved ENABLE REPLICA TRIGGER admit;

-- Transfers whose giver's half is here and whose other half is not, kept by the trigger wherever a half comes from. Who holds the home that gets the
-- units takes them in, once the giver's half is here: what the giver wrote unheard is never among them.
CREATE TABLE rights_on_their_way (
    transfer_id uuid NOT NULL CONSTRAINT rights_on_their_way_pkey PRIMARY KEY,
    home        text NOT NULL
);
CREATE FUNCTION follow_halves() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    id uuid;
BEGIN
    IF TG_OP = 'DELETE' THEN id := OLD.transfer_id; ELSE id := NEW.transfer_id; END IF;
    DELETE FROM inventory.rights_on_their_way WHERE transfer_id = id;
    INSERT INTO inventory.rights_on_their_way (transfer_id, home)
        SELECT id, min(CASE home WHEN 'eu' THEN 'us' ELSE 'eu' END) FROM inventory.rights_moved
        WHERE home IN ('eu', 'us') AND transfer_id = id HAVING count(*) = 1 AND min(quantity) <= 0
        ON CONFLICT (transfer_id) DO UPDATE SET home = excluded.home;
    RETURN NULL;
END $$;
CREATE TRIGGER follow_halves AFTER INSERT OR DELETE ON rights_moved FOR EACH ROW EXECUTE FUNCTION follow_halves();
ALTER TABLE rights_moved ENABLE ALWAYS TRIGGER follow_halves;

-- Nothing deletes these rows; what the other region must forget it is told by region.undone.
CREATE PUBLICATION inventory_mirror FOR TABLE stock, reservations, reservation_lines, rights_moved WITH (publish = 'insert, update');
