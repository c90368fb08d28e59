// Publishes orders and takes them: confirms, acknowledgements by hand, and a queue for what nobody can take.
//
//     CLASSPATH=/usr/share/java/amqp-client.jar:/usr/share/java/slf4j-api.jar
//     java -cp $CLASSPATH Orders.java consume 100
//     java -cp $CLASSPATH Orders.java publish 100
//
// On Debian: apt install default-jdk-headless librabbitmq-client-java; elsewhere com.rabbitmq:amqp-client from Maven. AMQP_URI says
// where the broker is.

import com.rabbitmq.client.*;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;

public class Orders {
    private static final String QUEUE = "orders";
    private static final String REJECTED = "orders.rejected";
    private static final int UNCONFIRMED_MAX = 1_000;
    private static final long CONFIRM_TIMEOUT_MS = 10_000;

    public static void main(String[] arguments) throws Exception {
        int count = Integer.parseInt(arguments[1]);
        switch (arguments[0]) {
            case "publish" -> publish(count);
            case "consume" -> consume(count);
            default -> throw new IllegalArgumentException("publish or consume");
        }
    }

    private static Connection connect() throws Exception {
        ConnectionFactory factory = new ConnectionFactory();
        factory.setUri(System.getenv().getOrDefault("AMQP_URI", "amqp://guest:guest@127.0.0.1:5672"));
        // This client connects again by itself, and declares and consumes again. What was delivered and not acknowledged is in
        // the queue again, and acknowledgements of before do nothing.
        factory.setAutomaticRecoveryEnabled(true);
        factory.setNetworkRecoveryInterval(1_000);
        return factory.newConnection();
    }

    /** Both sides declare: whoever comes first makes the queues, the other one finds the same. */
    private static void declare(Channel channel) throws IOException {
        channel.queueDeclare(REJECTED, true, false, false, null);
        Map<String, Object> rules = Map.of("x-dead-letter-exchange", "", "x-dead-letter-routing-key", REJECTED);
        channel.queueDeclare(QUEUE, true, false, false, rules);
    }

    private static void publish(int count) throws Exception {
        try (Connection connection = connect(); Channel channel = connection.createChannel()) {
            declare(channel);
            channel.confirmSelect();
            List<String> unconfirmed = new ArrayList<>();
            for (int number = 1; number <= count; number++) {
                String order = "order " + number + ": " + number % 10 + " pieces";
                byte[] body = order.getBytes(StandardCharsets.UTF_8);
                channel.basicPublish("", QUEUE, MessageProperties.PERSISTENT_TEXT_PLAIN, body);
                unconfirmed.add(order);
                if (unconfirmed.size() == UNCONFIRMED_MAX || number == count) {
                    // Throws if the broker refused one. If the connection is lost meanwhile nobody knows whether the broker has
                    // them: publish them again, and let consumers expect them twice.
                    channel.waitForConfirmsOrDie(CONFIRM_TIMEOUT_MS);
                    unconfirmed.forEach(it -> System.out.println("confirmed " + it));
                    unconfirmed.clear();
                }
            }
        }
    }

    private static void consume(int count) throws Exception {
        CountDownLatch left = new CountDownLatch(count);
        try (Connection connection = connect(); Channel channel = connection.createChannel()) {
            declare(channel);
            channel.basicQos(50);
            channel.basicConsume(QUEUE, false, new DefaultConsumer(channel) {
                @Override
                public void handleDelivery(String tag, Envelope envelope, AMQP.BasicProperties properties, byte[] body)
                        throws IOException {
                    if (left.getCount() > 0) {
                        settle(channel, envelope.getDeliveryTag(), new String(body, StandardCharsets.UTF_8));
                        left.countDown();
                    }
                }
            });
            System.out.println("waiting");
            left.await();
        }
    }

    private static void settle(Channel channel, long deliveryTag, String order) throws IOException {
        if (order.endsWith(": 0 pieces")) {
            channel.basicReject(deliveryTag, false);
            System.out.println("rejected " + order);
        } else {
            // Only when the work is done: whoever dies before gets it again.
            channel.basicAck(deliveryTag, false);
            System.out.println("took " + order);
        }
    }
}
