/* Messages of all kinds and sizes, confirms, returns, transactions, lives and dead letters. */

#include "suite.h"

static void bodies_of_all_sizes(int frame_max) {
  amqp_rpc_reply_t reply;
  connection c = logged_in("/", 0, frame_max, 0, "guest", &reply);
  MUST(reply.reply_type == AMQP_RESPONSE_NORMAL);
  amqp_channel_open(c, CHANNEL);
  must_be_done(c);
  amqp_bytes_t queue = own_queue(c, amqp_empty_table);
  size_t sizes[] = {0, 1, frame_max - 9, frame_max - 8, frame_max - 7, 2 * frame_max - 16, 1000000};
  for (int at = 0; at < 7; at++) {
    amqp_bytes_t body = amqp_bytes_malloc(sizes[at]);
    for (size_t octet = 0; octet < body.len; octet++) ((unsigned char *)body.bytes)[octet] = octet * 31 % 251;
    publish(c, amqp_empty_bytes, queue, false, NULL, body);
    amqp_basic_get_ok_t ok;
    amqp_message_t message;
    MUST(got(c, queue, true, &ok, &message));
    MUST(message.body.len == body.len && (body.len == 0 || memcmp(message.body.bytes, body.bytes, body.len) == 0));
    amqp_destroy_message(&message);
    amqp_maybe_release_buffers(c);
  }
  closed(c);
}

static void bodies_in_small_frames(void) { bodies_of_all_sizes(4096); }
static void bodies_in_large_frames(void) { bodies_of_all_sizes(131072); }

static void all_properties_come_back(void) {
  connection c = opened();
  amqp_bytes_t queue = own_queue(c, amqp_empty_table);
  amqp_basic_properties_t sent = {
    ._flags = AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_CONTENT_ENCODING_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_PRIORITY_FLAG |
              AMQP_BASIC_CORRELATION_ID_FLAG | AMQP_BASIC_REPLY_TO_FLAG | AMQP_BASIC_EXPIRATION_FLAG | AMQP_BASIC_MESSAGE_ID_FLAG |
              AMQP_BASIC_TIMESTAMP_FLAG | AMQP_BASIC_TYPE_FLAG | AMQP_BASIC_USER_ID_FLAG | AMQP_BASIC_APP_ID_FLAG | AMQP_BASIC_CLUSTER_ID_FLAG,
    .content_type = text("a/b"), .content_encoding = text("c"), .delivery_mode = 2, .priority = 3, .correlation_id = text("d"),
    .reply_to = text("e"), .expiration = text("60000"), .message_id = text("f"), .timestamp = 1700000000, .type = text("g"),
    .user_id = text("guest"), .app_id = text("h"), .cluster_id = text("i"),
  };
  publish(c, amqp_empty_bytes, queue, false, &sent, text("x"));
  amqp_basic_get_ok_t ok;
  amqp_message_t message;
  MUST(got(c, queue, true, &ok, &message));
  amqp_basic_properties_t *it = &message.properties;
  MUST((it->_flags & ~(amqp_flags_t)AMQP_BASIC_HEADERS_FLAG) == sent._flags);
  MUST(same(it->content_type, "a/b") && same(it->content_encoding, "c") && it->delivery_mode == 2 && it->priority == 3);
  MUST(same(it->correlation_id, "d") && same(it->reply_to, "e") && same(it->expiration, "60000") && same(it->message_id, "f"));
  MUST(it->timestamp == 1700000000 && same(it->type, "g") && same(it->user_id, "guest") && same(it->app_id, "h") && same(it->cluster_id, "i"));
  closed(c);
}

static void headers_of_every_type_come_back(void) {
  connection c = opened();
  amqp_bytes_t queue = own_queue(c, amqp_empty_table);
  amqp_field_value_t list[] = {number("", 1).value, string("", text("two")).value};
  amqp_table_entry_t headers[] = {
    entry("boolean", AMQP_FIELD_KIND_BOOLEAN), entry("i8", AMQP_FIELD_KIND_I8), entry("u8", AMQP_FIELD_KIND_U8), entry("i16", AMQP_FIELD_KIND_I16),
    entry("u16", AMQP_FIELD_KIND_U16), entry("i32", AMQP_FIELD_KIND_I32), entry("u32", AMQP_FIELD_KIND_U32), entry("i64", AMQP_FIELD_KIND_I64),
    entry("f32", AMQP_FIELD_KIND_F32), entry("f64", AMQP_FIELD_KIND_F64), entry("decimal", AMQP_FIELD_KIND_DECIMAL), string("text", text("häre")),
    entry("list", AMQP_FIELD_KIND_ARRAY), entry("time", AMQP_FIELD_KIND_TIMESTAMP), entry("table", AMQP_FIELD_KIND_TABLE),
    entry("void", AMQP_FIELD_KIND_VOID), entry("octets", AMQP_FIELD_KIND_BYTES),
  };
  headers[0].value.value.boolean = 1;
  headers[1].value.value.i8 = -100;
  headers[2].value.value.u8 = 200;
  headers[3].value.value.i16 = -30000;
  headers[4].value.value.u16 = 60000;
  headers[5].value.value.i32 = -2000000000;
  headers[6].value.value.u32 = 4000000000u;
  headers[7].value.value.i64 = -9000000000000000000;
  headers[8].value.value.f32 = 0.5f;
  headers[9].value.value.f64 = 0.1;
  headers[10].value.value.decimal = (amqp_decimal_t){.decimals = 2, .value = 314};
  headers[12].value.value.array = (amqp_array_t){.num_entries = 2, .entries = list};
  headers[13].value.value.u64 = 1700000000;
  headers[14].value.value.table = TABLE(number("deep", 1));
  headers[16].value.value.bytes = (amqp_bytes_t){.len = 3, .bytes = "\0\1\377"};
  int count = sizeof headers / sizeof *headers;
  amqp_basic_properties_t sent = {._flags = AMQP_BASIC_HEADERS_FLAG, .headers = {.num_entries = count, .entries = headers}};
  publish(c, amqp_empty_bytes, queue, false, &sent, text("x"));
  amqp_basic_get_ok_t ok;
  amqp_message_t message;
  MUST(got(c, queue, true, &ok, &message));
  MUST(message.properties.headers.num_entries == count);
  for (int at = 0; at < count; at++) {
    amqp_table_entry_t *it = entry_of(&message.properties.headers, headers[at].key);
    printf("    %.*s\n", (int)it->key.len, (char *)it->key.bytes);
    MUST(it->value.kind == headers[at].value.kind);
  }
#define BACK(name, field, wanted) MUST(entry_of(&message.properties.headers, text(name))->value.value.field == wanted)
  BACK("i8", i8, -100);
  BACK("u8", u8, 200);
  BACK("i16", i16, -30000);
  BACK("u16", u16, 60000);
  BACK("u32", u32, 4000000000u);
  BACK("i64", i64, -9000000000000000000);
  BACK("f32", f32, 0.5f);
  BACK("f64", f64, 0.1);
  BACK("decimal", decimal.value, 314);
  BACK("list", array.num_entries, 2);
  BACK("time", u64, 1700000000);
  BACK("octets", bytes.len, 3);
  closed(c);
}

static void confirms_come(void) {
  connection c = opened();
  amqp_bytes_t queue = own_queue(c, amqp_empty_table);
  amqp_confirm_select(c, CHANNEL);
  must_be_done(c);
  for (int count = 0; count < 100; count++) send_text(c, queue, "x");
  uint64_t confirmed = 0;
  while (confirmed < 100) {
    amqp_basic_ack_t *ack = method_comes(c, AMQP_BASIC_ACK_METHOD).decoded;
    MUST(ack->multiple ? ack->delivery_tag > confirmed : ack->delivery_tag == confirmed + 1);
    confirmed = ack->delivery_tag;
  }
  MUST(count_of(c, queue) == 100);
  closed(c);
}

static void a_refusal_to_confirm_comes(void) {
  connection c = opened();
  amqp_bytes_t queue = own_queue(c, TABLE(number("x-max-length", 1), string("x-overflow", text("reject-publish"))));
  amqp_confirm_select(c, CHANNEL);
  must_be_done(c);
  send_text(c, queue, "kept");
  method_comes(c, AMQP_BASIC_ACK_METHOD);
  send_text(c, queue, "refused");
  amqp_basic_nack_t *nack = method_comes(c, AMQP_BASIC_NACK_METHOD).decoded;
  MUST(nack->delivery_tag == 2);
  closed(c);
}

static void a_message_comes_back_before_its_confirm(void) {
  connection c = opened();
  amqp_confirm_select(c, CHANNEL);
  must_be_done(c);
  publish(c, text("amq.direct"), text("nowhere"), true, NULL, text("back"));
  amqp_basic_return_t *returned = method_comes(c, AMQP_BASIC_RETURN_METHOD).decoded;
  MUST(returned->reply_code == 312 && same(returned->reply_text, "NO_ROUTE") && same(returned->exchange, "amq.direct") && same(returned->routing_key, "nowhere"));
  amqp_message_t message;
  MUST(amqp_read_message(c, CHANNEL, &message, 0).reply_type == AMQP_RESPONSE_NORMAL);
  MUST(same(message.body, "back"));
  method_comes(c, AMQP_BASIC_ACK_METHOD);
  closed(c);
}

static void publishing_nowhere_closes_the_channel(void) {
  connection c = opened();
  publish(c, name_of("missing"), text("key"), false, NULL, text("x"));
  amqp_channel_close_t *close = method_comes(c, AMQP_CHANNEL_CLOSE_METHOD).decoded;
  MUST(close->reply_code == 404 && close->class_id == 60 && close->method_id == 40);
  MUST(strncmp(close->reply_text.bytes, "NOT_FOUND - no exchange 'c-missing-", 35) == 0);
  closed(c);
}

static void transactions_commit_and_roll_back(void) {
  connection c = opened();
  amqp_bytes_t queue = own_queue(c, amqp_empty_table);
  amqp_tx_select(c, CHANNEL);
  must_be_done(c);
  send_text(c, queue, "lost");
  amqp_tx_rollback(c, CHANNEL);
  must_be_done(c);
  send_text(c, queue, "kept");
  MUST(count_of(c, queue) == 0);
  amqp_tx_commit(c, CHANNEL);
  must_be_done(c);
  next_is(c, queue, "kept");
  amqp_confirm_select(c, CHANNEL);
  must_be_refused(c, CHANNEL, 406, "PRECONDITION_FAILED - cannot switch from tx to confirm mode");
  closed(c);
}

static void messages_die_in_time(void) {
  connection c = opened();
  amqp_bytes_t queue = own_queue(c, TABLE(number("x-message-ttl", 60))), plain = own_queue(c, amqp_empty_table);
  send_text(c, queue, "x");
  amqp_basic_properties_t properties = {._flags = AMQP_BASIC_EXPIRATION_FLAG, .expiration = text("60")};
  publish(c, amqp_empty_bytes, plain, false, &properties, text("x"));
  holds(c, queue, 0);
  holds(c, plain, 0);
  closed(c);
}

static void dead_letters_tell_their_death(void) {
  connection c = opened();
  amqp_bytes_t dead = own_queue(c, amqp_empty_table);
  amqp_bytes_t queue = own_queue(c, TABLE(string("x-dead-letter-exchange", amqp_empty_bytes), string("x-dead-letter-routing-key", dead)));
  send_text(c, queue, "rejected");
  amqp_basic_get_ok_t ok;
  amqp_message_t message;
  MUST(got(c, queue, false, &ok, &message));
  MUST(amqp_basic_reject(c, CHANNEL, ok.delivery_tag, 0) == AMQP_STATUS_OK);
  holds(c, dead, 1);
  MUST(got(c, dead, true, &ok, &message));
  MUST(same(message.body, "rejected"));
  amqp_table_entry_t *deaths = entry_of(&message.properties.headers, text("x-death"));
  MUST(deaths->value.kind == AMQP_FIELD_KIND_ARRAY && deaths->value.value.array.num_entries == 1);
  amqp_table_t *death = &deaths->value.value.array.entries[0].value.table;
  MUST(same(entry_of(death, text("reason"))->value.value.bytes, "rejected"));
  MUST(entry_of(death, text("count"))->value.kind == AMQP_FIELD_KIND_I64);
  MUST(entry_of(death, text("count"))->value.value.i64 == 1);
  MUST(entry_of(death, text("time"))->value.kind == AMQP_FIELD_KIND_TIMESTAMP);
  MUST(entry_of(death, text("routing-keys"))->value.kind == AMQP_FIELD_KIND_ARRAY);
  closed(c);
}

static void priorities_come_first(void) {
  connection c = opened();
  amqp_bytes_t queue = own_queue(c, TABLE(number("x-max-priority", 5)));
  const char *bodies[] = {"0", "5", "3"};
  for (int at = 0; at < 3; at++) {
    amqp_basic_properties_t properties = {._flags = AMQP_BASIC_PRIORITY_FLAG, .priority = atoi(bodies[at])};
    publish(c, amqp_empty_bytes, queue, false, &properties, text(bodies[at]));
  }
  next_is(c, queue, "5");
  next_is(c, queue, "3");
  next_is(c, queue, "0");
  closed(c);
}

const struct named_case message_cases[] = {
  {"messages: bodies of all sizes come back in frames of 4096", bodies_in_small_frames},
  {"messages: bodies of all sizes come back in frames of 131072", bodies_in_large_frames},
  {"messages: all properties come back", all_properties_come_back},
  {"messages: headers of every type come back", headers_of_every_type_come_back},
  {"messages: confirms come", confirms_come},
  {"messages: a refusal to confirm comes", a_refusal_to_confirm_comes},
  {"messages: a message comes back before its confirm", a_message_comes_back_before_its_confirm},
  {"messages: publishing to a missing exchange closes the channel", publishing_nowhere_closes_the_channel},
  {"messages: transactions commit and roll back", transactions_commit_and_roll_back},
  {"messages: messages die in time", messages_die_in_time},
  {"messages: dead letters tell their death", dead_letters_tell_their_death},
  {"messages: priorities come first", priorities_come_first},
  {NULL, NULL},
};
