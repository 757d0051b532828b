/* Random bytes and the names made of them. */
#ifndef HAWSER_BASE_ID_H
#define HAWSER_BASE_ID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* From the kernel; never fails (it aborts when the kernel has none). */
void random_bytes(void *out, size_t n);
uint64_t random_u64(void);

#define ID_UUID_LEN    36
#define ID_NODE_LEN    20	     /* "mi-" + 17 hex digits */
#define ID_SESSION_MAX	(64 + 1 + 17) /* user name, "-", 17 hex digits */
#define ID_SESSION_TAIL (1 + 17)      /* what of it is not the name */

/* Each writes its length and a NUL. The user's name is one of id_is_user(). */
void id_uuid(char out[ID_UUID_LEN + 1]);
void id_node(char out[ID_NODE_LEN + 1]);
void id_session(char out[ID_SESSION_MAX + 1], const char *user);

/* Hex digits are lower-case only: an id has one spelling. */
bool id_is_node(const char *s);
bool id_is_uuid(const char *s);
bool id_is_session(const char *s);

/* User names: [A-Za-z0-9_.@+=-]{1,64}. */
bool id_is_user(const char *s);

/* Names of groups and policies: [A-Za-z0-9_.@+=-]{1,128}. */
bool id_is_name(const char *s);

#endif
