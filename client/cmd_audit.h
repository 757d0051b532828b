/* What the commands of auditors' keys share. */
#ifndef HAWSER_CLIENT_CMD_AUDIT_H
#define HAWSER_CLIENT_CMD_AUDIT_H

#include "client/command.h"

/* The i'th --key, or for the first, when there is none, auditor.key in the client's directory; NULL
 * after the last, and without memory. */
const char *audit_key_path(struct client *c, const struct input *in, size_t i, struct hw_err *err);

#endif
