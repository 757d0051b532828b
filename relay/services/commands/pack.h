/* Messages as texts of the store: base64, and sealed when they may hold what is nobody's to read.
 */
#ifndef HAWSER_SERVICES_COMMANDS_PACK_H
#define HAWSER_SERVICES_COMMANDS_PACK_H

struct msg_row;
struct op;

/* `sealed`: what the message is for, which must be the same when it is read; NULL: in clear. The
 * text is in the op's arena. */
int pack(const char **ret, struct op *op, const struct msg_row *row, const void *msg,
	const char *sealed);
/* An empty text is an empty message. HW_ECORRUPT. */
int unpack(void **ret, struct op *op, const struct msg_row *row, const char *text,
	const char *sealed);

#endif
