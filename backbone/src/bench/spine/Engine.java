import io.debezium.embedded.Connect;
import io.debezium.engine.DebeziumEngine;
import io.debezium.engine.RecordChangeEvent;
import io.debezium.engine.format.ChangeEventFormat;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.URI;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.header.Header;
import org.apache.kafka.connect.source.SourceRecord;

/**
 * The rival of the outbox relay: Debezium's engine reads the outbox from the WAL, Kafka's own producer writes it to the topics.
 *
 * <p>It does what our relay does: one idempotent producer, acks from all, the aggregate's id as the key, the same headers, and a
 * position is confirmed only when everything before it is acknowledged. Rows become messages either by Debezium's Outbox Event Router,
 * as its manual says, or, when {@code ROUTER} is {@code hand}, by the least code that will do.
 *
 * <p>Lines on standard input say {@code start} and {@code stop}; the answer to the second is {@code stopped}. One process does all
 * rounds, so that its code is compiled when it counts. It ends when standard input does.
 */
public final class Engine implements DebeziumEngine.ChangeConsumer<RecordChangeEvent<SourceRecord>> {
    private static final boolean IS_BY_HAND = "hand".equals(System.getenv("ROUTER"));

    private final KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(producing());

    public static void main(String[] arguments) throws Exception {
        var lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        Runnable running = () -> {};
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            if (line.equals("start")) {
                running = new Engine().start();
            } else {
                running.run();
                System.out.println("stopped");
            }
        }
        System.exit(0);
    }

    /** Begins to publish; what it gives ends that. */
    private Runnable start() {
        var engine = DebeziumEngine.create(ChangeEventFormat.of(Connect.class))
                .using(reading())
                .using((success, message, error) -> {
                    if (!success) {
                        System.err.println(message);
                        System.exit(1);
                    }
                })
                .notifying(this)
                .build();
        ExecutorService thread = Executors.newSingleThreadExecutor();
        thread.execute(engine);
        return () -> {
            try {
                engine.close();
                thread.shutdown();
                thread.awaitTermination(30, TimeUnit.SECONDS);
                producer.close();
            } catch (Exception error) {
                throw new IllegalStateException("stop the engine", error);
            }
        };
    }

    @Override
    public void handleBatch(
            List<RecordChangeEvent<SourceRecord>> batch, DebeziumEngine.RecordCommitter<RecordChangeEvent<SourceRecord>> committer)
            throws InterruptedException {
        List<Future<RecordMetadata>> sent = new ArrayList<>(batch.size());
        for (var event : batch) {
            sent.add(producer.send(IS_BY_HAND ? byHand(event.record()) : routed(event.record())));
        }
        producer.flush();
        try {
            for (var acknowledged : sent) {
                acknowledged.get();
            }
        } catch (ExecutionException error) {
            throw new IllegalStateException("kafka refused an event", error);
        }
        // Positions grow: the last one stands for all before it.
        committer.markProcessed(batch.get(batch.size() - 1));
        committer.markBatchFinished();
    }

    /** From what the Outbox Event Router made of the row. */
    private static ProducerRecord<byte[], byte[]> routed(SourceRecord record) {
        var message = message(record.topic(), (String) record.key(), record.value());
        for (Header header : record.headers()) {
            if (header.value() != null) {
                message.headers().add(header.key().equals("id") ? "ce_id" : header.key(), bytes((String) header.value()));
            }
        }
        return message;
    }

    /** From the row itself. */
    private static ProducerRecord<byte[], byte[]> byHand(SourceRecord record) {
        Struct row = ((Struct) record.value()).getStruct("after");
        var message = message(row.getString("topic"), row.getString("key"), row.get("payload"));
        message.headers().add("ce_id", bytes(row.getString("event_id"))).add("ce_type", bytes(row.getString("type")));
        message.headers().add("ce_time", bytes(row.getString("created_at")));
        String traceparent = row.getString("traceparent");
        if (traceparent != null) {
            message.headers().add("traceparent", bytes(traceparent));
        }
        return message;
    }

    private static ProducerRecord<byte[], byte[]> message(String topic, String subject, Object payload) {
        byte[] key = bytes(subject);
        var message = new ProducerRecord<>(topic, key, payload instanceof byte[] array ? array : array((ByteBuffer) payload));
        message.headers().add("ce_specversion", VERSION).add("ce_source", SOURCE).add("ce_subject", key).add("content-type", PROTOBUF);
        return message;
    }

    private static final byte[] VERSION = bytes("1.0");
    private static final byte[] SOURCE = bytes("/market/eu/bench");
    private static final byte[] PROTOBUF = bytes("application/protobuf");

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private static byte[] array(ByteBuffer buffer) {
        if (buffer.hasArray() && buffer.remaining() == buffer.array().length) {
            return buffer.array();
        }
        byte[] copy = new byte[buffer.remaining()];
        buffer.duplicate().get(copy);
        return copy;
    }

    private static Properties producing() {
        var settings = new Properties();
        settings.put("bootstrap.servers", System.getenv("KAFKA_BOOTSTRAP_SERVERS"));
        settings.put("key.serializer", ByteArraySerializer.class);
        settings.put("value.serializer", ByteArraySerializer.class);
        settings.put("acks", "all");
        settings.put("enable.idempotence", "true");
        settings.put("linger.ms", "1");
        settings.put("batch.size", "262144");
        settings.put("buffer.memory", "67108864");
        return settings;
    }

    /** Its usual pause of 500 ms between two looks at its queue is 2 ms here; at 1 ms the queue spins and never sleeps. */
    private static Properties reading() {
        URI database = URI.create(System.getenv("DATABASE_URL"));
        String[] login = database.getUserInfo().split(":", 2);
        var settings = new Properties();
        settings.put("name", "bench");
        settings.put("topic.prefix", "bench");
        settings.put("connector.class", "io.debezium.connector.postgresql.PostgresConnector");
        settings.put("database.hostname", database.getHost());
        settings.put("database.port", Integer.toString(database.getPort()));
        settings.put("database.user", login[0]);
        settings.put("database.password", login[1]);
        settings.put("database.dbname", database.getPath().substring(1));
        settings.put("plugin.name", "pgoutput");
        settings.put("slot.name", System.getenv("SLOT"));
        settings.put("publication.name", System.getenv("PUBLICATION"));
        settings.put("publication.autocreate.mode", "disabled");
        settings.put("table.include.list", System.getenv("TABLE"));
        settings.put("snapshot.mode", "no_data");
        settings.put("binary.handling.mode", "bytes");
        settings.put("provide.transaction.metadata", "false");
        settings.put("poll.interval.ms", "2");
        settings.put("max.batch.size", "8192");
        settings.put("max.queue.size", "32768");
        // The slot itself keeps the position, as it does for our relay.
        settings.put("offset.storage", "org.apache.kafka.connect.storage.MemoryOffsetBackingStore");
        settings.put("offset.flush.interval.ms", "500");
        settings.put("status.update.interval.ms", "500");
        if (!IS_BY_HAND) {
            settings.put("transforms", "outbox");
            settings.put("transforms.outbox.type", "io.debezium.transforms.outbox.EventRouter");
            settings.put("transforms.outbox.table.field.event.id", "event_id");
            settings.put("transforms.outbox.table.field.event.key", "key");
            settings.put("transforms.outbox.route.by.field", "topic");
            settings.put("transforms.outbox.route.topic.replacement", "${routedByValue}");
            settings.put(
                    "transforms.outbox.table.fields.additional.placement",
                    "type:header:ce_type,created_at:header:ce_time,traceparent:header:traceparent");
        }
        return settings;
    }
}
