-- One PlaceOrder of one line, statement by statement as services/order and crates/store send them. Values are drawn by the server.
\set cents random(100, 99999)
SELECT uuidv7()::text AS session, uuidv7()::text AS key, uuidv7() AS order_id, uuidv7() AS event_id \gset
BEGIN;
WITH patience AS (SELECT set_config('lock_timeout', '2s', true))
INSERT INTO idempotency_keys (scope, key, request_hash)
SELECT 'place/' || :session, :key, decode(repeat('5a', 32), 'hex') FROM patience ON CONFLICT DO NOTHING;
INSERT INTO orders (order_id, session_id, state, home_region, payment_token, address, total_minor, currency, version)
VALUES (:order_id, :session, 'placed', 'eu', 'tok_visa',
        '{"name": "Ada Bench", "line1": "Linienstrasse 12", "city": "Berlin", "country": "DE", "postal_code": "10178"}', :cents, 'EUR', 1)
RETURNING placed_at;
INSERT INTO order_lines (order_id, line_no, sku, quantity, title, unit_minor)
SELECT :order_id, row_number() OVER (), * FROM unnest(ARRAY['KIT-0001'], ARRAY[1], ARRAY['Enamel mug'], ARRAY[:cents::bigint]);
INSERT INTO outbox (event_id, topic, key, type, payload, traceparent)
VALUES (:event_id, 'order.events', :order_id::text, 'order.placed', decode(repeat('5a', 140), 'hex'),
        '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01');
UPDATE idempotency_keys SET response = decode(repeat('5a', 16), 'hex') WHERE scope = 'place/' || :session AND key = :key;
COMMIT;
