/*
 * A control group for each script, where the kernel has version 2 of them and this is root:
 * whatever a script starts is in it, also what left its session, its parents and its user; so that
 * nothing is missed when it is killed.
 */
#ifndef HAWSER_MONITOR_CGROUP_H
#define HAWSER_MONITOR_CGROUP_H

#include <stdbool.h>

/* The directory of the group that this process is in; -1 when there is none that can be used. */
int cgroup_open(void);

/* A group within it, for a session; false when there is none. */
bool cgroup_make(int base, const char *session_id);
/* This process, with all that it will start. */
bool cgroup_enter(int base, const char *session_id);
/* All that is in it, by SIGKILL. */
void cgroup_kill(int base, const char *session_id);
/* False when something is left in it, or is still about to be gone. */
bool cgroup_remove(int base, const char *session_id);
/* Removes those in which nothing is left, but for sessions that are held; returns how many others
 * are left. */
int cgroup_tidy(int base, bool (*is_held)(void *arg, const char *session_id), void *arg);

#endif
