-- An event that Kafka will never take, e.g. for its size, must not hold up those behind it. It is set aside (`sent_at` and `refused` set), is kept
-- for good, and counts in market_outbox_refused_total. Additive: older code leaves the column empty.
ALTER TABLE outbox ADD COLUMN refused text;
