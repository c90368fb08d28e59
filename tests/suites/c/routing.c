/* Queues, exchanges, bindings. */

#include "suite.h"

static amqp_bytes_t exchange_of(connection c, const char *type) {
  amqp_bytes_t name = name_of(type);
  amqp_exchange_declare(c, CHANNEL, name, text(type), 0, 0, 1, 0, amqp_empty_table);
  must_be_done(c);
  return name;
}

static void a_queue_is_declared_and_deleted(void) {
  connection c = opened();
  amqp_bytes_t queue = name_of("queue");
  amqp_queue_declare_ok_t *ok = amqp_queue_declare(c, CHANNEL, queue, 0, 1, 0, 0, amqp_empty_table);
  MUST(ok && ok->queue.len == queue.len && ok->message_count == 0 && ok->consumer_count == 0);
  for (int count = 0; count < 3; count++) send_text(c, queue, "x");
  holds(c, queue, 3);
  amqp_queue_delete_ok_t *deleted = amqp_queue_delete(c, CHANNEL, queue, 0, 0);
  MUST(deleted && deleted->message_count == 3);
  amqp_queue_declare(c, CHANNEL, queue, 1, 0, 0, 0, amqp_empty_table);
  must_be_refused(c, CHANNEL, 404, "NOT_FOUND - no queue 'c-queue-");
  closed(c);
}

static void the_server_makes_up_names(void) {
  connection c = opened();
  amqp_queue_declare_ok_t *ok = amqp_queue_declare(c, CHANNEL, amqp_empty_bytes, 0, 0, 1, 0, amqp_empty_table);
  MUST(ok && ok->queue.len > 8 && memcmp(ok->queue.bytes, "amq.gen-", 8) == 0);
  closed(c);
}

static void a_queue_that_differs_is_refused(void) {
  connection c = opened();
  amqp_bytes_t queue = name_of("differs");
  amqp_queue_declare(c, CHANNEL, queue, 0, 0, 0, 0, amqp_empty_table);
  must_be_done(c);
  amqp_queue_declare(c, CHANNEL, queue, 0, 1, 0, 0, amqp_empty_table);
  must_be_refused(c, CHANNEL, 406, "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'c-differs-");
  amqp_queue_delete(c, CHANNEL, queue, 0, 0);
  must_be_done(c);
  closed(c);
}

static void an_exclusive_queue_is_locked(void) {
  connection owner = opened(), other = opened();
  amqp_bytes_t queue = own_queue(owner, amqp_empty_table);
  amqp_queue_declare(other, CHANNEL, queue, 1, 0, 0, 0, amqp_empty_table);
  must_be_refused(other, CHANNEL, 405, "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'c-queue-");
  closed(owner);
  closed(other);
}

static void a_queue_is_purged(void) {
  connection c = opened();
  amqp_bytes_t queue = own_queue(c, amqp_empty_table);
  for (int count = 0; count < 5; count++) send_text(c, queue, "x");
  holds(c, queue, 5);
  amqp_queue_purge_ok_t *ok = amqp_queue_purge(c, CHANNEL, queue);
  MUST(ok && ok->message_count == 5);
  closed(c);
}

static void kept_if_used_or_not_empty(void) {
  connection c = opened();
  amqp_bytes_t queue = own_queue(c, amqp_empty_table);
  send_text(c, queue, "x");
  amqp_queue_delete(c, CHANNEL, queue, 0, 1);
  must_be_refused(c, CHANNEL, 406, "PRECONDITION_FAILED - queue 'c-queue-");
  amqp_queue_purge(c, CHANNEL, queue);
  must_be_done(c);
  consume(c, CHANNEL, queue, "mine", true);
  amqp_queue_delete(c, CHANNEL, queue, 1, 0);
  must_be_refused(c, CHANNEL, 406, "PRECONDITION_FAILED - queue 'c-queue-");
  closed(c);
}

static void exchanges_route(void) {
  struct { const char *type, *binding, *right, *wrong; } ways[] = {
    {"direct", "key", "key", "other"}, {"topic", "a.*.#", "a.b.c.d", "a"}, {"fanout", "", "anything", NULL},
  };
  connection c = opened();
  for (int at = 0; at < 3; at++) {
    amqp_bytes_t exchange = exchange_of(c, ways[at].type), queue = own_queue(c, amqp_empty_table);
    amqp_queue_bind(c, CHANNEL, queue, exchange, text(ways[at].binding), amqp_empty_table);
    must_be_done(c);
    if (ways[at].wrong) publish(c, exchange, text(ways[at].wrong), false, NULL, text("wrong"));
    publish(c, exchange, text(ways[at].right), false, NULL, text("right"));
    next_is(c, queue, "right");
    holds(c, queue, 0);
    amqp_queue_unbind(c, CHANNEL, queue, exchange, text(ways[at].binding), amqp_empty_table);
    must_be_done(c);
  }
  closed(c);
}

static void headers_route(void) {
  connection c = opened();
  amqp_bytes_t exchange = exchange_of(c, "headers"), queue = own_queue(c, amqp_empty_table);
  amqp_queue_bind(c, CHANNEL, queue, exchange, amqp_empty_bytes, TABLE(string("x-match", text("any")), number("a", 1), string("b", text("two"))));
  must_be_done(c);
  amqp_basic_properties_t properties = {._flags = AMQP_BASIC_HEADERS_FLAG, .headers = TABLE(string("b", text("three")), number("c", 1))};
  publish(c, exchange, amqp_empty_bytes, false, &properties, text("wrong"));
  properties.headers = TABLE(string("b", text("two")));
  publish(c, exchange, amqp_empty_bytes, false, &properties, text("right"));
  next_is(c, queue, "right");
  holds(c, queue, 0);
  closed(c);
}

static void exchanges_are_bound_to_exchanges(void) {
  connection c = opened();
  amqp_bytes_t source = exchange_of(c, "direct"), destination = exchange_of(c, "fanout"), queue = own_queue(c, amqp_empty_table);
  amqp_exchange_bind(c, CHANNEL, destination, source, text("key"), amqp_empty_table);
  must_be_done(c);
  amqp_queue_bind(c, CHANNEL, queue, destination, amqp_empty_bytes, amqp_empty_table);
  must_be_done(c);
  publish(c, source, text("key"), false, NULL, text("through"));
  next_is(c, queue, "through");
  amqp_exchange_unbind(c, CHANNEL, destination, source, text("key"), amqp_empty_table);
  must_be_done(c);
  closed(c);
}

static void an_exchange_is_deleted(void) {
  connection c = opened();
  amqp_bytes_t exchange = exchange_of(c, "fanout");
  amqp_exchange_delete(c, CHANNEL, exchange, 1);
  must_be_done(c);
  amqp_exchange_declare(c, CHANNEL, exchange, text("fanout"), 1, 0, 0, 0, amqp_empty_table);
  must_be_refused(c, CHANNEL, 404, "NOT_FOUND - no exchange 'c-fanout-");
  closed(c);
}

static void an_exchange_that_differs_is_refused(void) {
  connection c = opened();
  amqp_exchange_declare(c, CHANNEL, text("amq.direct"), text("fanout"), 0, 1, 0, 0, amqp_empty_table);
  must_be_refused(c, CHANNEL, 406, "PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'amq.direct' in vhost '/'");
  closed(c);
}

static void a_binding_needs_both_ends(void) {
  connection c = opened();
  amqp_queue_bind(c, CHANNEL, name_of("missing"), text("amq.direct"), text("key"), amqp_empty_table);
  must_be_refused(c, CHANNEL, 404, "NOT_FOUND - no queue 'c-missing-");
  amqp_bytes_t queue = own_queue(c, amqp_empty_table);
  amqp_queue_bind(c, CHANNEL, queue, name_of("missing"), text("key"), amqp_empty_table);
  must_be_refused(c, CHANNEL, 404, "NOT_FOUND - no exchange 'c-missing-");
  closed(c);
}

const struct named_case routing_cases[] = {
  {"routing: a queue is declared, counted and deleted", a_queue_is_declared_and_deleted},
  {"routing: the server makes up names", the_server_makes_up_names},
  {"routing: a queue that differs is refused", a_queue_that_differs_is_refused},
  {"routing: an exclusive queue is locked", an_exclusive_queue_is_locked},
  {"routing: a queue is purged", a_queue_is_purged},
  {"routing: a queue that is used or not empty is kept", kept_if_used_or_not_empty},
  {"routing: direct, topic and fanout exchanges route", exchanges_route},
  {"routing: a headers exchange routes", headers_route},
  {"routing: exchanges are bound to exchanges", exchanges_are_bound_to_exchanges},
  {"routing: an exchange is deleted", an_exchange_is_deleted},
  {"routing: an exchange that differs is refused", an_exchange_that_differs_is_refused},
  {"routing: a binding needs both of its ends", a_binding_needs_both_ends},
  {NULL, NULL},
};
