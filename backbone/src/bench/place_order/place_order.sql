-- One PlaceOrder of one line: the statement of services/order (store/placing.rs) with arrays of one. Values are drawn by the server.
\set cents random(100, 99999)
WITH drawn AS MATERIALIZED (
    SELECT 'place/' || uuidv7() AS scope, uuidv7()::text AS key, uuidv7() AS order_id, uuidv7()::text AS session_id, uuidv7() AS event_id
), asked AS (
    SELECT a.* FROM set_config('lock_timeout', '2s', true), drawn,
        unnest(ARRAY[drawn.scope], ARRAY[drawn.key], ARRAY[decode(repeat('5a', 32), 'hex')], ARRAY[drawn.order_id], ARRAY[drawn.session_id],
               ARRAY['tok_visa'],
               ARRAY['{"name": "Ada Bench", "line1": "Linienstrasse 12", "city": "Berlin", "country": "DE", "postal_code": "10178"}'::jsonb],
               ARRAY[:cents::bigint], ARRAY['EUR'], ARRAY[drawn.event_id], ARRAY[decode(repeat('5a', 140), 'hex')],
               ARRAY['00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'])
        AS a (scope, key, request_hash, order_id, session_id, payment_token, address, total_minor, currency, event_id, payload, traceparent)
), claimed AS (
    INSERT INTO idempotency_keys (scope, key, request_hash, response)
    SELECT scope, key, request_hash, uuid_send(order_id) FROM asked ON CONFLICT DO NOTHING RETURNING scope, key
), accepted AS (
    SELECT asked.* FROM asked JOIN claimed USING (scope, key)
), lines AS (
    INSERT INTO order_lines (order_id, line_no, sku, quantity, title, unit_minor)
    SELECT line.* FROM drawn,
        unnest(ARRAY[drawn.order_id], ARRAY[1], ARRAY['KIT-0001'], ARRAY[1], ARRAY['Enamel mug'], ARRAY[:cents::bigint])
        AS line (order_id, line_no, sku, quantity, title, unit_minor)
    JOIN accepted USING (order_id)
), said AS (
    INSERT INTO outbox (event_id, topic, key, type, payload, traceparent)
    SELECT event_id, 'order.events', order_id::text, 'order.placed', payload, traceparent FROM accepted
)
INSERT INTO orders (order_id, session_id, state, home_region, payment_token, address, total_minor, currency, version)
SELECT order_id, session_id, 'placed', 'eu', payment_token, address, total_minor, currency, 1 FROM accepted
RETURNING order_id, placed_at;
