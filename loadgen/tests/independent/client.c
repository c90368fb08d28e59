/* An independent client: publishes and consumes through rabbitmq-c at the same time and says how many messages per second
 * arrived, so that loadgen's rate can be compared with it.
 *
 *   client HOST PORT BINDINGS IN_FLIGHT WARMUP SECONDS COUNT
 *
 * One producer and one consumer, each with a connection and a thread of its own, and at most IN_FLIGHT messages between
 * them; bodies of 16 octets, transient, without acknowledgements. With BINDINGS 0 through the default exchange, else through
 * a topic exchange with so many bindings, whose keys are taken in turn. Ends after COUNT messages, or if that is 0 after
 * WARMUP + SECONDS. Prints one JSON object. Exits 1 and says where when a message is lost, doubled or out of order.
 */
#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <time.h>

#define CHANNEL 1
#define BODY_BYTES 16
#define QUEUE amqp_cstring_bytes("agreement")
#define EXCHANGE amqp_cstring_bytes("agreement.topic")
#define DRAIN_SECONDS 30

#define CHECK(condition)                                                     \
  do {                                                                       \
    if (!(condition)) {                                                      \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
      exit(1);                                                               \
    }                                                                        \
  } while (0)

static const char *host;
static int port, bindings;
static unsigned long in_flight, count;

static atomic_ulong published, delivered;
static atomic_bool stop, drained;

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static double cpu(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void rest(void) {
  struct timespec time = {0, 200 * 1000};
  nanosleep(&time, NULL);
}

static void answered(amqp_connection_state_t connection) {
  CHECK(amqp_get_rpc_reply(connection).reply_type == AMQP_RESPONSE_NORMAL);
}

static amqp_connection_state_t connect_to_broker(void) {
  amqp_connection_state_t connection = amqp_new_connection();
  amqp_socket_t *socket = amqp_tcp_socket_new(connection);
  CHECK(socket && amqp_socket_open(socket, host, port) == AMQP_STATUS_OK);
  amqp_rpc_reply_t login = amqp_login(connection, "/", 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest");
  CHECK(login.reply_type == AMQP_RESPONSE_NORMAL);
  amqp_channel_open(connection, CHANNEL);
  answered(connection);
  return connection;
}

static void disconnect(amqp_connection_state_t connection) {
  CHECK(amqp_connection_close(connection, AMQP_REPLY_SUCCESS).reply_type == AMQP_RESPONSE_NORMAL);
  CHECK(amqp_destroy_connection(connection) == AMQP_STATUS_OK);
}

static amqp_bytes_t key_of(unsigned long number, char *text, size_t size) {
  snprintf(text, size, "bench.%lu.event", number);
  return amqp_cstring_bytes(text);
}

static void declare(amqp_connection_state_t connection) {
  amqp_queue_declare(connection, CHANNEL, QUEUE, 0, 0, 0, 0, amqp_empty_table);
  answered(connection);
  if (bindings == 0) return;
  amqp_exchange_declare(connection, CHANNEL, EXCHANGE, amqp_cstring_bytes("topic"), 0, 0, 0, 0, amqp_empty_table);
  answered(connection);
  char text[64];
  for (int number = 0; number < bindings; number++) {
    amqp_queue_bind(connection, CHANNEL, QUEUE, EXCHANGE, key_of((unsigned long)number, text, sizeof text), amqp_empty_table);
    answered(connection);
  }
}

static void delete(amqp_connection_state_t connection) {
  amqp_queue_delete(connection, CHANNEL, QUEUE, 0, 0);
  answered(connection);
  if (bindings == 0) return;
  amqp_exchange_delete(connection, CHANNEL, EXCHANGE, 0);
  answered(connection);
}

static void *publish_all(void *argument) {
  amqp_connection_state_t connection = argument;
  char text[64];
  unsigned char body[BODY_BYTES] = {0};
  for (unsigned long sequence = 0; !stop && (count == 0 || sequence < count); sequence++) {
    while (sequence - delivered >= in_flight && !stop) rest();
    memcpy(body, &sequence, sizeof sequence);
    amqp_bytes_t exchange = bindings ? EXCHANGE : amqp_empty_bytes;
    amqp_bytes_t key = bindings ? key_of(sequence % (unsigned long)bindings, text, sizeof text) : QUEUE;
    amqp_bytes_t bytes = {BODY_BYTES, body};
    CHECK(amqp_basic_publish(connection, CHANNEL, exchange, key, 0, 0, NULL, bytes) == AMQP_STATUS_OK);
    published = sequence + 1;
  }
  return NULL;
}

static void *consume_all(void *argument) {
  amqp_connection_state_t connection = argument;
  unsigned long expected = 0;
  while (!drained) {
    amqp_envelope_t envelope;
    struct timeval timeout = {0, 20 * 1000};
    amqp_maybe_release_buffers(connection);
    amqp_rpc_reply_t reply = amqp_consume_message(connection, &envelope, &timeout, 0);
    if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION && reply.library_error == AMQP_STATUS_TIMEOUT) continue;
    CHECK(reply.reply_type == AMQP_RESPONSE_NORMAL);
    unsigned long sequence;
    CHECK(envelope.message.body.len == BODY_BYTES);
    memcpy(&sequence, envelope.message.body.bytes, sizeof sequence);
    CHECK(sequence == expected);
    amqp_destroy_envelope(&envelope);
    delivered = ++expected;
  }
  return NULL;
}

static void rest_until(double time) {
  while (now() < time && (count == 0 || delivered < count)) rest();
}

int main(int arguments, char **argument) {
  CHECK(arguments == 8);
  host = argument[1];
  port = atoi(argument[2]);
  bindings = atoi(argument[3]);
  in_flight = strtoul(argument[4], NULL, 10);
  double warmup = atof(argument[5]), seconds = atof(argument[6]);
  count = strtoul(argument[7], NULL, 10);

  amqp_connection_state_t control = connect_to_broker(), producer = connect_to_broker(), consumer = connect_to_broker();
  declare(control);
  amqp_basic_consume(consumer, CHANNEL, QUEUE, amqp_cstring_bytes("c"), 0, 1, 0, amqp_empty_table);
  answered(consumer);
  pthread_t publishing, consuming;
  CHECK(pthread_create(&consuming, NULL, consume_all, consumer) == 0);
  CHECK(pthread_create(&publishing, NULL, publish_all, producer) == 0);

  double begin = now();
  if (count == 0) rest_until(begin + warmup);
  double from = now(), cpu_from = cpu();
  unsigned long delivered_from = delivered;
  rest_until(from + (count ? DRAIN_SECONDS : seconds));
  double until = now(), cpu_until = cpu();
  unsigned long delivered_until = delivered;
  stop = true;
  CHECK(pthread_join(publishing, NULL) == 0);
  for (double end = now() + DRAIN_SECONDS; delivered < published && now() < end;) rest();
  drained = true;
  CHECK(pthread_join(consuming, NULL) == 0);
  CHECK(delivered == published);
  delete(control);
  disconnect(consumer);
  disconnect(producer);
  disconnect(control);
  printf("{\"client\": \"rabbitmq-c %s\", \"delivered_per_second\": %.1f, \"published\": %lu, \"delivered\": %lu, \"client_cores\": %.3f}\n",
         amqp_version(), (double)(delivered_until - delivered_from) / (until - from), published, delivered,
         (cpu_until - cpu_from) / (until - from));
  return 0;
}
