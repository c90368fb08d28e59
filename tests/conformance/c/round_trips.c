/* Sends bodies of several sizes through rabbitmq-c with confirms, and checks that they come back byte for byte, once by
 * basic.consume with acknowledgements and once by basic.get. Exits 1 and says where when anything differs.
 *
 *   round_trips HOST PORT
 */
#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const size_t sizes[] = {0, 1, 4096, 131064, 131065, 1 << 20, 5 << 20};
#define COUNT (sizeof sizes / sizeof sizes[0])
#define CHANNEL 1

static amqp_connection_state_t connection;
static amqp_bytes_t queue;

#define CHECK(condition)                                                     \
  do {                                                                       \
    if (!(condition)) {                                                      \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
      exit(1);                                                               \
    }                                                                        \
  } while (0)

static void answered(void) {
  CHECK(amqp_get_rpc_reply(connection).reply_type == AMQP_RESPONSE_NORMAL);
}

static void open_connection(const char *host, int port) {
  connection = amqp_new_connection();
  amqp_socket_t *socket = amqp_tcp_socket_new(connection);
  CHECK(socket && amqp_socket_open(socket, host, port) == AMQP_STATUS_OK);
  amqp_rpc_reply_t login =
      amqp_login(connection, "/", 0, 131072, 30, AMQP_SASL_METHOD_PLAIN, "guest", "guest");
  CHECK(login.reply_type == AMQP_RESPONSE_NORMAL);
  amqp_channel_open(connection, CHANNEL);
  answered();
}

static amqp_bytes_t body_of(size_t size) {
  amqp_bytes_t body = amqp_bytes_malloc(size);
  for (size_t at = 0; at < size; at++) ((unsigned char *)body.bytes)[at] = (unsigned char)(at * 31 + size);
  return body;
}

static void publish(size_t size) {
  amqp_basic_properties_t properties = {0};
  properties._flags = AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_MESSAGE_ID_FLAG;
  properties.delivery_mode = 2;
  properties.message_id = amqp_cstring_bytes("id");
  amqp_bytes_t body = body_of(size);
  CHECK(amqp_basic_publish(connection, CHANNEL, amqp_empty_bytes, queue, 1, 0, &properties, body) == AMQP_STATUS_OK);
  amqp_bytes_free(body);
}

static void publish_confirmed(void) {
  for (size_t i = 0; i < COUNT; i++) {
    publish(sizes[i]);
    amqp_frame_t frame;
    CHECK(amqp_simple_wait_frame(connection, &frame) == AMQP_STATUS_OK);
    CHECK(frame.frame_type == AMQP_FRAME_METHOD && frame.payload.method.id == AMQP_BASIC_ACK_METHOD);
  }
}

static void compare(const amqp_message_t *message, size_t size) {
  amqp_bytes_t expected = body_of(size);
  CHECK(message->body.len == size && memcmp(message->body.bytes, expected.bytes, size) == 0);
  CHECK(message->properties._flags & AMQP_BASIC_MESSAGE_ID_FLAG);
  CHECK(message->properties.delivery_mode == 2);
  amqp_bytes_free(expected);
}

static void consume_all(void) {
  amqp_basic_consume(connection, CHANNEL, queue, amqp_cstring_bytes("c"), 0, 0, 0, amqp_empty_table);
  answered();
  for (size_t i = 0; i < COUNT; i++) {
    amqp_envelope_t envelope;
    CHECK(amqp_consume_message(connection, &envelope, NULL, 0).reply_type == AMQP_RESPONSE_NORMAL);
    compare(&envelope.message, sizes[i]);
    CHECK(amqp_basic_ack(connection, CHANNEL, envelope.delivery_tag, 0) == AMQP_STATUS_OK);
    amqp_destroy_envelope(&envelope);
  }
  amqp_basic_cancel(connection, CHANNEL, amqp_cstring_bytes("c"));
  answered();
}

static void get_all(void) {
  for (size_t i = 0; i < COUNT; i++) {
    amqp_message_t message;
    amqp_rpc_reply_t got = amqp_basic_get(connection, CHANNEL, queue, 1);
    CHECK(got.reply_type == AMQP_RESPONSE_NORMAL && got.reply.id == AMQP_BASIC_GET_OK_METHOD);
    CHECK(amqp_read_message(connection, CHANNEL, &message, 0).reply_type == AMQP_RESPONSE_NORMAL);
    compare(&message, sizes[i]);
    amqp_destroy_message(&message);
  }
  CHECK(amqp_basic_get(connection, CHANNEL, queue, 1).reply.id == AMQP_BASIC_GET_EMPTY_METHOD);
}

int main(int count, char **arguments) {
  CHECK(count == 3);
  open_connection(arguments[1], atoi(arguments[2]));
  amqp_queue_declare_ok_t *declared =
      amqp_queue_declare(connection, CHANNEL, amqp_empty_bytes, 0, 0, 1, 1, amqp_empty_table);
  answered();
  queue = amqp_bytes_malloc_dup(declared->queue);
  amqp_confirm_select(connection, CHANNEL);
  answered();
  publish_confirmed();
  get_all();
  publish_confirmed();
  consume_all();
  CHECK(amqp_channel_close(connection, CHANNEL, AMQP_REPLY_SUCCESS).reply_type == AMQP_RESPONSE_NORMAL);
  CHECK(amqp_connection_close(connection, AMQP_REPLY_SUCCESS).reply_type == AMQP_RESPONSE_NORMAL);
  CHECK(amqp_destroy_connection(connection) == AMQP_STATUS_OK);
  return 0;
}
