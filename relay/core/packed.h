/* Messages as texts of the store: base64, and sealed when they may hold what is nobody's to read.
 */
#ifndef HAWSER_CORE_PACKED_H
#define HAWSER_CORE_PACKED_H

/* What small output in the store is sealed for: of a command, on a node. */
#define PACKED_OUTPUT "output %s %s"

struct arena;
struct hw_err;
struct msg_row;
struct secret_key;

/* `sealed`: what the message is for, which must be the same when it is read; NULL: in clear. The
 * text is in the arena. */
int packed_write(const char **ret, struct arena *arena, const struct secret_key *master,
	const struct msg_row *row, const void *msg, const char *sealed, struct hw_err *err);
/* An empty text is an empty message. HW_ECORRUPT. */
int packed_read(void **ret, struct arena *arena, const struct secret_key *master,
	const struct msg_row *row, const char *text, const char *sealed, struct hw_err *err);

#endif
