/* Messages as YAML: for people driven by their rows, for programs their JSON in other clothes.
 * Pure. */
#ifndef HAWSER_CLIENT_YAML_H
#define HAWSER_CLIENT_YAML_H

#include "proto/base/buf.h"
#include "proto/schema/schema.h"

/* For people: times in the local zone, texts without quotes but safe to look at, no empty lists. */
enum { YAML_FOR_PEOPLE = 1 };

/* Appends; absent fields are left out as in JSON, secrets show as "***". HW_ENOMEM or HW_ELIMIT. */
int yaml_append(struct buf *out, const struct msg_row *row, const void *msg, int flags);

#endif
