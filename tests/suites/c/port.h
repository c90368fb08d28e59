/* Included before a test that rabbitmq-c ships: it asks for AMQP's own port, and gets that of the broker under test. */
#ifndef PORT_H
#define PORT_H

#include <stdlib.h>

#include "amqp.h"
#include "amqp_framing.h"

#undef AMQP_PROTOCOL_PORT
#define AMQP_PROTOCOL_PORT atoi(getenv("HAREMQ_TEST_PORT"))

#endif
