/* Every operation's handler, by its id: what a relay is opened with. */
#ifndef HAWSER_SERVICES_TABLE_H
#define HAWSER_SERVICES_TABLE_H

#include "relay/core/op.h"

extern op_handler *const services_handlers[OP_COUNT];

#endif
