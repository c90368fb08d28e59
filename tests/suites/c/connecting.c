/* Logins, limits, channels and their errors. */

#include "suite.h"

#include <sys/time.h>
#include <unistd.h>

static void opens_and_closes(void) { closed(opened()); }

static void says_what_it_is(void) {
  connection c = opened();
  amqp_table_t *properties = amqp_get_server_properties(c);
  amqp_table_entry_t *product = entry_of(properties, text("product"));
  MUST(product->value.kind == AMQP_FIELD_KIND_UTF8 && product->value.value.bytes.len > 0);
  amqp_table_entry_t *capabilities = entry_of(properties, text("capabilities"));
  MUST(capabilities->value.kind == AMQP_FIELD_KIND_TABLE);
  const char *names[] = {"publisher_confirms", "exchange_exchange_bindings", "basic.nack", "consumer_cancel_notify"};
  for (int at = 0; at < 4; at++) {
    amqp_table_entry_t *capability = entry_of(&capabilities->value.value.table, text(names[at]));
    MUST(capability->value.value.boolean);
  }
  closed(c);
}

static void refused_login(const char *vhost, const char *password, int code, const char *begin) {
  amqp_rpc_reply_t reply;
  connection c = logged_in(vhost, 0, AMQP_DEFAULT_FRAME_SIZE, 0, password, &reply);
  MUST(reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION && reply.reply.id == AMQP_CONNECTION_CLOSE_METHOD);
  amqp_connection_close_t *close = reply.reply.decoded;
  printf("    refused: %d %.*s\n", close->reply_code, (int)close->reply_text.len, (char *)close->reply_text.bytes);
  MUST(close->reply_code == code);
  MUST(strncmp(close->reply_text.bytes, begin, strlen(begin)) == 0);
  amqp_destroy_connection(c);
}

static void a_wrong_password(void) { refused_login("/", "wrong", 403, "ACCESS_REFUSED - Login was refused"); }

static void an_unknown_vhost(void) { refused_login("c-nowhere", "guest", 530, "NOT_ALLOWED - vhost c-nowhere not found"); }

static void limits_are_negotiated(void) {
  amqp_rpc_reply_t reply;
  connection c = logged_in("/", 7, 4096, 5, "guest", &reply);
  MUST(reply.reply_type == AMQP_RESPONSE_NORMAL);
  MUST(amqp_get_channel_max(c) == 7 && amqp_get_frame_max(c) == 4096 && amqp_get_heartbeat(c) == 5);
  amqp_channel_open(c, 7);
  must_be_done(c);
  closed(c);
}

static void client_properties_of_any_type(void) {
  connection c = connected();
  amqp_table_entry_t no = entry("void", AMQP_FIELD_KIND_VOID);
  amqp_table_t properties = TABLE(string("connection_name", text("named")), number("number", 7), no);
  amqp_rpc_reply_t reply = amqp_login_with_properties(c, "/", 0, 131072, 0, &properties, AMQP_SASL_METHOD_PLAIN, "guest", "guest");
  MUST(reply.reply_type == AMQP_RESPONSE_NORMAL);
  closed(c);
}

static void a_mechanism_that_is_not_offered(void) {
  connection c = connected();
  amqp_rpc_reply_t reply = amqp_login(c, "/", 0, 131072, 0, AMQP_SASL_METHOD_EXTERNAL, "guest");
  MUST(reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION && reply.library_error == AMQP_STATUS_BROKER_UNSUPPORTED_SASL_METHOD);
  amqp_destroy_connection(c);
}

static void heartbeats_keep_an_idle_connection(void) {
  amqp_rpc_reply_t reply;
  connection c = logged_in("/", 0, 131072, 1, "guest", &reply);
  MUST(reply.reply_type == AMQP_RESPONSE_NORMAL);
  amqp_frame_t frame;
  struct timeval limit = {4, 0};
  MUST(amqp_simple_wait_frame_noblock(c, &frame, &limit) == AMQP_STATUS_TIMEOUT);
  amqp_channel_open(c, CHANNEL);
  must_be_done(c);
  closed(c);
}

static void channels_open_close_and_open(void) {
  connection c = opened();
  for (int times = 0; times < 50; times++) {
    MUST(amqp_channel_close(c, CHANNEL, AMQP_REPLY_SUCCESS).reply_type == AMQP_RESPONSE_NORMAL);
    amqp_channel_open(c, CHANNEL);
    must_be_done(c);
  }
  closed(c);
}

static void a_channel_that_is_open_costs_the_connection(void) {
  connection c = opened();
  amqp_channel_open(c, CHANNEL);
  amqp_rpc_reply_t reply = amqp_get_rpc_reply(c);
  MUST(reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION && reply.reply.id == AMQP_CONNECTION_CLOSE_METHOD);
  amqp_connection_close_t *close = reply.reply.decoded;
  MUST(close->reply_code == 504 && close->class_id == 20 && close->method_id == 10);
  amqp_destroy_connection(c);
}

static void two_channels_have_their_own_errors(void) {
  connection c = opened();
  amqp_channel_open(c, 2);
  must_be_done(c);
  for (int times = 0; times < 3; times++) {
    amqp_queue_declare(c, 2, name_of("missing"), 1, 0, 0, 0, amqp_empty_table);
    must_be_refused(c, 2, 404, "NOT_FOUND - no queue 'c-missing-");
    own_queue(c, amqp_empty_table);
  }
  closed(c);
}

const struct named_case connecting_cases[] = {
  {"connecting: opens and closes", opens_and_closes},
  {"connecting: the server says what it is", says_what_it_is},
  {"connecting: a wrong password is refused", a_wrong_password},
  {"connecting: an unknown virtual host is refused", an_unknown_vhost},
  {"connecting: limits are negotiated", limits_are_negotiated},
  {"connecting: client properties of any type are taken", client_properties_of_any_type},
  {"connecting: a mechanism that is not offered is not tried", a_mechanism_that_is_not_offered},
  {"connecting: heartbeats keep an idle connection", heartbeats_keep_an_idle_connection},
  {"connecting: a channel opens, closes and opens", channels_open_close_and_open},
  {"connecting: a channel that is open costs the connection", a_channel_that_is_open_costs_the_connection},
  {"connecting: two channels have their own errors", two_channels_have_their_own_errors},
  {NULL, NULL},
};
