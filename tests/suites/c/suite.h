/* What the cases stand on: each runs in a process of its own, which ends when something is not as it must be. */
#ifndef SUITE_H
#define SUITE_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "amqp.h"
#include "amqp_framing.h"
#include "amqp_tcp_socket.h"

#define MUST(what)                                                       \
  do {                                                                   \
    if (!(what)) {                                                       \
      printf("    %s:%d: not so: %s\n", __FILE__, __LINE__, #what);      \
      fflush(stdout);                                                    \
      exit(1);                                                           \
    }                                                                    \
  } while (0)

typedef amqp_connection_state_t connection;

struct named_case {
  const char *name;
  void (*run)(void);
};

extern const struct named_case connecting_cases[], routing_cases[], message_cases[], consuming_cases[];

enum { CHANNEL = 1, SECONDS_TO_ARRIVE = 8 };

/* Connected, not yet logged in. */
connection connected(void);
/* Connected, with CHANNEL open. */
connection opened(void);
/* Connected as it is said, with what the login gave. */
connection logged_in(const char *vhost, int channel_max, int frame_max, int heartbeat, const char *password, amqp_rpc_reply_t *reply);
void closed(connection c);

/* The last request was answered. */
void must_be_done(connection c);
/* The last request was refused: its channel was closed with this code and a text that begins like that. Opens it again. */
void must_be_refused(connection c, amqp_channel_t channel, int code, const char *text);

amqp_bytes_t text(const char *characters);
bool same(amqp_bytes_t octets, const char *characters);
/* A name that no other run has; it lives as long as the process. */
amqp_bytes_t name_of(const char *what);
amqp_bytes_t own_queue(connection c, amqp_table_t arguments);
int count_of(connection c, amqp_bytes_t queue);
void holds(connection c, amqp_bytes_t queue, int count);

void publish(connection c, amqp_bytes_t exchange, amqp_bytes_t key, bool mandatory, const amqp_basic_properties_t *properties, amqp_bytes_t body);
void send_text(connection c, amqp_bytes_t queue, const char *body);
/* False: the queue is empty. */
bool got(connection c, amqp_bytes_t queue, bool no_ack, amqp_basic_get_ok_t *ok, amqp_message_t *message);
/* The next message is this one, and needs no acknowledgement. */
void next_is(connection c, amqp_bytes_t queue, const char *body);
void consume(connection c, amqp_channel_t channel, amqp_bytes_t queue, const char *tag, bool no_ack);
/* False: nothing came in this time. */
bool came(connection c, amqp_envelope_t *envelope, int milliseconds);
void comes(connection c, amqp_envelope_t *envelope, const char *body);
/* The next frame is this method. */
amqp_method_t method_comes(connection c, amqp_method_number_t id);

/* It must be there. */
amqp_table_entry_t *entry_of(const amqp_table_t *table, amqp_bytes_t key);
amqp_table_entry_t entry(const char *key, uint8_t kind);
amqp_table_entry_t number(const char *key, int value);
amqp_table_entry_t string(const char *key, amqp_bytes_t value);
#define TABLE(...)                                                                         \
  (amqp_table_t) {                                                                         \
    .num_entries = sizeof((amqp_table_entry_t[]){__VA_ARGS__}) / sizeof(amqp_table_entry_t), \
    .entries = (amqp_table_entry_t[]) { __VA_ARGS__ }                                      \
  }

#endif
