-- The home of the row that an event tells of, eu or us. When the row was written after the home had been taken over, both are undone.
ALTER TABLE outbox ADD COLUMN home text;
