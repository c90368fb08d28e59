/* Consumers, what limits them, and how messages are settled. */

#include "suite.h"

static const int SILENCE = 100;

/* A queue that holds "0", "1", ... */
static amqp_bytes_t filled(connection c, int count) {
  amqp_bytes_t queue = own_queue(c, amqp_empty_table);
  for (int at = 0; at < count; at++) {
    char body[16];
    snprintf(body, sizeof body, "%d", at);
    send_text(c, queue, body);
  }
  holds(c, queue, count);
  return queue;
}

static void messages_come_in_order(void) {
  connection c = opened();
  amqp_bytes_t queue = filled(c, 100);
  consume(c, CHANNEL, queue, "mine", false);
  for (int at = 0; at < 100; at++) {
    char body[16];
    snprintf(body, sizeof body, "%d", at);
    amqp_envelope_t envelope;
    comes(c, &envelope, body);
    MUST(envelope.channel == CHANNEL && same(envelope.consumer_tag, "mine") && envelope.delivery_tag == (uint64_t)at + 1 && !envelope.redelivered);
    MUST(amqp_basic_ack(c, CHANNEL, envelope.delivery_tag, 0) == AMQP_STATUS_OK);
    amqp_destroy_envelope(&envelope);
  }
  holds(c, queue, 0);
  closed(c);
}

static void silence_leaves_the_connection(void) {
  connection c = opened();
  amqp_bytes_t queue = filled(c, 0);
  consume(c, CHANNEL, queue, "mine", true);
  amqp_envelope_t envelope;
  MUST(!came(c, &envelope, SILENCE));
  send_text(c, queue, "x");
  comes(c, &envelope, "x");
  closed(c);
}

static void a_prefetch_is_kept(void) {
  connection c = opened();
  amqp_bytes_t queue = filled(c, 3);
  amqp_basic_qos(c, CHANNEL, 0, 1, 0);
  must_be_done(c);
  consume(c, CHANNEL, queue, "mine", false);
  const char *bodies[] = {"0", "1", "2"};
  amqp_envelope_t envelope;
  for (int at = 0; at < 3; at++) {
    comes(c, &envelope, bodies[at]);
    amqp_envelope_t more;
    MUST(!came(c, &more, SILENCE));
    MUST(amqp_basic_ack(c, CHANNEL, envelope.delivery_tag, 0) == AMQP_STATUS_OK);
  }
  closed(c);
}

static void a_cancelled_consumer_gets_nothing(void) {
  connection c = opened();
  amqp_bytes_t queue = filled(c, 0);
  consume(c, CHANNEL, queue, "mine", true);
  amqp_basic_cancel_ok_t *ok = amqp_basic_cancel(c, CHANNEL, text("mine"));
  MUST(ok && same(ok->consumer_tag, "mine"));
  send_text(c, queue, "x");
  next_is(c, queue, "x");
  closed(c);
}

/* Its consumer is told if the client said that it understands that, which rabbitmq-c by itself does not. */
static void a_queue_is_deleted_under(connection c, bool told) {
  connection other = opened();
  amqp_bytes_t queue = name_of("gone");
  amqp_queue_declare(c, CHANNEL, queue, 0, 0, 0, 0, amqp_empty_table);
  must_be_done(c);
  consume(c, CHANNEL, queue, "mine", true);
  amqp_queue_delete(other, CHANNEL, queue, 0, 0);
  must_be_done(other);
  if (told) {
    amqp_basic_cancel_t *cancel = method_comes(c, AMQP_BASIC_CANCEL_METHOD).decoded;
    MUST(same(cancel->consumer_tag, "mine") && cancel->nowait);
  } else {
    amqp_envelope_t envelope;
    MUST(!came(c, &envelope, SILENCE));
  }
  own_queue(c, amqp_empty_table);
  closed(c);
  closed(other);
}

static void a_deleted_queue_cancels_its_consumer(void) {
  connection c = connected();
  amqp_table_entry_t notify = entry("consumer_cancel_notify", AMQP_FIELD_KIND_BOOLEAN);
  notify.value.value.boolean = 1;
  amqp_table_entry_t capabilities = entry("capabilities", AMQP_FIELD_KIND_TABLE);
  capabilities.value.value.table = TABLE(notify);
  amqp_table_t properties = TABLE(capabilities);
  amqp_login_with_properties(c, "/", 0, 131072, 0, &properties, AMQP_SASL_METHOD_PLAIN, "guest", "guest");
  amqp_channel_open(c, CHANNEL);
  must_be_done(c);
  a_queue_is_deleted_under(c, true);
}

static void who_did_not_ask_is_not_told(void) { a_queue_is_deleted_under(opened(), false); }

static void an_exclusive_consumer_is_alone(void) {
  connection c = opened();
  amqp_bytes_t queue = filled(c, 0);
  amqp_basic_consume(c, CHANNEL, queue, text("mine"), 0, 1, 1, amqp_empty_table);
  must_be_done(c);
  amqp_channel_open(c, 2);
  must_be_done(c);
  amqp_basic_consume(c, 2, queue, amqp_empty_bytes, 0, 1, 0, amqp_empty_table);
  must_be_refused(c, 2, 403, "ACCESS_REFUSED - queue 'c-queue-");
  closed(c);
}

static void settled_one_by_one_and_together(void) {
  connection c = opened();
  amqp_bytes_t queue = filled(c, 6);
  amqp_basic_get_ok_t ok;
  amqp_message_t message;
  for (int count = 0; count < 6; count++) MUST(got(c, queue, false, &ok, &message));
  MUST(amqp_basic_ack(c, CHANNEL, 2, 1) == AMQP_STATUS_OK);
  MUST(amqp_basic_nack(c, CHANNEL, 4, 1, 1) == AMQP_STATUS_OK);
  MUST(amqp_basic_reject(c, CHANNEL, 5, 0) == AMQP_STATUS_OK);
  MUST(amqp_basic_reject(c, CHANNEL, 6, 1) == AMQP_STATUS_OK);
  holds(c, queue, 3);
  next_is(c, queue, "2");
  next_is(c, queue, "3");
  next_is(c, queue, "5");
  closed(c);
}

static void recover_gives_all_back(void) {
  connection c = opened();
  amqp_bytes_t queue = filled(c, 2);
  amqp_basic_get_ok_t ok;
  amqp_message_t message;
  MUST(got(c, queue, false, &ok, &message));
  amqp_basic_recover(c, CHANNEL, 1);
  must_be_done(c);
  holds(c, queue, 2);
  MUST(got(c, queue, true, &ok, &message));
  MUST(same(message.body, "0") && ok.redelivered);
  closed(c);
}

static void a_lost_connection_gives_all_back(void) {
  connection losing = opened(), other = opened();
  amqp_bytes_t queue = name_of("lost");
  amqp_queue_declare(other, CHANNEL, queue, 0, 0, 0, 0, amqp_empty_table);
  must_be_done(other);
  send_text(other, queue, "x");
  holds(other, queue, 1);
  consume(losing, CHANNEL, queue, "mine", false);
  amqp_envelope_t envelope;
  comes(losing, &envelope, "x");
  amqp_destroy_connection(losing); /* without a word to the server */
  holds(other, queue, 1);
  amqp_basic_get_ok_t ok;
  amqp_message_t message;
  MUST(got(other, queue, true, &ok, &message));
  MUST(same(message.body, "x") && ok.redelivered);
  amqp_queue_delete(other, CHANNEL, queue, 0, 0);
  must_be_done(other);
  closed(other);
}

static void an_unknown_tag_closes_the_channel(void) {
  connection c = opened();
  MUST(amqp_basic_ack(c, CHANNEL, 9, 0) == AMQP_STATUS_OK);
  amqp_channel_close_t *close = method_comes(c, AMQP_CHANNEL_CLOSE_METHOD).decoded;
  MUST(close->reply_code == 406 && same(close->reply_text, "PRECONDITION_FAILED - unknown delivery tag 9"));
  closed(c);
}

static void consumers_of_two_channels_share(void) {
  connection c = opened();
  amqp_bytes_t queue = filled(c, 0);
  amqp_channel_open(c, 2);
  must_be_done(c);
  consume(c, CHANNEL, queue, "one", true);
  consume(c, 2, queue, "two", true);
  for (int count = 0; count < 10; count++) send_text(c, queue, "x");
  int of[3] = {0, 0, 0};
  for (int count = 0; count < 10; count++) {
    amqp_envelope_t envelope;
    comes(c, &envelope, "x");
    of[envelope.channel]++;
  }
  MUST(of[1] == 5 && of[2] == 5);
  closed(c);
}

static void a_higher_priority_comes_first(void) {
  connection c = opened();
  amqp_bytes_t queue = filled(c, 0);
  consume(c, CHANNEL, queue, "low", true);
  amqp_basic_consume(c, CHANNEL, queue, text("high"), 0, 1, 0, TABLE(number("x-priority", 1)));
  must_be_done(c);
  for (int count = 0; count < 5; count++) send_text(c, queue, "x");
  for (int count = 0; count < 5; count++) {
    amqp_envelope_t envelope;
    comes(c, &envelope, "x");
    MUST(same(envelope.consumer_tag, "high"));
  }
  closed(c);
}

const struct named_case consuming_cases[] = {
  {"consuming: messages come in order with their fields", messages_come_in_order},
  {"consuming: silence leaves the connection", silence_leaves_the_connection},
  {"consuming: a prefetch is kept", a_prefetch_is_kept},
  {"consuming: a cancelled consumer gets nothing", a_cancelled_consumer_gets_nothing},
  {"consuming: a deleted queue cancels its consumer", a_deleted_queue_cancels_its_consumer},
  {"consuming: a consumer that did not ask is not told of that", who_did_not_ask_is_not_told},
  {"consuming: an exclusive consumer is alone", an_exclusive_consumer_is_alone},
  {"consuming: messages are settled one by one and together", settled_one_by_one_and_together},
  {"consuming: recover gives all back", recover_gives_all_back},
  {"consuming: a lost connection gives all back", a_lost_connection_gives_all_back},
  {"consuming: a tag that is not out closes the channel", an_unknown_tag_closes_the_channel},
  {"consuming: consumers of two channels share a queue", consumers_of_two_channels_share},
  {"consuming: a consumer with a higher priority comes first", a_higher_priority_comes_first},
  {NULL, NULL},
};
