/* Operations through a running relay's local door, one after the other; see edge/local.h. */
#ifndef HAWSER_RELAY_CLI_ADMIN_CALL_H
#define HAWSER_RELAY_CLI_ADMIN_CALL_H

#include "proto/base/arena.h"
#include "proto/base/err.h"
#include "proto/schema/schema.h"

struct admin;

/* Connects to the relay that runs on `dir`, and makes sure that it is run by the directory's owner
 * or by root. The error says what to do next. */
int admin_open(struct admin **ret, const char *dir, struct hw_err *err);
void admin_close(struct admin *a); /* NULL is fine */

/* How long an answer may take: 60 when nobody says. */
void admin_patience(struct admin *a, int seconds);

/* Everything that is answered lives here, until admin_close(). */
struct arena *admin_arena(struct admin *a);

/* The request and the reply are the operation's structs. An error has the relay's code and
 * sentence. */
int admin_ask(void **reply, struct admin *a, enum op_id op, const void *request,
	struct hw_err *err);

/* Of the last operation that succeeded: its reply as JSON, and the fleet's URL. */
const char *admin_json(const struct admin *a);
const char *admin_url(const struct admin *a);

#endif
