/* The directory of an agent and who owns it: the agent's user must read its key, and nobody else.
 */
#ifndef HAWSER_NODE_GROUND_H
#define HAWSER_NODE_GROUND_H

#include <stdbool.h>
#include <stddef.h>

struct hw_err;
struct node_config;

/* Gives a directory of root's, and what is in it, to the agent's user: all but node.conf, which
 * stays root's. In one that is the user's already, only key and certificates that root has put there
 * are given: its owner may have put anything else. HW_ENOTFOUND when there is no such user. */
int ground_give(int dir, const char *user, struct hw_err *err);

/* For root: run_as and agent_user of node.conf, by which root goes only when the file is root's own
 * and nobody else may write it. Otherwise they are the defaults, and `why` says what is wrong; else
 * it is empty. HW_ENOTFOUND when there is none. */
int ground_settings(struct node_config *ret, int dir, char *why, size_t room, struct hw_err *err);

bool ground_user_exists(const char *user);

#endif
