/* Runs the cases of rabbitmq-c's ground, each in its own process, and says of each `case pass|fail NAME`. */

#include "suite.h"

#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *host;
static int port;

static void run(const struct named_case *cases) {
  for (; cases->name; cases++) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
      alarm(30); /* it fails rather than waits for ever */
      cases->run();
      exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    printf("case %s %s\n", status == 0 ? "pass" : "fail", cases->name);
  }
}

int main(int count, char **arguments) {
  if (count != 3) {
    fprintf(stderr, "usage: suite HOST PORT\n");
    return 64;
  }
  host = arguments[1];
  port = atoi(arguments[2]);
  run(connecting_cases);
  run(routing_cases);
  run(message_cases);
  run(consuming_cases);
  return 0;
}

connection connected(void) {
  connection c = amqp_new_connection();
  amqp_socket_t *socket = amqp_tcp_socket_new(c);
  MUST(amqp_socket_open(socket, host, port) == AMQP_STATUS_OK);
  return c;
}

connection logged_in(const char *vhost, int channel_max, int frame_max, int heartbeat, const char *password, amqp_rpc_reply_t *reply) {
  connection c = connected();
  *reply = amqp_login(c, vhost, channel_max, frame_max, heartbeat, AMQP_SASL_METHOD_PLAIN, "guest", password);
  return c;
}

connection opened(void) {
  amqp_rpc_reply_t reply;
  connection c = logged_in("/", 0, AMQP_DEFAULT_FRAME_SIZE, 0, "guest", &reply);
  MUST(reply.reply_type == AMQP_RESPONSE_NORMAL);
  amqp_channel_open(c, CHANNEL);
  must_be_done(c);
  return c;
}

void closed(connection c) {
  MUST(amqp_connection_close(c, AMQP_REPLY_SUCCESS).reply_type == AMQP_RESPONSE_NORMAL);
  MUST(amqp_destroy_connection(c) == AMQP_STATUS_OK);
}

void must_be_done(connection c) {
  amqp_rpc_reply_t reply = amqp_get_rpc_reply(c);
  if (reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION && reply.reply.id == AMQP_CHANNEL_CLOSE_METHOD) {
    amqp_channel_close_t *close = reply.reply.decoded;
    printf("    %d %.*s\n", close->reply_code, (int)close->reply_text.len, (char *)close->reply_text.bytes);
  }
  MUST(reply.reply_type == AMQP_RESPONSE_NORMAL);
}

void must_be_refused(connection c, amqp_channel_t channel, int code, const char *begin) {
  amqp_rpc_reply_t reply = amqp_get_rpc_reply(c);
  MUST(reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION);
  MUST(reply.reply.id == AMQP_CHANNEL_CLOSE_METHOD);
  amqp_channel_close_t *close = reply.reply.decoded;
  printf("    refused: %d %.*s\n", close->reply_code, (int)close->reply_text.len, (char *)close->reply_text.bytes);
  MUST(close->reply_code == code);
  MUST(close->reply_text.len >= strlen(begin) && memcmp(close->reply_text.bytes, begin, strlen(begin)) == 0);
  amqp_channel_close_ok_t ok;
  MUST(amqp_send_method(c, channel, AMQP_CHANNEL_CLOSE_OK_METHOD, &ok) == AMQP_STATUS_OK);
  amqp_channel_open(c, channel);
  must_be_done(c);
}

amqp_bytes_t text(const char *characters) { return amqp_cstring_bytes(characters); }

bool same(amqp_bytes_t octets, const char *characters) {
  return octets.len == strlen(characters) && memcmp(octets.bytes, characters, octets.len) == 0;
}

amqp_bytes_t name_of(const char *what) {
  static int number;
  char name[128];
  snprintf(name, sizeof name, "c-%s-%d-%ld-%d", what, getpid(), (long)time(NULL), number++);
  return amqp_bytes_malloc_dup(text(name));
}

amqp_bytes_t own_queue(connection c, amqp_table_t arguments) {
  amqp_bytes_t name = name_of("queue");
  amqp_queue_declare(c, CHANNEL, name, 0, 0, 1, 0, arguments);
  must_be_done(c);
  return name;
}

int count_of(connection c, amqp_bytes_t queue) {
  amqp_queue_declare_ok_t *ok = amqp_queue_declare(c, CHANNEL, queue, 1, 0, 0, 0, amqp_empty_table);
  must_be_done(c);
  return (int)ok->message_count;
}

/* Brokers settle and count in their own time. */
void holds(connection c, amqp_bytes_t queue, int count) {
  int tries = SECONDS_TO_ARRIVE * 100;
  while (count_of(c, queue) != count) {
    MUST(tries-- > 0);
    usleep(10000);
  }
}

void publish(connection c, amqp_bytes_t exchange, amqp_bytes_t key, bool mandatory, const amqp_basic_properties_t *properties, amqp_bytes_t body) {
  MUST(amqp_basic_publish(c, CHANNEL, exchange, key, mandatory, 0, properties, body) == AMQP_STATUS_OK);
}

void send_text(connection c, amqp_bytes_t queue, const char *body) {
  publish(c, amqp_empty_bytes, queue, false, NULL, text(body));
}

bool got(connection c, amqp_bytes_t queue, bool no_ack, amqp_basic_get_ok_t *ok, amqp_message_t *message) {
  amqp_rpc_reply_t reply = amqp_basic_get(c, CHANNEL, queue, no_ack);
  MUST(reply.reply_type == AMQP_RESPONSE_NORMAL);
  if (reply.reply.id == AMQP_BASIC_GET_EMPTY_METHOD) return false;
  MUST(reply.reply.id == AMQP_BASIC_GET_OK_METHOD);
  *ok = *(amqp_basic_get_ok_t *)reply.reply.decoded;
  MUST(amqp_read_message(c, CHANNEL, message, 0).reply_type == AMQP_RESPONSE_NORMAL);
  return true;
}

void next_is(connection c, amqp_bytes_t queue, const char *body) {
  amqp_basic_get_ok_t ok;
  amqp_message_t message;
  MUST(got(c, queue, true, &ok, &message));
  MUST(same(message.body, body));
}

void consume(connection c, amqp_channel_t channel, amqp_bytes_t queue, const char *tag, bool no_ack) {
  amqp_basic_consume(c, channel, queue, text(tag), 0, no_ack, 0, amqp_empty_table);
  must_be_done(c);
}

bool came(connection c, amqp_envelope_t *envelope, int milliseconds) {
  struct timeval limit = {milliseconds / 1000, milliseconds % 1000 * 1000};
  amqp_rpc_reply_t reply = amqp_consume_message(c, envelope, &limit, 0);
  if (reply.reply_type == AMQP_RESPONSE_NORMAL) return true;
  MUST(reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION && reply.library_error == AMQP_STATUS_TIMEOUT);
  return false;
}

void comes(connection c, amqp_envelope_t *envelope, const char *body) {
  MUST(came(c, envelope, SECONDS_TO_ARRIVE * 1000));
  MUST(same(envelope->message.body, body));
}

amqp_method_t method_comes(connection c, amqp_method_number_t id) {
  struct timeval limit = {SECONDS_TO_ARRIVE, 0};
  amqp_frame_t frame;
  MUST(amqp_simple_wait_frame_noblock(c, &frame, &limit) == AMQP_STATUS_OK);
  MUST(frame.frame_type == AMQP_FRAME_METHOD);
  MUST(frame.payload.method.id == id);
  return frame.payload.method;
}

amqp_table_entry_t *entry_of(const amqp_table_t *table, amqp_bytes_t key) {
  for (int at = 0; at < table->num_entries; at++) {
    amqp_table_entry_t *it = &table->entries[at];
    if (it->key.len == key.len && memcmp(it->key.bytes, key.bytes, key.len) == 0) return it;
  }
  printf("    no «%.*s»\n", (int)key.len, (char *)key.bytes);
  MUST(!"an entry of that name");
  return NULL;
}

amqp_table_entry_t entry(const char *key, uint8_t kind) {
  return (amqp_table_entry_t){.key = text(key), .value = {.kind = kind}};
}

amqp_table_entry_t number(const char *key, int value) {
  amqp_table_entry_t it = entry(key, AMQP_FIELD_KIND_I32);
  it.value.value.i32 = value;
  return it;
}

amqp_table_entry_t string(const char *key, amqp_bytes_t value) {
  amqp_table_entry_t it = entry(key, AMQP_FIELD_KIND_UTF8);
  it.value.value.bytes = value;
  return it;
}
