/* The directory of an agent and who owns it: the agent's user must read its key, and nobody else.
 */
#ifndef HAWSER_NODE_GROUND_H
#define HAWSER_NODE_GROUND_H

#include <stdbool.h>

struct hw_err;

/* Gives a directory of root's, and what is in it, to the agent's user. One that is not root's any
 * more is left alone: its owner may have put anything there. HW_ENOTFOUND when there is no such
 * user. */
int ground_give(int dir, const char *user, struct hw_err *err);

bool ground_user_exists(const char *user);

#endif
