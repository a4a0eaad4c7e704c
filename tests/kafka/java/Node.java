import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.FileReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import kafka.server.KafkaConfig;
import kafka.server.KafkaRaftServer;
import kafka.tools.StorageTool;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ListTopicsOptions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.utils.Time;

/**
 * A single Kafka node and its clients in one process. The argument is a properties file. One JSON object a line in, one
 * out: {"ok": ...} or {"error": ...}. The end of the input shuts the node down in order.
 *
 *   {"op":"create","topic":"t","config":{"segment.bytes":"1048576"}}
 *   {"op":"consume","topic":"t","isolation":"read_committed"}   every record, to the end
 *   {"op":"produce","topic":"t","values":["a"]}                 their offsets
 *   {"op":"topics"}                                             how many partitions each has
 *   {"op":"settings","topic":"t"}                               what was set for it
 *   {"op":"committed","group":"g"}                              the offset of each partition
 *   {"op":"commit","group":"g","topic":"t","partition":0,"offset":7}
 * A partition is 0 where none is named.
 */
public final class Node {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static String bootstrap;

    public static void main(String[] args) throws Exception {
        PrintStream out = System.out;
        System.setOut(System.err);
        Properties properties = new Properties();
        try (FileReader file = new FileReader(args[0], StandardCharsets.UTF_8)) { properties.load(file); }
        format(args[0], properties.getProperty("log.dirs"));
        bootstrap = properties.getProperty("advertised.listeners").split(",")[0].replaceFirst(".*//", "");
        KafkaRaftServer server = new KafkaRaftServer(KafkaConfig.fromProps(properties), Time.SYSTEM);
        server.startup();
        reply(out, Map.of("ok", "started"));
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            Map<String, Object> answer = new HashMap<>();
            try {
                answer.put("ok", perform(JSON.readTree(line)));
            } catch (Exception e) {
                answer.put("error", String.valueOf(e));
            }
            reply(out, answer);
        }
        server.shutdown();
        server.awaitShutdown();
        System.exit(0);
    }

    private static void reply(PrintStream out, Map<String, Object> answer) throws Exception {
        out.println(JSON.writeValueAsString(answer));
        out.flush();
    }

    private static void format(String properties, String dir) {
        if (Files.exists(Path.of(dir, "meta.properties"))) return;
        ByteArrayOutputStream said = new ByteArrayOutputStream();
        int status = StorageTool.execute(new String[] {"format", "-t", "AAAAAAAAQACAAAAAAAAAAQ", "-c", properties}, new PrintStream(said));
        if (status != 0) throw new IllegalStateException(said.toString());
    }

    private static Object perform(JsonNode in) throws Exception {
        return switch (in.get("op").asText()) {
            case "create" -> create(in);
            case "consume" -> consume(in);
            case "produce" -> produce(in);
            case "topics" -> topics();
            case "settings" -> settings(in);
            case "committed" -> committed(in);
            case "commit" -> commit(in);
            default -> throw new IllegalArgumentException("unknown op");
        };
    }

    private static Object create(JsonNode in) throws Exception {
        Map<String, String> config = new HashMap<>();
        in.path("config").properties().forEach(e -> config.put(e.getKey(), e.getValue().asText()));
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
            admin.createTopics(List.of(new NewTopic(in.get("topic").asText(), 1, (short) 1).configs(config))).all().get();
        }
        return "created";
    }

    private static Object consume(JsonNode in) {
        TopicPartition tp = partition(in);
        List<Object> all = new ArrayList<>();
        Map<String, Object> config = Map.of("bootstrap.servers", bootstrap, "isolation.level", in.get("isolation").asText(), "check.crcs", "true");
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            consumer.assign(List.of(tp));
            consumer.seekToBeginning(List.of(tp));
            long end = consumer.endOffsets(List.of(tp)).get(tp);
            long deadline = System.currentTimeMillis() + 30_000;
            while (consumer.position(tp) < end) {
                if (System.currentTimeMillis() > deadline) throw new IllegalStateException("stuck at " + consumer.position(tp) + " of " + end);
                for (ConsumerRecord<byte[], byte[]> r : consumer.poll(Duration.ofMillis(200))) all.add(row(r));
            }
        }
        return all;
    }

    private static Object row(ConsumerRecord<byte[], byte[]> r) {
        Map<String, Object> o = new LinkedHashMap<>();
        o.put("offset", r.offset());
        o.put("timestamp", r.timestamp());
        o.put("key", text(r.key()));
        o.put("value", text(r.value()));
        List<Object> headers = new ArrayList<>();
        for (Header h : r.headers()) headers.add(Arrays.asList(h.key(), text(h.value())));
        o.put("headers", headers);
        return o;
    }

    /** Latin letters stay what they are byte for byte. */
    private static String text(byte[] b) { return b == null ? null : new String(b, StandardCharsets.ISO_8859_1); }

    private static Object produce(JsonNode in) throws Exception {
        List<Long> offsets = new ArrayList<>();
        Map<String, Object> config = Map.of("bootstrap.servers", bootstrap, "acks", "all", "enable.idempotence", "true");
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer())) {
            for (JsonNode v : in.get("values")) {
                byte[] value = v.asText().getBytes(StandardCharsets.ISO_8859_1);
                offsets.add(producer.send(new ProducerRecord<>(in.get("topic").asText(), in.path("partition").asInt(0), "key".getBytes(), value)).get().offset());
            }
        }
        return offsets;
    }

    private static TopicPartition partition(JsonNode in) {
        return new TopicPartition(in.get("topic").asText(), in.path("partition").asInt(0));
    }

    private static Object topics() throws Exception {
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
            var names = admin.listTopics(new ListTopicsOptions().listInternal(true)).names().get();
            Map<String, Object> all = new TreeMap<>();
            admin.describeTopics(names).allTopicNames().get().forEach((name, topic) -> all.put(name, topic.partitions().size()));
            return all;
        }
    }

    private static Object settings(JsonNode in) throws Exception {
        ConfigResource topic = new ConfigResource(ConfigResource.Type.TOPIC, in.get("topic").asText());
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
            Map<String, Object> set = new TreeMap<>();
            for (ConfigEntry entry : admin.describeConfigs(List.of(topic)).all().get().get(topic).entries()) {
                if (entry.source() == ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG) set.put(entry.name(), entry.value());
            }
            return set;
        }
    }

    private static Object committed(JsonNode in) throws Exception {
        String group = in.get("group").asText();
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
            Map<String, Object> all = new TreeMap<>();
            admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get()
                .forEach((tp, offset) -> all.put(tp.toString(), offset.offset()));
            return all;
        }
    }

    private static Object commit(JsonNode in) throws Exception {
        OffsetAndMetadata offset = new OffsetAndMetadata(in.get("offset").asLong());
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
            admin.alterConsumerGroupOffsets(in.get("group").asText(), Map.of(partition(in), offset)).all().get();
        }
        return "committed";
    }
}
