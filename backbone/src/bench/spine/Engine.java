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
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.source.SourceRecord;

/**
 * The rival of the outbox relay: Debezium's engine reads the outbox from the WAL, Kafka's own producer writes it to the topics.
 *
 * <p>It does what our relay does: one idempotent producer, acks from all, the aggregate's id as the key, the same headers, and a
 * position is confirmed only when everything before it is acknowledged. The rows are routed here and not by Debezium's outbox
 * transformation, which was slower.
 *
 * <p>Lines on standard input say {@code start} and {@code stop}; the answer to the second is {@code stopped}. One process does all
 * rounds, so that its code is compiled when it counts. It ends when standard input does.
 */
public final class Engine implements DebeziumEngine.ChangeConsumer<RecordChangeEvent<SourceRecord>> {
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
            sent.add(producer.send(message(((Struct) event.record().value()).getStruct("after"))));
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

    private static ProducerRecord<byte[], byte[]> message(Struct row) {
        ByteBuffer payload = (ByteBuffer) row.get("payload");
        byte[] value = payload.hasArray() && payload.remaining() == payload.array().length ? payload.array() : copy(payload);
        byte[] key = bytes(row.getString("key"));
        var message = new ProducerRecord<>(row.getString("topic"), key, value);
        Headers headers = message.headers();
        headers.add("ce_specversion", VERSION).add("ce_id", bytes(row.getString("event_id"))).add("ce_source", SOURCE);
        headers.add("ce_type", bytes(row.getString("type"))).add("ce_subject", key);
        headers.add("ce_time", bytes(row.getString("created_at"))).add("content-type", PROTOBUF);
        String traceparent = row.getString("traceparent");
        if (traceparent != null) {
            headers.add("traceparent", bytes(traceparent));
        }
        return message;
    }

    private static final byte[] VERSION = bytes("1.0");
    private static final byte[] SOURCE = bytes("/market/eu/bench");
    private static final byte[] PROTOBUF = bytes("application/protobuf");

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private static byte[] copy(ByteBuffer buffer) {
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

    /** As fast as it gets on two cores: larger batches and queues, more threads or shorter pauses made it slower, or no faster. */
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
        // The slot itself keeps the position, as it does for our relay.
        settings.put("offset.storage", "org.apache.kafka.connect.storage.MemoryOffsetBackingStore");
        settings.put("offset.flush.interval.ms", "500");
        settings.put("status.update.interval.ms", "500");
        System.getenv().forEach((name, value) -> {
            if (name.startsWith("DBZ_")) settings.put(name.substring(4).toLowerCase().replace('_', '.'), value);
        });
        settings.putIfAbsent("poll.interval.ms", "5");
        settings.putIfAbsent("max.batch.size", "8192");
        settings.putIfAbsent("max.queue.size", "32768");
        return settings;
    }
}
