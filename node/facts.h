/* What a node says of itself: its name, addresses, and operating system. */
#ifndef HAWSER_NODE_FACTS_H
#define HAWSER_NODE_FACTS_H

#include <stddef.h>

struct arena;
struct msg_update_instance_information_request;

/* Fills in what can be found out; the rest stays absent. Texts are in the arena. */
void facts_collect(struct arena *a, struct msg_update_instance_information_request *f);

/* A value of os-release text, without its quotes and escapes; NULL when it isn't there. */
char *facts_os_release(struct arena *a, const char *text, const char *key);

/* The kernel's id of this boot, in the arena; NULL without one. */
char *facts_boot_id(struct arena *a);

#endif
